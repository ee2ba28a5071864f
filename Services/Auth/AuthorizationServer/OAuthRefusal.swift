// Every way in which the token, revocation, introspection and registration endpoints say no, and what
// the client then reads (RFC 6749 section 5.2, RFC 7591 section 3.2.2). Reasons that must not be told
// apart share one: whatever is wrong with a code or a refresh token is `invalid_grant`.

import Accounts
import HTTPServer

/// Why a client did not get what it asked for.
enum OAuthRefusal: Error, Equatable {
  case methodUnknown(allowed: String)
  case invalidRequest
  /// Unknown, or not proved; with Basic the answer asks for it.
  case invalidClient(basic: Bool)
  case invalidGrant
  case unauthorizedClient
  case unsupportedGrantType
  case unsupportedTokenType
  case invalidScope
  case invalidTarget
  case invalidRedirectURI
  case invalidClientMetadata
  case tooManyAttempts(retryAfterSeconds: Int64)
  case overloaded
  case failed

  init(_ error: AccountError) {
    switch Refusal(error) {
    case .overloaded: self = .overloaded
    case .tooMany: self = .overloaded
    default: self = .failed
    }
  }

  var wire: (status: Int, code: StaticString, description: StaticString) {
    switch self {
    case .methodUnknown: (405, "invalid_request", "This method is not supported here")
    case .invalidRequest: (400, "invalid_request", "A parameter is missing, malformed or repeated")
    case .invalidClient: (401, "invalid_client", "The client is not known or did not prove itself")
    case .invalidGrant:
      (
        400, "invalid_grant",
        "The code or refresh token is not valid for this client, or not any more"
      )
    case .unauthorizedClient:
      (400, "unauthorized_client", "This client may not use this grant type")
    case .unsupportedGrantType:
      (400, "unsupported_grant_type", "Use authorization_code or refresh_token")
    case .unsupportedTokenType:
      (400, "unsupported_token_type", "Tokens of this kind are not revoked here")
    case .invalidScope: (400, "invalid_scope", "The scope is mcp")
    case .invalidTarget: (400, "invalid_target", "The resource is not the one that was granted")
    case .invalidRedirectURI:
      (
        400, "invalid_redirect_uri",
        "redirect_uris: 1 to 16 https URLs, or http URLs of loopback hosts, are needed"
      )
    case .invalidClientMetadata:
      (400, "invalid_client_metadata", "The metadata is malformed or asks for what is not served")
    case .tooManyAttempts: (429, "temporarily_unavailable", "Too many requests")
    case .overloaded: (503, "temporarily_unavailable", "Try again in a moment")
    case .failed: (500, "server_error", "Internal server error")
    }
  }

  var response: Response {
    let wire = wire
    let body = JSONText.object([
      ("error", .string("\(wire.code)")), ("error_description", .string("\(wire.description)")),
    ])
    var response = Response.json(status: wire.status, body.bytes)
    switch self {
    case .methodUnknown(let allowed): response.fields.append(("allow", allowed))
    case .invalidClient(basic: true):
      response.fields.append(("www-authenticate", "Basic realm=\"bindery\""))
    case .tooManyAttempts(let seconds): response.fields.append(("retry-after", String(seconds)))
    case .overloaded: response.fields.append(("retry-after", "1"))
    default: break
    }
    return response
  }
}
