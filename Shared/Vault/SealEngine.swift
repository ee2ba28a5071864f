// Seals and opens values in format v1. Every write has a random salt, hence a key and a nonce of
// its own (HKDF-SHA256), so no nonce ever meets a key twice. Whatever is wrong with a sealed value
// (version, mode, fingerprint, place, length, tag, padding) is one error, and no other key is tried.

import Bytes
import Clocks

/// Why a sealed value did not open: deliberately nothing more.
public enum SealError: Error, Equatable, Sendable {
  case refused
}

/// Reusable state for sealing and opening; owned by one thread or loop, not Sendable.
public final class SealEngine {
  /// Hashing for its owner's other needs (lookups).
  public let hashing = HashContext()
  private let cipher = GCMContext()
  private let authenticated = Buffer(capacity: 512)
  /// Derived key and nonce.
  private let derived = UnsafeMutableRawBufferPointer.allocate(byteCount: 44, alignment: 16)
  private var plaintext = UnsafeMutableRawBufferPointer.allocate(byteCount: 1024, alignment: 16)
  private var isOpen = false

  /// A fresh engine.
  public init() {}

  deinit {
    wipe(derived)
    derived.deallocate()
    wipe(plaintext)
    plaintext.deallocate()
  }

  func seal(
    _ secret: UnsafeRawBufferPointer, mode: SealedValue.Mode, fingerprint: KeyFingerprint,
    key: UnsafeRawBufferPointer, context: SealContext
  ) -> [UInt8] {
    withUnsafeTemporaryAllocation(byteCount: 32, alignment: 16) { salt in
      Randomness.fill(salt)  // from the kernel at each write: a restored snapshot repeats nothing
      return seal(
        secret, mode: mode, fingerprint: fingerprint, key: key, context: context,
        salt: UnsafeRawBufferPointer(salt))
    }
  }

  /// Seals with a given salt; only the vectors' test gives one.
  func seal(
    _ secret: UnsafeRawBufferPointer, mode: SealedValue.Mode, fingerprint: KeyFingerprint,
    key: UnsafeRawBufferPointer, context: SealContext, salt: UnsafeRawBufferPointer
  ) -> [UInt8] {
    precondition(secret.count <= SealedValue.plaintextBytesMax && salt.count == 32)
    precondition(!isOpen, "the engine is lent")
    let padded = SealedValue.paddedBytes(secret.count)
    reserve(padded)
    let plain = UnsafeMutableRawBufferPointer(rebasing: plaintext[..<padded])
    defer { wipe(plain) }
    wipe(plain)
    plain.storeBytes(of: UInt32(secret.count).bigEndian, as: UInt32.self)
    UnsafeMutableRawBufferPointer(rebasing: plain[SealedValue.lengthBytes...])
      .copyMemory(from: secret)
    return [UInt8](
      unsafeUninitializedCapacity: SealedValue.headerBytes + padded + SealedValue.tagBytes
    ) { sealed, count in
      count = SealedValue.headerBytes + padded + SealedValue.tagBytes
      let sealed = UnsafeMutableRawBufferPointer(sealed)
      sealed[0] = SealedValue.version
      sealed[1] = mode.rawValue
      sealed.storeBytes(of: fingerprint.bits.bigEndian, toByteOffset: 2, as: UInt64.self)
      UnsafeMutableRawBufferPointer(rebasing: sealed[SealedValue.saltRange])
        .copyMemory(from: salt)
      derive(key: key, salt: salt, purpose: mode.purpose, into: derived)
      authenticated.clear()
      authenticated.append(UnsafeRawBufferPointer(rebasing: sealed[..<SealedValue.headerBytes]))
      authenticated.append(context.encoded)
      cipher.seal(
        UnsafeRawBufferPointer(plain), key: derivedKey, nonce: derivedNonce,
        authenticating: authenticated.readable,
        into: UnsafeMutableRawBufferPointer(rebasing: sealed[SealedValue.headerBytes..<count]))
      wipe(derived)
    }
  }

  /// Lends the plaintext of `value` to `body` and wipes it afterwards.
  func open<Result, Failure: SealErrorConvertible>(
    _ value: PlacedValue, mode: SealedValue.Mode, fingerprint: KeyFingerprint,
    key: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    precondition(!isOpen, "the engine is lent")
    guard let plain = decrypt(value, mode: mode, fingerprint: fingerprint, key: key) else {
      throw Failure(.refused)
    }
    isOpen = true
    defer {
      wipe(plain)
      isOpen = false
    }
    guard let count = Self.length(of: plain) else { throw Failure(.refused) }
    return try body(
      UnsafeRawBufferPointer(
        rebasing: plain[SealedValue.lengthBytes..<SealedValue.lengthBytes + count]))
  }

  /// The padded plaintext of `value`, in `plaintext` and the caller's to wipe; nil, and nothing left
  /// behind, when the value is not what it has to be or its tag does not fit.
  private func decrypt(
    _ value: PlacedValue, mode: SealedValue.Mode, fingerprint: KeyFingerprint,
    key: UnsafeRawBufferPointer
  ) -> UnsafeMutableRawBufferPointer? {
    value.sealed.withUnsafeBytes { sealed in
      guard SealedValue.isPossible(sealed.count), sealed[0] == SealedValue.version,
        sealed[1] == mode.rawValue,
        UInt64(bigEndian: sealed.loadUnaligned(fromByteOffset: 2, as: UInt64.self))
          == fingerprint.bits
      else { return nil }
      let padded = sealed.count - SealedValue.headerBytes - SealedValue.tagBytes
      reserve(padded)
      let plain = UnsafeMutableRawBufferPointer(rebasing: plaintext[..<padded])
      hashing.hkdf(key: key, salt: value.salt, info: info(mode.purpose), into: derived)
      let good = value.authenticated.withUnsafeBytes {
        cipher.open(
          UnsafeRawBufferPointer(rebasing: sealed[SealedValue.headerBytes...]), key: derivedKey,
          nonce: derivedNonce, authenticating: $0, into: plain)
      }
      wipe(derived)
      return good ? plain : nil
    }
  }

  /// The length that a padded plaintext states, if the padding is exactly what sealing writes.
  private static func length(of plain: UnsafeMutableRawBufferPointer) -> Int? {
    let count = Int(UInt32(bigEndian: plain.load(as: UInt32.self)))
    guard count <= SealedValue.plaintextBytesMax, SealedValue.paddedBytes(count) == plain.count
    else { return nil }
    // Whole words from the end on, then the bytes before them.
    guard let base = plain.baseAddress else { return nil }
    let start = SealedValue.lengthBytes + count
    var end = plain.count
    var rest: UInt64 = 0
    while end &- start >= 8 {
      end &-= 8
      rest |= base.load(fromByteOffset: end, as: UInt64.self)
    }
    while end > start {
      end &-= 1
      rest |= UInt64(base.load(fromByteOffset: end, as: UInt8.self))
    }
    return rest == 0 ? count : nil
  }

  func derive(
    key: UnsafeRawBufferPointer, salt: UnsafeRawBufferPointer, purpose: StaticString,
    into output: UnsafeMutableRawBufferPointer
  ) {
    hashing.hkdf(key: key, salt: salt, info: info(purpose), into: output)
  }

  /// What HKDF takes for `purpose`: its length in 4 bytes, and itself. Lies in `authenticated`.
  private func info(_ purpose: StaticString) -> UnsafeRawBufferPointer {
    authenticated.clear()
    authenticated.append(bigEndian: UInt32(purpose.utf8CodeUnitCount))
    authenticated.append(purpose)
    return authenticated.readable
  }

  private var derivedKey: UnsafeRawBufferPointer { .init(rebasing: derived[..<32]) }
  private var derivedNonce: UnsafeRawBufferPointer { .init(rebasing: derived[32..<44]) }

  private func reserve(_ count: Int) {
    guard plaintext.count < count else { return }
    plaintext.deallocate()  // wiped after each use
    plaintext = .allocate(byteCount: count, alignment: 16)
  }
}

/// An error that can carry a refusal to open.
public protocol SealErrorConvertible: Error {
  /// The error for a value that does not open.
  init(_ error: SealError)
}

extension SealError: SealErrorConvertible {
  public init(_ error: SealError) { self = error }
}
