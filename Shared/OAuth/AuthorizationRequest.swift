// What an MCP client asks for when it sends a person to us (OAuth 2.1 section 4.1.1, RFC 7636, RFC 8707).
// In two steps, because they fail to different places: who asks and where the answer goes, of which a
// fault is shown to the person alone; then the rest, of which a fault goes back to the client. Pure.

import Bytes
import HTTPCodec

/// Who asks, and where the answer goes.
public struct AuthorizationSender: Sendable, Equatable {
  public let clientID: String
  public let redirectURI: RedirectURI
  /// Goes back as it came; nil when there is none.
  public let state: String?

  /// Reads a query; nil when there is no one to answer to.
  public init?(_ form: Form) {
    guard let clientID = form.only("client_id"), !clientID.isEmpty,
      let redirect = form.only("redirect_uri").flatMap({ RedirectURI($0) })
    else { return nil }
    self.clientID = clientID
    redirectURI = redirect
    // Given twice it is no state; the request is refused for it in the second step.
    let state = form.only("state")
    self.state = state?.isEmpty == true ? nil : state
  }
}

/// Why a request goes back to its client.
public enum AuthorizationFault: String, Error, Sendable {
  case invalidRequest = "invalid_request"
  case unsupportedResponseType = "unsupported_response_type"
  case invalidScope = "invalid_scope"
  case invalidTarget = "invalid_target"
  case accessDenied = "access_denied"
  case serverError = "server_error"
  case temporarilyUnavailable = "temporarily_unavailable"
  /// `prompt=none`, and the person would have to sign in.
  case loginRequired = "login_required"
  /// `prompt=none`, and the person would have to agree.
  case consentRequired = "consent_required"
}

/// What is asked for.
public struct AuthorizationRequest: Sendable, Equatable {
  /// The one scope there is: using the tools of a connection.
  public static let scope = "mcp"

  /// SHA-256 of the verifier.
  public let challenge: [UInt8]
  /// As the client wrote it; whether it is ours is the server's question.
  public let resource: String
  /// Whether nothing may be shown.
  public let isSilent: Bool

  /// Reads the rest of a query.
  /// - Throws: what goes back to the client.
  public init(_ form: Form) throws(AuthorizationFault) {
    let others = Form(form.pairs.filter { !$0.name.utf8.elementsEqual("resource".utf8) })
    guard others.repeatedName == nil else { throw .invalidRequest }
    guard Self.value("response_type", form).map({ Self.same($0, "code") }) == true else {
      throw .unsupportedResponseType
    }
    guard Self.value("response_mode", form).map({ Self.same($0, "query") }) ?? true,
      Self.value("code_challenge_method", form).map({ Self.same($0, "S256") }) == true,
      let challenge = Self.value("code_challenge", form).flatMap({ Base64URL.decode($0) }),
      challenge.count == 32
    else { throw .invalidRequest }
    self.challenge = challenge
    isSilent =
      Self.value("prompt", form).map {
        $0.utf8.split(separator: 0x20).contains { $0.elementsEqual("none".utf8) }
      } ?? false
    guard ScopeRequest.admits(Self.value("scope", form)) else { throw .invalidScope }
    let resources = form.all("resource").filter { !$0.isEmpty }
    guard let resource = resources.first,
      resources.allSatisfy({ Self.same($0, resource) })
    else { throw .invalidTarget }
    self.resource = resource
  }

  /// A parameter without a value counts as absent.
  private static func value(_ name: String, _ form: Form) -> String? {
    form.only(name).flatMap { $0.isEmpty ? nil : $0 }
  }

  private static func same(_ left: String, _ right: String) -> Bool {
    left.utf8.elementsEqual(right.utf8)
  }
}

/// The rule of scopes: there is one, others that clients add by habit are left out, and a client that
/// asks for others alone is told so.
public enum ScopeRequest {
  /// Whether `text` can be granted `mcp`: it asks for nothing in particular, or for `mcp` too.
  public static func admits(_ text: String?) -> Bool {
    guard let text else { return true }
    let words = text.utf8.split(separator: 0x20)
    let known = ["mcp", "offline_access"]
    return words.contains { word in known.contains { word.elementsEqual($0.utf8) } }
  }
}
