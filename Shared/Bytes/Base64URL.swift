// Writes and reads base64url without padding (RFC 4648 section 5). Reading is strict: no padding,
// no foreign characters, no dangling bits, so that one byte string has exactly one text.

/// The base64url alphabet without padding, one text per byte string.
public enum Base64URL {
  /// The text of `bytes`, four characters for three bytes, no padding.
  public static func encode(_ bytes: UnsafeRawBufferPointer) -> String {
    let length = encodedLength(of: bytes.count)
    return String(unsafeUninitializedCapacity: length) { target in
      encode(bytes, into: UnsafeMutableRawBufferPointer(target))
    }
  }

  /// The text of `bytes`.
  public static func encode(_ bytes: [UInt8]) -> String {
    bytes.withUnsafeBytes { encode($0) }
  }

  /// The number of characters that `count` bytes take.
  public static func encodedLength(of count: Int) -> Int { (count * 4 + 2) / 3 }

  /// Writes the text into `target`, which has room for `encodedLength(of:)`; returns its length.
  @discardableResult
  public static func encode(
    _ bytes: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer
  ) -> Int {
    var written = 0
    var index = 0
    while index < bytes.count {
      let left = bytes.count - index
      let a = UInt32(bytes[index])
      let b = left > 1 ? UInt32(bytes[index + 1]) : 0
      let c = left > 2 ? UInt32(bytes[index + 2]) : 0
      let word = a << 16 | b << 8 | c
      target[written] = character(word >> 18)
      target[written + 1] = character(word >> 12)
      if left > 1 { target[written + 2] = character(word >> 6) }
      if left > 2 { target[written + 3] = character(word) }
      written += min(left, 3) + 1
      index += 3
    }
    return written
  }

  /// The bytes of `text`, or nil when it is not exactly what `encode` would write.
  public static func decode(_ text: UnsafeRawBufferPointer) -> [UInt8]? {
    guard text.count % 4 != 1 else { return nil }
    let length = text.count * 3 / 4
    var good = true
    let bytes = [UInt8](unsafeUninitializedCapacity: length) { target, count in
      good = decode(text, into: UnsafeMutableRawBufferPointer(target))
      count = good ? length : 0
    }
    return good ? bytes : nil
  }

  /// The bytes of `text`, or nil when it is not exactly what `encode` would write.
  public static func decode(_ text: String) -> [UInt8]? {
    var text = text
    return text.withUTF8 { decode(UnsafeRawBufferPointer($0)) }
  }

  /// Decodes into `target`, which has room for `text.count * 3 / 4` bytes; false when not canonical.
  public static func decode(
    _ text: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer
  ) -> Bool {
    guard text.count % 4 != 1 else { return false }
    guard let source = text.baseAddress, let sink = target.baseAddress else { return true }
    return values.withUnsafeBufferPointer { values in
      // What is no character sets a high bit; all of them are judged together at the end.
      var seen: UInt32 = 0
      func value(at index: Int) -> UInt32 {
        let value = UInt32(values[Int(source.load(fromByteOffset: index, as: UInt8.self))])
        seen |= value
        return value
      }
      func write(_ word: UInt32, at index: Int) {
        sink.storeBytes(of: UInt8(truncatingIfNeeded: word), toByteOffset: index, as: UInt8.self)
      }
      var read = 0
      var written = 0
      while read &+ 4 <= text.count {
        let word =
          value(at: read) << 18 | value(at: read &+ 1) << 12 | value(at: read &+ 2) << 6
          | value(at: read &+ 3)
        write(word >> 16, at: written)
        write(word >> 8, at: written &+ 1)
        write(word, at: written &+ 2)
        read &+= 4
        written &+= 3
      }
      // Two or three characters are left over, or none. Leftover bits would give a second text.
      guard read < text.count else { return seen < 64 }
      let word = value(at: read) << 12 | value(at: read + 1) << 6
      write(word >> 10, at: written)
      guard read + 2 < text.count else { return seen < 64 && word & 0x3ff == 0 }
      let longer = word | value(at: read + 2)
      write(longer >> 2, at: written + 1)
      return seen < 64 && longer & 3 == 0
    }
  }

  /// The value of each character; 255 for what is none.
  private static let values: [UInt8] = (0...255).map { value(of: UInt8($0)) }

  @inline(__always)
  private static func character(_ bits: UInt32) -> UInt8 {
    switch UInt8(truncatingIfNeeded: bits & 63) {
    case let value where value < 26: value + UInt8(ascii: "A")
    case let value where value < 52: value - 26 + UInt8(ascii: "a")
    case let value where value < 62: value - 52 + UInt8(ascii: "0")
    case 62: UInt8(ascii: "-")
    default: UInt8(ascii: "_")
    }
  }

  private static func value(of character: UInt8) -> UInt8 {
    switch character {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): character - UInt8(ascii: "A")
    case UInt8(ascii: "a")...UInt8(ascii: "z"): character - UInt8(ascii: "a") + 26
    case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0") + 52
    case UInt8(ascii: "-"): 62
    case UInt8(ascii: "_"): 63
    default: 255
    }
  }
}
