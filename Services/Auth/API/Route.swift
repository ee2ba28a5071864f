// The list of routes: method, pattern, and who may call. One row a route, and what is not here is
// not there. Matching is by bytes; a parameter is one non-empty segment.

import HTTPCodec

/// A route of the API.
enum Route: CaseIterable {
  case register, login, clerkSession, logout, token, forgotPassword, resetPassword, me, services
  case connectWithAPIKey, authorize
  // Before the routes of a connection, whose identifiers these words are not.
  case callback, claim
  case listConnections, readConnection, changeConnection, revokeConnection
  case changeMode
  case listCredentials, addCredential, revokeCredential
  case activity
  case listKeys, addKey, revokeKey, revokeNamedKey
  case listSpaces, addSpace, readSpace, changeSpace, removeSpace
  case listSpaceKeys, addSpaceKey, revokeSpaceKey, revokeNamedSpaceKey
  case checkout, verifyCheckout, updateQuantity, portal
  case exportAccount, deleteAccount
  case supportNonce, supportTicket, interest, violationReport
  case publicKeys, clientDocument
  case openAPI

  /// Method and pattern; a segment in braces is a parameter.
  var shape: (method: Method, pattern: String) {
    switch self {
    case .register: (.post, "/api/auth/register")
    case .login: (.post, "/api/auth/login")
    case .clerkSession: (.post, "/api/auth/session")
    case .logout: (.post, "/api/auth/logout")
    case .token: (.post, "/api/auth/token")
    case .forgotPassword: (.post, "/api/auth/forgot-password")
    case .resetPassword: (.post, "/api/auth/reset-password")
    case .me: (.get, "/api/me")
    case .services: (.get, "/api/services")
    case .connectWithAPIKey: (.post, "/api/connections/{service}/api-key")
    case .authorize: (.post, "/api/connections/{service}/authorize")
    case .callback: (.get, "/api/connections/callback")
    case .claim: (.get, "/api/connections/claim")
    case .listConnections: (.get, "/api/connections")
    case .readConnection: (.get, "/api/connections/{id}")
    case .changeConnection: (.patch, "/api/connections/{id}")
    case .revokeConnection: (.delete, "/api/connections/{id}")
    case .changeMode: (.patch, "/api/connections/{id}/mode")
    case .listCredentials: (.get, "/api/connections/{id}/credentials")
    case .addCredential: (.post, "/api/connections/{id}/credentials")
    case .revokeCredential: (.delete, "/api/connections/{id}/credentials/{credential}")
    case .activity: (.get, "/api/connections/{id}/activity")
    case .listKeys: (.get, "/api/keys")
    case .addKey: (.post, "/api/keys")
    case .revokeKey: (.delete, "/api/keys/{key}")
    case .revokeNamedKey: (.delete, "/api/keys")
    case .listSpaces: (.get, "/api/spaces")
    case .addSpace: (.post, "/api/spaces")
    case .readSpace: (.get, "/api/spaces/{id}")
    case .changeSpace: (.patch, "/api/spaces/{id}")
    case .removeSpace: (.delete, "/api/spaces/{id}")
    case .listSpaceKeys: (.get, "/api/spaces/{id}/keys")
    case .addSpaceKey: (.post, "/api/spaces/{id}/keys")
    case .revokeSpaceKey: (.delete, "/api/spaces/{id}/keys/{key}")
    case .revokeNamedSpaceKey: (.delete, "/api/spaces/{id}/keys")
    case .checkout: (.post, "/api/billing/checkout")
    case .verifyCheckout: (.post, "/api/billing/verify-checkout")
    case .updateQuantity: (.post, "/api/billing/update-quantity")
    case .portal: (.post, "/api/billing/portal")
    case .exportAccount: (.get, "/api/account/export")
    case .deleteAccount: (.delete, "/api/account")
    case .supportNonce: (.post, "/api/support/nonce")
    case .supportTicket: (.post, "/api/support/ticket")
    case .interest: (.post, "/api/interest")
    case .violationReport: (.post, "/api/csp-report")
    case .publicKeys: (.get, "/.well-known/jwks.json")
    case .clientDocument: (.get, ClientDocument.path)
    case .openAPI: (.get, "/api/openapi.json")
    }
  }

  /// The name for logs.
  var label: StaticString {
    switch self {
    case .register: "register"
    case .login: "login"
    case .clerkSession: "clerk_session"
    case .logout: "logout"
    case .token: "token"
    case .forgotPassword: "forgot_password"
    case .resetPassword: "reset_password"
    case .me: "me"
    case .services: "services"
    case .connectWithAPIKey: "connect_with_api_key"
    case .authorize: "authorize_connection"
    case .callback: "connection_callback"
    case .claim: "claim_connection"
    case .listConnections: "list_connections"
    case .readConnection: "read_connection"
    case .changeConnection: "change_connection"
    case .revokeConnection: "revoke_connection"
    case .changeMode: "change_mode"
    case .listCredentials: "list_credentials"
    case .addCredential: "add_credential"
    case .revokeCredential: "revoke_credential"
    case .activity: "activity"
    case .listKeys: "list_keys"
    case .addKey: "add_key"
    case .revokeKey, .revokeNamedKey: "revoke_key"
    case .listSpaces: "list_spaces"
    case .addSpace: "add_space"
    case .readSpace: "read_space"
    case .changeSpace: "change_space"
    case .removeSpace: "remove_space"
    case .listSpaceKeys: "list_space_keys"
    case .addSpaceKey: "add_space_key"
    case .revokeSpaceKey, .revokeNamedSpaceKey: "revoke_space_key"
    case .checkout: "checkout"
    case .verifyCheckout: "verify_checkout"
    case .updateQuantity: "update_quantity"
    case .portal: "portal"
    case .exportAccount: "export_account"
    case .deleteAccount: "delete_account"
    case .supportNonce: "support_nonce"
    case .supportTicket: "support_ticket"
    case .interest: "interest"
    case .violationReport: "violation_report"
    case .publicKeys: "public_keys"
    case .clientDocument: "client_document"
    case .openAPI: "open_api"
    }
  }

  /// What a path and method lead to.
  enum Match: Equatable {
    case route(Route, parameters: [String])
    case otherMethods(String)
    case none
  }

  private static let table: [(route: Route, method: Method, segments: [Substring])] =
    allCases.map { ($0, $0.shape.method, segments($0.shape.pattern)) }

  /// The route of `method` at `path`. HEAD is GET without the body.
  static func match(_ method: Method, _ path: String) -> Match {
    let wanted = method == .head ? Method.get : method
    let segments = segments(path)
    var allowed: [String] = []
    for row in table {
      guard let parameters = parameters(of: segments, in: row.segments) else { continue }
      if row.method == wanted { return .route(row.route, parameters: parameters) }
      allowed.append(String(describing: row.method.text))
    }
    return allowed.isEmpty ? .none : .otherMethods(allowed.joined(separator: ", "))
  }

  private static func segments(_ path: String) -> [Substring] {
    path.split(separator: "/", omittingEmptySubsequences: false)
  }

  private static func parameters(of path: [Substring], in pattern: [Substring]) -> [String]? {
    guard path.count == pattern.count else { return nil }
    var parameters: [String] = []
    for (segment, wanted) in zip(path, pattern) {
      if wanted.utf8.first == UInt8(ascii: "{") {
        guard !segment.utf8.isEmpty else { return nil }
        parameters.append(String(segment))
      } else if !segment.utf8.elementsEqual(wanted.utf8) {
        return nil
      }
    }
    return parameters
  }
}
