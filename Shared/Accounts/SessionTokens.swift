// Makes and reads the tokens of a sign-in: a cookie and a rotating refresh token. The successor of
// a refresh token is a function of that token and a stored salt: whoever shows the same token again
// within the grace gets the same successor, and the database alone yields neither.

import Bytes
import Clocks
import JOSE

/// A browser's or program's sign-in, as the client holds it.
public struct SessionTokens: Sendable, Equatable {
  public let session: SessionID
  public let cookie: String
  public let refreshToken: String

  public init(session: SessionID, cookie: String, refreshToken: String) {
    self.session = session
    self.cookie = cookie
    self.refreshToken = refreshToken
  }
}

/// The life of sign-ins.
public enum SessionLife {
  /// The absolute end of a sign-in, however often it is refreshed.
  public static let secondsMax: Int64 = 30 * 86_400
  /// A sign-in in this browser that rests on one elsewhere: what ends that one ends this one late.
  public static let borrowedSecondsMax: Int64 = 3600
  /// How long the previous refresh token gives the same successor again.
  public static let graceSecondsMax: Int64 = 60
}

/// A refresh token: a family that stays and a secret that rotates.
struct RefreshToken {
  static let familyBytes = 16
  static let secretBytes = 32

  let family: [UInt8]
  let secret: [UInt8]

  static func random() -> RefreshToken {
    RefreshToken(
      family: Randomness.bytes(count: familyBytes), secret: Randomness.bytes(count: secretBytes))
  }

  init(family: [UInt8], secret: [UInt8]) {
    self.family = family
    self.secret = secret
  }

  init?(_ text: String) {
    guard let bytes = Base64URL.decode(text), bytes.count == Self.familyBytes + Self.secretBytes
    else { return nil }
    family = Array(bytes[..<Self.familyBytes])
    secret = Array(bytes[Self.familyBytes...])
  }

  var text: String { Base64URL.encode(family + secret) }
  var familyHash: [UInt8] { SHA256Digest.of(Array("bindery session family\0".utf8) + family) }
  var hash: [UInt8] { SHA256Digest.of(Array("bindery session refresh\0".utf8) + family + secret) }

  /// All inputs have a fixed length, so no two of them meet in one digest input.
  func successor(salt: [UInt8]) -> RefreshToken {
    precondition(salt.count == 32)
    let secret = SHA256Digest.of(Array("bindery session successor\0".utf8) + secret + salt)
    return RefreshToken(family: family, secret: secret)
  }
}

/// A session cookie's value.
struct SessionCookie {
  let bytes: [UInt8]

  static func random() -> SessionCookie { SessionCookie(bytes: Randomness.bytes(count: 32)) }

  init(bytes: [UInt8]) { self.bytes = bytes }

  init?(_ text: String) {
    guard let bytes = Base64URL.decode(text), bytes.count == 32 else { return nil }
    self.bytes = bytes
  }

  var text: String { Base64URL.encode(bytes) }
  var hash: [UInt8] { SHA256Digest.of(Array("bindery session cookie\0".utf8) + bytes) }
}
