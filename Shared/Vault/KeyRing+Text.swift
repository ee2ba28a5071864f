// Writes the text of key files: `[{"key":"<64 hex>"},...]`. Digits are made in place, so that no String
// keeps a copy of a key.

import Bytes
import Clocks

extension KeyRing {
  /// The text of a ring with one fresh key, for a new key file.
  public static func makeText() -> Secret {
    text(count: 1) { _, key in Randomness.fill(key) }
  }

  /// The text of a key file with the keys of this ring, in their order.
  public func makeText() -> Secret {
    Self.text(count: keys.count) { index, key in
      keys[index].secret.withBytes { key.copyMemory(from: $0) }
    }
  }

  /// The ring without one of its keys; nil when it does not have it or has it active.
  public func without(_ fingerprint: KeyFingerprint) -> KeyRing? {
    guard fingerprint != active.fingerprint, self[fingerprint] != nil else { return nil }
    return try? KeyRing(keys.filter { $0.fingerprint != fingerprint })
  }

  private static func text(
    count: Int, key: (_ index: Int, _ bytes: UnsafeMutableRawBufferPointer) -> Void
  ) -> Secret {
    let before: StaticString = "{\"key\":\""
    let after: StaticString = "\"}"
    // Brackets and commas around the entries, and the end of the line.
    let entryBytes = before.utf8CodeUnitCount + 64 + after.utf8CodeUnitCount
    return Secret(count: 1 + count * (entryBytes + 1) + 1) { text in
      var place = 0
      func put(_ byte: UInt8) {
        text[place] = byte
        place += 1
      }
      put(UInt8(ascii: "["))
      for index in 0..<count {
        before.withUTF8Buffer { $0.forEach(put) }
        withUnsafeTemporaryAllocation(byteCount: 32, alignment: 16) { bytes in
          defer { wipe(bytes) }
          key(index, bytes)
          for byte in bytes {
            put(digit(byte >> 4))
            put(digit(byte & 15))
          }
        }
        after.withUTF8Buffer { $0.forEach(put) }
        put(UInt8(ascii: index == count - 1 ? "]" : ","))
      }
      put(0x0a)
    }
  }

  private static func digit(_ value: UInt8) -> UInt8 {
    value < 10 ? value + 0x30 : value - 10 + 0x61
  }
}
