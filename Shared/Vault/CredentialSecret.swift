// The secret in a secret URL and in an API key: 64 random bytes. The hash of the first half finds
// the row; the second half is a key, never stored in any form, proven only by what it opens.
// Reading is strict and over raw bytes: one credential has exactly one text.

import Bytes
import Clocks

/// Which deployment an API key is for; it is part of the key's text.
public enum KeyEnvironment: String, CaseIterable, Sendable {
  case live, staging = "stg", test

  /// What API keys begin with.
  public var prefix: StaticString {
    switch self {
    case .live: "bnd_live_"
    case .staging: "bnd_stg_"
    case .test: "bnd_test_"
    }
  }
}

/// The 64 bytes behind a secret URL or API key; the key half is wiped on release.
public struct CredentialSecret: ~Copyable, Sendable {
  /// Characters of the text without a prefix.
  public static let textBytes = 86

  /// SHA-256 of the first half: what is stored, and what finds the row.
  public let lookup: Digest256
  private let secret: Secret

  /// A fresh credential.
  public static func random() -> CredentialSecret {
    withUnsafeTemporaryAllocation(byteCount: 64, alignment: 16) { bytes in
      defer { wipe(bytes) }
      Randomness.fill(bytes)
      return CredentialSecret(bytes: UnsafeRawBufferPointer(bytes), hashing: HashContext())
    }
  }

  /// The credential that 86 base64url characters spell exactly, as in a secret URL; or nil.
  public init?(text: UnsafeRawBufferPointer, hashing: HashContext) {
    guard text.count == Self.textBytes else { return nil }
    var isSound = false
    let secret = Secret(count: 64) { isSound = Base64URL.decode(text, into: $0) }
    guard isSound else { return nil }
    self.init(secret: secret, hashing: hashing)
  }

  /// The credential in an API key of `environment`, prefix and all; or nil.
  public init?(
    apiKey: UnsafeRawBufferPointer, of environment: KeyEnvironment, hashing: HashContext
  ) {
    let prefix = environment.prefix
    let count = prefix.utf8CodeUnitCount
    let expected = UnsafeRawBufferPointer(start: prefix.utf8Start, count: count)
    guard apiKey.count == count + Self.textBytes, apiKey.starts(with: expected) else { return nil }
    self.init(text: UnsafeRawBufferPointer(rebasing: apiKey[count...]), hashing: hashing)
  }

  init(bytes: UnsafeRawBufferPointer, hashing: HashContext) {
    self.init(secret: Secret(copying: bytes), hashing: hashing)
  }

  private init(secret: consuming Secret, hashing: HashContext) {
    precondition(secret.count == 64)
    lookup = secret.withBytes { hashing.sha256(.init(rebasing: $0[..<32])) }
    self.secret = secret
  }

  /// Lends the half whose hash is stored.
  borrowing func withLookupHalf<Result: ~Copyable, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try secret.withBytes { bytes throws(Failure) in try body(.init(rebasing: bytes[..<32])) }
  }

  /// Lends the half that is a key.
  borrowing func withKeyHalf<Result: ~Copyable, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try secret.withBytes { bytes throws(Failure) in try body(.init(rebasing: bytes[32...])) }
  }

  /// The 86 characters, for the one answer that shows them.
  public borrowing func makeText() -> String { secret.withBytes { Base64URL.encode($0) } }

  /// The API key, for the one answer that shows it.
  public borrowing func makeAPIKey(_ environment: KeyEnvironment) -> String {
    "\(environment.prefix)\(makeText())"
  }
}
