// The master keys of managed mode: MANAGED_ENCRYPTION_KEYS, `[{"key":"<64 hex>"}, …]`, the last one
// active. A ring that is not entirely sound is refused, naming the entry and never its value. The
// text is read in place, so that no parser keeps copies of keys.

import Bytes
import Clocks

/// What tells master keys apart: the first 8 bytes of SHA-256 of the key's lower-case hex text.
public struct KeyFingerprint: Hashable, Sendable, CustomStringConvertible {
  let bits: UInt64

  /// No master key: the value is sealed under a key that a client holds, or a data key.
  static let zero = KeyFingerprint(bits: 0)

  init(bits: UInt64) { self.bits = bits }

  /// The fingerprint that 16 lower-case hexadecimal digits spell, or nil.
  public init?(_ text: String) {
    guard text.utf8.count == 16, let bytes = Hex.decode(text), Hex.encode(bytes) == text else {
      return nil
    }
    bits = bytes.reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// The fingerprint in the header of a sealed value, or nil when that is no sealed value.
  public init?(ofSealed sealed: UnsafeRawBufferPointer) {
    guard SealedValue.isPossible(sealed.count), sealed[0] == SealedValue.version else {
      return nil
    }
    bits = UInt64(bigEndian: sealed.loadUnaligned(fromByteOffset: 2, as: UInt64.self))
  }

  /// The fingerprint of a key written as lower-case hexadecimal digits.
  init(ofHexText text: UnsafeRawBufferPointer) {
    bits = Digest256(of: text).firstWord
  }

  /// 16 lower-case hexadecimal digits.
  public var description: String {
    withUnsafeBytes(of: bits.bigEndian) { Hex.encode($0) }
  }
}

/// One master key.
public final class MasterKey: Sendable {
  /// What tells it apart.
  public let fingerprint: KeyFingerprint
  let secret: Secret

  /// The key of 64 hexadecimal digits of either case.
  init(hexText: UnsafeRawBufferPointer) throws(KeyRingError.Reason) {
    guard hexText.count == 64 else { throw .length }
    let lower = UnsafeMutableRawBufferPointer.allocate(byteCount: 64, alignment: 16)
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 32, alignment: 16)
    defer {
      wipe(lower)
      wipe(bytes)
      lower.deallocate()
      bytes.deallocate()
    }
    var any: UInt8 = 0
    for index in 0..<32 {
      guard let high = Hex.value(of: hexText[index * 2]),
        let low = Hex.value(of: hexText[index * 2 + 1])
      else { throw .notHexadecimal }
      bytes[index] = high << 4 | low
      any |= bytes[index]
    }
    guard any != 0 else { throw .allZero }
    // Letters gain bit 5; digits have it already.
    for index in 0..<64 { lower[index] = hexText[index] | 0x20 }
    fingerprint = KeyFingerprint(ofHexText: UnsafeRawBufferPointer(lower))
    secret = Secret(copying: UnsafeRawBufferPointer(bytes))
  }
}

/// Why master keys were refused.
public enum KeyRingError: Error, Equatable, Sendable {
  /// Not a JSON array of objects.
  case malformed
  /// No keys at all.
  case empty
  /// More than `KeyRing.keysMax` keys.
  case tooMany
  /// Entry `number`, counted from 1.
  case entry(number: Int, Reason)

  /// What is wrong with one entry.
  public enum Reason: Error, Equatable, Sendable {
    case malformed, length, notHexadecimal, allZero
    case duplicate(ofEntry: Int)
  }
}

/// The master keys, one of them active.
public final class KeyRing: Sendable {
  /// More keys than any rotation needs.
  public static let keysMax = 64

  /// All keys in the order of the setting.
  public let keys: [MasterKey]

  /// The ring that the value of MANAGED_ENCRYPTION_KEYS describes.
  public convenience init(text: UnsafeRawBufferPointer) throws(KeyRingError) {
    var reader = KeyRingReader(text)
    try self.init(reader.read())
  }

  /// The ring of the single key that MANAGED_ENCRYPTION_MASTER_KEY holds.
  public convenience init(singleKey text: UnsafeRawBufferPointer) throws(KeyRingError) {
    let key: MasterKey
    do throws(KeyRingError.Reason) {
      key = try MasterKey(hexText: text)
    } catch {
      throw .entry(number: 1, error)
    }
    try self.init([key])
  }

  init(_ keys: [MasterKey]) throws(KeyRingError) {
    guard !keys.isEmpty else { throw .empty }
    guard keys.count <= Self.keysMax else { throw .tooMany }
    for (index, key) in keys.enumerated() {
      for (earlier, other) in keys[..<index].enumerated()
      where key.secret.isEqual(to: other.secret) || key.fingerprint == other.fingerprint {
        throw .entry(number: index + 1, .duplicate(ofEntry: earlier + 1))
      }
    }
    self.keys = keys
  }

  /// The key under which new wraps are sealed: the last one.
  public var active: MasterKey { keys[keys.count - 1] }

  /// The key with this fingerprint, or nil.
  public subscript(fingerprint: KeyFingerprint) -> MasterKey? {
    keys.first { $0.fingerprint == fingerprint }
  }
}
