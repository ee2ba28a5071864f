// Reads what a token endpoint answers. Providers differ: JSON or a form, errors with status 200 or
// 403, `expires_in` as a number or as text. What is read decides over the life of a connection, so
// every answer ends in one of few words, and only one of them means that a grant is dead.

import HTTPCodec
import StrictJSON

/// Tokens as a token endpoint gave them (RFC 6749 section 5.1).
public struct TokenAnswer: Sendable, Equatable {
  /// 1 to 16,384 visible ASCII bytes.
  public let accessToken: String
  /// Nil when the answer has none: the one that was sent stays.
  public let refreshToken: String?
  /// Seconds until the access token ends; nil when the answer does not say, or says 0 or less.
  public let lifetimeSeconds: Int?
  /// Seconds until the refresh token ends, where a provider says so.
  public let refreshLifetimeSeconds: Int?
  /// The granted scopes as written; nil when they are those that were asked for.
  public let scope: String?

  /// The longest token that is taken.
  public static let tokenBytesMax = 16_384
  /// The longest life that is believed: ten years.
  public static let lifetimeSecondsMax = 315_360_000
}

/// Why there are no tokens.
public enum TokenFailure: Error, Equatable, Sendable {
  /// The provider does not know the refresh token or the code any more: only new consent helps.
  case invalidGrant
  /// The provider does not know or believe our client; the grant may be as good as ever.
  case invalidClient
  /// Another error of the protocol, by its code as far as that is a known word.
  case refused(String)
  /// Too many requests; wait that many seconds when the answer says so.
  case throttled(retryAfterSeconds: Int?)
  /// The provider is in trouble: 5xx, a page instead of an answer, nothing at all.
  case unavailable(retryAfterSeconds: Int?)
  /// An answer of success without a usable token.
  case broken

  /// The reason as a metric label and in the store.
  public var label: StaticString {
    switch self {
    case .invalidGrant: "invalid_grant"
    case .invalidClient: "invalid_client"
    case .refused: "refused"
    case .throttled: "throttled"
    case .unavailable: "unavailable"
    case .broken: "broken"
    }
  }
}

extension TokenAnswer {
  /// Reads an answer.
  /// - Parameters:
  ///   - isForm: Whether the answer's media type is that of a form.
  ///   - retryAfterSeconds: What `Retry-After` says in seconds.
  ///   - deadErrors: Further error codes with which this provider says that a grant is dead.
  /// - Throws: `TokenFailure`.
  public init(
    status: Int, isForm: Bool, body: [UInt8], retryAfterSeconds: Int?, deadErrors: [String] = []
  ) throws(TokenFailure) {
    let fields = AnswerFields(body: body, isForm: isForm)
    if let code = fields?.text("error") {
      throw Self.failure(code, status, retryAfterSeconds, deadErrors)
    }
    switch status {
    case 200..<300: break
    case 429: throw .throttled(retryAfterSeconds: retryAfterSeconds)
    // A proxy or firewall answers 401 and 403 with pages of its own: no word of the provider.
    case 401 where fields != nil: throw .invalidClient
    default: throw .unavailable(retryAfterSeconds: retryAfterSeconds)
    }
    guard let fields else { throw .unavailable(retryAfterSeconds: retryAfterSeconds) }
    guard let access = fields.text("access_token"), Self.isToken(access) else { throw .broken }
    if let type = fields.text("token_type"), !Self.isBearer(type) { throw .broken }
    accessToken = access
    refreshToken = fields.text("refresh_token").flatMap { Self.isToken($0) ? $0 : nil }
    lifetimeSeconds = Self.lifetime(fields.integer("expires_in"))
    refreshLifetimeSeconds = Self.lifetime(
      fields.integer("refresh_token_expires_in") ?? fields.integer("refresh_expires_in"))
    scope = fields.text("scope").flatMap { $0.utf8.count <= 4096 ? $0 : nil }
  }

  private static func failure(
    _ code: String, _ status: Int, _ retryAfterSeconds: Int?, _ deadErrors: [String]
  ) -> TokenFailure {
    // The provider's own trouble comes first, whatever its body says.
    if status >= 500 { return .unavailable(retryAfterSeconds: retryAfterSeconds) }
    if status == 429 { return .throttled(retryAfterSeconds: retryAfterSeconds) }
    if deadErrors.contains(where: { $0.utf8.elementsEqual(code.utf8) }) { return .invalidGrant }
    switch code {
    case "invalid_grant": return .invalidGrant
    case "invalid_client", "unauthorized_client": return .invalidClient
    case "temporarily_unavailable", "server_error":
      return .unavailable(retryAfterSeconds: retryAfterSeconds)
    case "slow_down", "rate_limited", "ratelimited":
      return .throttled(retryAfterSeconds: retryAfterSeconds)
    default:
      let isWord =
        (1...64).contains(code.utf8.count)
        && code.utf8.allSatisfy { (0x61...0x7a).contains($0) || $0 == 0x5f }
      return .refused(isWord ? code : "unknown")
    }
  }

  private static func isToken(_ text: String) -> Bool {
    (1...tokenBytesMax).contains(text.utf8.count)
      && text.utf8.allSatisfy { (0x21...0x7e).contains($0) }
  }

  /// `Bearer`, and what providers write for it.
  private static func isBearer(_ type: String) -> Bool {
    ["bearer", "user", "bot"].contains { $0.utf8.elementsEqual(type.lowercased().utf8) }
  }

  private static func lifetime(_ seconds: Int?) -> Int? {
    seconds.flatMap { $0 > 0 ? min($0, lifetimeSecondsMax) : nil }
  }
}
