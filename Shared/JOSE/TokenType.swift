// Names every kind of signed token in the system. A verifier asks for exactly one kind, so that a
// token of one kind is never good for another, whatever its claims say.

/// The `typ` of a signed token.
public enum TokenType: String, Sendable {
  /// A signed-in person at the REST API.
  case session = "bindery-session+jwt"
  /// Somebody who forgot their password.
  case reset = "bindery-reset+jwt"
  /// An MCP client's access token (RFC 9068).
  case access = "at+jwt"
}
