// What the tokens of an MCP client's grant carry beside their names: 64 bytes like a credential's,
// whose first half finds a row and whose second half opens the data key that is sealed there. A code
// has 64 random bytes of its own. A refresh token has them behind a family that stays, and gives its
// successor together with a stored salt. An access token is what it is: its SHA-512 are the 64 bytes,
// so that whoever verified one can open with it, and a stored database opens nothing.

import Bytes
import COpenSSL
import Clocks

extension CredentialSecret {
  /// The secret in the text of an access token; the text has 256 bits of chance.
  public init(accessToken text: UnsafeRawBufferPointer, hashing: HashContext) {
    self = withUnsafeTemporaryAllocation(byteCount: 64, alignment: 16) { digest in
      defer { wipe(digest) }
      _ = SHA512(
        text.assumingMemoryBound(to: UInt8.self).baseAddress, text.count,
        digest.assumingMemoryBound(to: UInt8.self).baseAddress)
      return CredentialSecret(bytes: UnsafeRawBufferPointer(digest), hashing: hashing)
    }
  }

  /// The secret in a token, code or credential text; nil when it is none.
  public init?(text: String) {
    var text = text
    var read: CredentialSecret?
    text.withUTF8 {
      read = CredentialSecret(text: UnsafeRawBufferPointer($0), hashing: HashContext())
    }
    guard let read = read.take() else { return nil }
    self = read
  }
}

/// A refresh token of a grant; wiped on release.
public struct GrantRefreshToken: ~Copyable, Sendable {
  /// Characters of the text.
  public static let textBytes = 107
  private static let familyBytes = 16
  private static let familyLabel: StaticString = "bindery grant family\0"
  private static let successorPurpose: StaticString = "bindery refresh successor v1"

  private let family: [UInt8]
  /// The part that rotates: its lookup is stored, its second half is a key.
  public let secret: CredentialSecret

  private init(family: [UInt8], secret: consuming CredentialSecret) {
    self.family = family
    self.secret = secret
  }

  /// The first token of a grant.
  public static func random() -> GrantRefreshToken {
    GrantRefreshToken(family: Randomness.bytes(count: familyBytes), secret: .random())
  }

  /// The token that `text` spells exactly, or nil.
  public init?(_ text: String) {
    guard text.utf8.count == Self.textBytes, var bytes = Base64URL.decode(text),
      bytes.count == Self.familyBytes + 64
    else { return nil }
    family = Array(bytes[..<Self.familyBytes])
    secret = Secret(wiping: &bytes).withBytes {
      CredentialSecret(
        bytes: UnsafeRawBufferPointer(rebasing: $0[Self.familyBytes...]), hashing: HashContext())
    }
  }

  /// The 107 characters.
  public borrowing func makeText() -> String {
    var bytes = family
    secret.withLookupHalf { bytes += $0 }
    secret.withKeyHalf { bytes += $0 }
    defer { bytes.withUnsafeMutableBytes { wipe($0) } }
    return Base64URL.encode(bytes)
  }

  /// What finds the grant, whichever of its tokens is shown.
  public var familyHash: Digest256 {
    Digest256(of: Self.familyLabel.withUTF8Buffer { Array($0) } + family)
  }

  /// The token that follows this one, always the same for the same salt of 32 bytes.
  public borrowing func successor(salt: [UInt8]) -> GrantRefreshToken {
    precondition(salt.count == 32)
    let hashing = HashContext()
    let next = withUnsafeTemporaryAllocation(byteCount: 128, alignment: 16) { bytes in
      defer { wipe(bytes) }
      secret.withLookupHalf {
        UnsafeMutableRawBufferPointer(rebasing: bytes[..<32]).copyMemory(from: $0)
      }
      secret.withKeyHalf {
        UnsafeMutableRawBufferPointer(rebasing: bytes[32..<64]).copyMemory(from: $0)
      }
      salt.withUnsafeBytes { salt in
        Self.successorPurpose.withUTF8Buffer { purpose in
          hashing.hkdf(
            key: UnsafeRawBufferPointer(rebasing: bytes[..<64]), salt: salt,
            info: UnsafeRawBufferPointer(purpose),
            into: UnsafeMutableRawBufferPointer(rebasing: bytes[64...]))
        }
      }
      return CredentialSecret(
        bytes: UnsafeRawBufferPointer(rebasing: bytes[64...]), hashing: hashing)
    }
    return GrantRefreshToken(family: family, secret: next)
  }
}
