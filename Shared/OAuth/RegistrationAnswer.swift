// Reads what a registration endpoint answers (RFC 7591 section 3.2). What it gives us is kept sealed
// and sent for years, so it is taken only in a form that can be sent.

import HTTPCodec
import Providers

extension RegisteredClient {
  /// Reads an answer.
  /// - Parameters:
  ///   - retryAfterSeconds: What `Retry-After` says in seconds.
  ///   - asked: How we asked to be authenticated.
  /// - Throws: `RegistrationFailure`.
  public init(
    status: Int, body: [UInt8], retryAfterSeconds: Int?, asked: OAuthRules.ClientAuthentication
  ) throws(RegistrationFailure) {
    // RFC 7591 wants 201; servers answer 200, too.
    guard (200..<300).contains(status) else {
      if status == 429 { throw .throttled(retryAfterSeconds: retryAfterSeconds) }
      let error = try? MetadataDocument(reading: body).text("error")
      throw .refused(status: status, code: error.flatMap { Self.isWord($0) ? $0 : nil })
    }
    do throws(DocumentFault) {
      let document = try MetadataDocument(reading: body)
      let id = try document.requiredText("client_id")
      guard Self.isVisible(id, bytesMax: 2048) else { throw .malformed("client_id") }
      let secret = try document.text("client_secret").flatMap { $0.isEmpty ? nil : $0 }
      if let secret, !Self.isVisible(secret, bytesMax: 4096) { throw .malformed("client_secret") }
      clientID = id
      authentication = try Self.authentication(document, hasSecret: secret != nil, asked)
      clientSecret = authentication == .none ? nil : secret
      let end = try document.integer("client_secret_expires_at") ?? 0
      expiresAt = clientSecret != nil && end > 0 ? Int64(end) : nil
      let token = try document.text("registration_access_token")
      registrationClientURI = token == nil ? nil : try? document.url("registration_client_uri")
      registrationAccessToken = token.flatMap { Self.isVisible($0, bytesMax: 4096) ? $0 : nil }
    } catch { throw .broken(error) }
  }

  /// How the server says that it registered us; it may have changed what we asked for.
  private static func authentication(
    _ document: MetadataDocument, hasSecret: Bool, _ asked: OAuthRules.ClientAuthentication
  ) throws(DocumentFault) -> OAuthRules.ClientAuthentication {
    let way: OAuthRules.ClientAuthentication
    if let name = try document.text("token_endpoint_auth_method") {
      guard let known = OAuthRules.ClientAuthentication(methodName: name) else {
        throw .malformed("token_endpoint_auth_method")
      }
      way = known
    } else {
      // It does not say. Who gives a secret wants to see it, by default as Basic (section 2).
      way = hasSecret && asked == .none ? .basic : asked
    }
    guard way == .none || hasSecret else { throw .missing("client_secret") }
    return way
  }

  private static func isVisible(_ text: String, bytesMax: Int) -> Bool {
    (1...bytesMax).contains(text.utf8.count)
      && text.utf8.allSatisfy { (0x20...0x7e).contains($0) }
  }

  private static func isWord(_ text: String) -> Bool {
    (1...64).contains(text.utf8.count)
      && text.utf8.allSatisfy { (0x61...0x7a).contains($0) || $0 == 0x5f }
  }
}
