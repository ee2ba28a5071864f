// The secret in a secret URL and in an API key: 64 random bytes. The hash of the first half finds
// the row; the second half is a key, never stored in any form, proven only by what it opens.
// Reading is strict and over raw bytes: one credential has exactly one text.

import Bytes
import Clocks

/// Which deployment an API key is for; it is part of the key's text.
package enum KeyEnvironment: String, CaseIterable, Sendable {
  case live, staging = "stg", test

  /// What API keys begin with.
  package var prefix: StaticString {
    switch self {
    case .live: "bnd_live_"
    case .staging: "bnd_stg_"
    case .test: "bnd_test_"
    }
  }
}

/// The 64 bytes behind a secret URL or API key; the key half is wiped on release.
package struct CredentialSecret: ~Copyable, Sendable {
  /// Characters of the text without a prefix.
  package static let textBytes = 86

  /// SHA-256 of the first half: what is stored, and what finds the row.
  package let lookup: Digest256
  let lookupHalf: Secret
  let keyHalf: Secret

  /// A fresh credential.
  package static func random() -> CredentialSecret {
    withUnsafeTemporaryAllocation(byteCount: 64, alignment: 16) { bytes in
      defer { wipe(bytes) }
      Randomness.fill(bytes)
      return CredentialSecret(bytes: UnsafeRawBufferPointer(bytes), hashing: HashContext())
    }
  }

  /// The credential that 86 base64url characters spell exactly, as in a secret URL; or nil.
  package init?(text: UnsafeRawBufferPointer, hashing: HashContext) {
    guard text.count == Self.textBytes else { return nil }
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 64, alignment: 16)
    defer {
      wipe(bytes)
      bytes.deallocate()
    }
    guard Base64URL.decode(text, into: bytes) else { return nil }
    self.init(bytes: UnsafeRawBufferPointer(bytes), hashing: hashing)
  }

  /// The credential in an API key of `environment`, prefix and all; or nil.
  package init?(
    apiKey: UnsafeRawBufferPointer, of environment: KeyEnvironment, hashing: HashContext
  ) {
    let prefix = environment.prefix
    let count = prefix.utf8CodeUnitCount
    let expected = UnsafeRawBufferPointer(start: prefix.utf8Start, count: count)
    guard apiKey.count == count + Self.textBytes, apiKey.starts(with: expected) else { return nil }
    self.init(text: UnsafeRawBufferPointer(rebasing: apiKey[count...]), hashing: hashing)
  }

  init(bytes: UnsafeRawBufferPointer, hashing: HashContext) {
    precondition(bytes.count == 64)
    let first = UnsafeRawBufferPointer(rebasing: bytes[..<32])
    lookup = hashing.sha256(first)
    lookupHalf = Secret(copying: first)
    keyHalf = Secret(copying: UnsafeRawBufferPointer(rebasing: bytes[32...]))
  }

  /// The 86 characters, for the one answer that shows them.
  package borrowing func makeText() -> String {
    withUnsafeTemporaryAllocation(byteCount: 64, alignment: 16) { bytes in
      defer { wipe(bytes) }
      lookupHalf.withBytes { bytes.copyMemory(from: $0) }
      keyHalf.withBytes {
        UnsafeMutableRawBufferPointer(rebasing: bytes[32...]).copyMemory(from: $0)
      }
      return Base64URL.encode(UnsafeRawBufferPointer(bytes))
    }
  }

  /// The API key, for the one answer that shows it.
  package borrowing func makeAPIKey(_ environment: KeyEnvironment) -> String {
    "\(environment.prefix)\(makeText())"
  }
}
