// The paths of the authorization server, beside the API: who answers them, and which of them pages of
// other origins may read. Browser-based clients fetch metadata and tokens from anywhere, without
// cookies; the authorization page is never fetched (RFC 9700 section 2.6).

import Accounts
import Clocks
import HTTPServer

/// All of the authorization server.
struct AuthorizationServerRoutes: Sendable {
  let documents: ServerDocuments
  let authorize: AuthorizeEndpoint
  let token: TokenRoute
  let registration: RegistrationRoute
  let ends: TokenEndRoutes

  /// Paths of ours.
  enum Path: CaseIterable {
    case serverMetadata, resourceMetadata, authorize, token, register, revoke, introspect

    init?(_ path: String) {
      switch path {
      case "/.well-known/oauth-authorization-server": self = .serverMetadata
      // The short forms are where a client looks that has no metadata (MCP 2025-03-26).
      case AuthorizeEndpoint.path, "/authorize": self = .authorize
      case "/oauth/token", "/token": self = .token
      case "/oauth/register", "/register": self = .register
      case "/oauth/revoke": self = .revoke
      case "/oauth/introspect": self = .introspect
      default:
        let prefix = ServerDocuments.resourcePrefix
        guard path.utf8.starts(with: prefix.utf8),
          path.utf8.count == prefix.utf8.count
            || path.utf8.dropFirst(prefix.utf8.count).first == UInt8(ascii: "/")
        else { return nil }
        self = .resourceMetadata
      }
    }

    /// The name for logs.
    var label: StaticString {
      switch self {
      case .serverMetadata: "server_metadata"
      case .resourceMetadata: "resource_metadata"
      case .authorize: "oauth_authorize"
      case .token: "oauth_token"
      case .register: "oauth_register"
      case .revoke: "oauth_revoke"
      case .introspect: "oauth_introspect"
      }
    }

    var methods: String {
      switch self {
      case .serverMetadata, .resourceMetadata: "GET, OPTIONS"
      case .authorize: "GET, POST"
      case .token, .register, .revoke, .introspect: "POST, OPTIONS"
      }
    }
  }

  func respond(_ path: Path, _ request: Request, now: UnixTime) async -> Response {
    if case .authorize = path { return await authorize.respond(request, now: now) }
    var response: Response
    if request.method == .options {
      response = Response(
        status: 204,
        fields: [
          ("access-control-allow-methods", path.methods),
          ("access-control-allow-headers", "Authorization, Content-Type, MCP-Protocol-Version"),
          ("access-control-max-age", "600"),
        ])
    } else {
      do throws(OAuthRefusal) {
        response = try await answer(path, request, now: now)
      } catch { response = error.response }
    }
    response.fields.append(("access-control-allow-origin", "*"))
    return response
  }

  private func answer(
    _ path: Path, _ request: Request, now: UnixTime
  ) async throws(OAuthRefusal) -> Response {
    switch path {
    case .serverMetadata, .resourceMetadata:
      guard request.method == .get || request.method == .head else {
        throw .methodUnknown(allowed: path.methods)
      }
      if case .serverMetadata = path { return documents.server }
      return documents.resource(at: request.path)
        ?? .json(
          status: 404,
          JSONText.object([("error", "not_found"), ("message", "There is no such service")]).bytes)
    case .token, .register, .revoke, .introspect:
      guard request.method == .post else { throw .methodUnknown(allowed: path.methods) }
    case .authorize: preconditionFailure("answered above")
    }
    switch path {
    case .token: return try await token.respond(request, now: now)
    case .register: return try await registration.respond(request, now: now)
    case .revoke: return try await ends.revoke(request, now: now)
    default: return try await ends.introspect(request, now: now)
    }
  }
}

extension AuthorizationServerRoutes {
  /// Everything put together.
  init(
    _ parts: AuthAPI.Parts, signIn: SignIn, authentication: Authentication,
    connect: ConnectByAPIKey, authorize: AuthorizeRoute, farewell: Farewell
  ) {
    let publicURL = parts.settings.common.publicURL
    let issuer = publicURL.origin
    let documents = ServerDocuments(issuer: issuer, catalogue: parts.catalogue)
    let proof = ClientProof(store: parts.accounts)
    let consent = Consent(
      connections: parts.accounts, authorizations: parts.accounts, grants: parts.accounts,
      keys: parts.keys, epochs: parts.epochs, byKey: connect, byOAuth: authorize, issuer: issuer)
    let registry = ClientRegistry(
      store: parts.accounts,
      documents: ClientDocuments(
        fetch: parts.fetch, allowsLoopback: publicURL.authority.isLoopback, log: parts.log))
    self.init(
      documents: documents,
      authorize: AuthorizeEndpoint(
        registry: registry, documents: documents, signIn: signIn, authentication: authentication,
        page: .page(publicURL: publicURL), consent: consent,
        dashboard: parts.settings.clerk.flatMap { _ in
          DashboardPages(admin: parts.settings.common.adminURLs).admit(nil)
        }),
      token: TokenRoute(
        grants: parts.accounts, proof: proof, keys: parts.keys,
        mint: AccessTokenMint(keys: parts.signingKeys, issuer: issuer), epochs: parts.epochs,
        farewell: farewell),
      registration: RegistrationRoute(store: parts.accounts),
      ends: TokenEndRoutes(
        grants: parts.accounts, proof: proof, epochs: parts.epochs, issuer: issuer))
  }
}
