// The random key of one connection, under which its tokens are sealed. At rest it exists only
// wrapped: once for each credential under that credential's secret, and once more under a master
// key when the connection is managed. Wrapping, unwrapping, sealing, opening: all in this file.

import Bytes
import Clocks

/// The 256-bit key of one connection; wiped on release.
public struct DataKey: ~Copyable, Sendable {
  static let bytes = 32
  let secret: Secret

  /// A fresh key.
  public static func random() -> DataKey {
    DataKey(secret: Secret(count: bytes) { Randomness.fill($0) })
  }

  init(secret: consuming Secret) {
    precondition(secret.count == Self.bytes)
    self.secret = secret
  }

  /// The key that `text` writes, for a call between our processes; nil for anything else.
  public init?(base64URL text: String) {
    guard var bytes = Base64URL.decode(text), bytes.count == Self.bytes else { return nil }
    self.init(secret: Secret(wiping: &bytes))
  }

  /// The key as a call between our processes carries it.
  public var base64URL: String { secret.withBytes { Base64URL.encode($0) } }

  /// Whether both are the same key, in constant time.
  public borrowing func isEqual(to other: borrowing DataKey) -> Bool {
    secret.isEqual(to: other.secret)
  }
}

extension SealEngine {
  /// `key` under the second half of `credential`: zero-knowledge, nothing stored opens it.
  public func wrap(
    _ key: borrowing DataKey, under credential: borrowing CredentialSecret, context: SealContext
  ) -> [UInt8] {
    key.secret.withBytes { data in
      credential.withKeyHalf { half in
        seal(data, mode: .clientHeld, fingerprint: .zero, key: half, context: context)
      }
    }
  }

  /// The data key in `wrapped`, which the second half of `credential` opens.
  /// - Throws: `SealError.refused`, whatever is wrong.
  public func unwrap(
    _ wrapped: UnsafeRawBufferPointer, with credential: borrowing CredentialSecret,
    context: SealContext
  ) throws(SealError) -> DataKey {
    try unwrap(PlacedValue([UInt8](wrapped), at: context), with: credential)
  }

  /// The same for a wrap that is opened often.
  public func unwrap(
    _ wrapped: PlacedValue, with credential: borrowing CredentialSecret
  ) throws(SealError) -> DataKey {
    try credential.withKeyHalf { half throws(SealError) in
      try unwrap(wrapped, mode: .clientHeld, fingerprint: .zero, key: half)
    }
  }

  /// `key` under the active master key of `ring`.
  public func wrap(_ key: borrowing DataKey, under ring: KeyRing, context: SealContext) -> [UInt8] {
    let master = ring.active
    return key.secret.withBytes { data in
      master.secret.withBytes { bytes in
        seal(data, mode: .managed, fingerprint: master.fingerprint, key: bytes, context: context)
      }
    }
  }

  /// The data key in `wrapped`, opened by the one master key that its fingerprint names.
  /// - Throws: `SealError.refused`, also when the ring does not have that key.
  public func unwrap(
    _ wrapped: UnsafeRawBufferPointer, with ring: KeyRing, context: SealContext
  ) throws(SealError) -> DataKey {
    guard let fingerprint = KeyFingerprint(ofSealed: wrapped), let master = ring[fingerprint] else {
      throw .refused
    }
    let placed = PlacedValue([UInt8](wrapped), at: context)
    return try master.secret.withBytes { bytes throws(SealError) in
      try unwrap(placed, mode: .managed, fingerprint: fingerprint, key: bytes)
    }
  }

  /// What `sealed` holds, in the same place, under the active master key of `ring`. The plaintext
  /// exists for the length of this call.
  /// - Throws: `SealError.refused`, also when the ring does not have the key of `sealed`.
  public func rewrap(
    _ sealed: [UInt8], with ring: KeyRing, context: SealContext
  ) throws(SealError) -> [UInt8] {
    let fingerprint = sealed.withUnsafeBytes { KeyFingerprint(ofSealed: $0) }
    guard let fingerprint, let old = ring[fingerprint] else { throw .refused }
    var held: Secret?
    try old.secret.withBytes { bytes throws(SealError) in
      try open(
        PlacedValue(sealed, at: context), mode: .managed, fingerprint: fingerprint, key: bytes
      ) { plain throws(SealError) in held = Secret(copying: plain) }
    }
    guard let plain = held.take() else { throw .refused }
    let master = ring.active
    return plain.withBytes { plain in
      master.secret.withBytes { bytes in
        seal(plain, mode: .managed, fingerprint: master.fingerprint, key: bytes, context: context)
      }
    }
  }

  /// `plaintext` under a data key.
  public func seal(
    _ plaintext: UnsafeRawBufferPointer, under key: borrowing DataKey, context: SealContext
  ) -> [UInt8] {
    key.secret.withBytes {
      seal(plaintext, mode: .dataKey, fingerprint: .zero, key: $0, context: context)
    }
  }

  /// Lends the plaintext of `sealed` to `body`, then wipes it.
  /// - Throws: `SealError.refused` as the caller's error, or what `body` throws.
  public func open<Result, Failure: SealErrorConvertible>(
    _ sealed: UnsafeRawBufferPointer, under key: borrowing DataKey, context: SealContext,
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try open(PlacedValue([UInt8](sealed), at: context), under: key, body)
  }

  /// The same for a value that is opened often.
  public func open<Result, Failure: SealErrorConvertible>(
    _ sealed: PlacedValue, under key: borrowing DataKey,
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try key.secret.withBytes { bytes throws(Failure) in
      try open(sealed, mode: .dataKey, fingerprint: .zero, key: bytes, body)
    }
  }

  /// The plaintext of `sealed` as a secret of its own.
  /// - Throws: `SealError.refused`, whatever is wrong.
  public func open(
    _ sealed: UnsafeRawBufferPointer, under key: borrowing DataKey, context: SealContext
  ) throws(SealError) -> Secret {
    var secret: Secret?
    try open(sealed, under: key, context: context) { plain throws(SealError) in
      secret = Secret(copying: plain)
    }
    guard let secret = secret.take() else { throw .refused }
    return secret
  }

  private func unwrap(
    _ wrapped: PlacedValue, mode: SealedValue.Mode, fingerprint: KeyFingerprint,
    key: UnsafeRawBufferPointer
  ) throws(SealError) -> DataKey {
    var found: Secret?
    try open(wrapped, mode: mode, fingerprint: fingerprint, key: key) {
      plain throws(SealError) in
      guard plain.count == DataKey.bytes else { throw .refused }
      found = Secret(copying: plain)
    }
    guard let secret = found.take() else { throw .refused }
    return DataKey(secret: secret)
  }
}
