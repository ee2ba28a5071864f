// What the sealed blob of a connection holds: the service's own tokens. A tiny binary form that the
// edge reads in place, without an allocation and without a JSON parser; fields of unknown number are
// skipped, so that a later version may add some.

import Bytes
import Clocks

/// The fields of a token set, each at most 65,535 bytes.
public enum TokenField: UInt8, CaseIterable, Sendable {
  case apiKey = 1
  case accessToken = 2
  case refreshToken = 3
  /// Unix seconds in decimal: when the access token ends.
  case expiresAt = 4
  /// Space-separated scopes as granted.
  case scope = 5
  /// The OAuth client that the tokens were issued to.
  case clientID = 6
  case clientSecret = 7
  /// How the client proves itself at the token endpoint: `none`, `basic` or `post`.
  case clientAuthentication = 8
  /// Where tokens are refreshed and revoked.
  case tokenURL = 9
  case revocationURL = 10
  /// The `resource` (RFC 8707) that is sent along.
  case resource = 11
  /// The issuer that the client belongs to.
  case issuer = 12
  /// Unix seconds in decimal: when the refresh token ends, if the provider said.
  case refreshExpiresAt = 13
  /// Unix seconds in decimal: when the access token was issued.
  case issuedAt = 14
}

/// Writes token sets.
public struct TokenSetWriter: ~Copyable {
  private var bytes: [UInt8] = [TokenSetReader.version]

  /// An empty set.
  public init() {}

  /// Adds a field; false, and nothing added, when it is too long.
  @discardableResult
  public mutating func add(_ field: TokenField, _ value: UnsafeRawBufferPointer) -> Bool {
    guard value.count <= 0xffff else { return false }
    bytes += [field.rawValue, UInt8(value.count >> 8), UInt8(value.count & 0xff)]
    bytes.append(contentsOf: value)
    return true
  }

  /// The finished set; the writer's copy is wiped.
  public consuming func finish() -> Secret { Secret(wiping: &bytes) }
}

/// Reads a token set in place.
public enum TokenSetReader {
  static let version: UInt8 = 1

  /// The value of `field` inside `bytes`, or nil when the set has none or is not a token set.
  public static func value(
    of field: TokenField, in bytes: UnsafeRawBufferPointer
  ) -> UnsafeRawBufferPointer? {
    guard bytes.first == version else { return nil }
    var index = 1
    while index + 3 <= bytes.count {
      let length = Int(bytes[index + 1]) << 8 | Int(bytes[index + 2])
      let end = index + 3 + length
      guard end <= bytes.count else { return nil }
      if bytes[index] == field.rawValue {
        return UnsafeRawBufferPointer(rebasing: bytes[index + 3..<end])
      }
      index = end
    }
    return nil
  }
}
