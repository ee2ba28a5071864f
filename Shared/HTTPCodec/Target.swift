// The path of a request in its one canonical form. A path that has several spellings is refused
// rather than tidied up: whoever stands before or behind us may tidy it up another way.

/// Paths and queries of request targets.
public enum Target {
  /// The path with its escapes decoded once, or nil when it is not canonical: an empty segment, a
  /// dot segment also when written with escapes, an escaped slash, percent sign, backslash or
  /// control, a semicolon, a broken escape, or bytes that are not UTF-8.
  public static func canonicalPath(_ raw: UnsafeRawBufferPointer) -> String? {
    guard raw.first == UInt8(ascii: "/") else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(raw.count)
    guard decodePath(raw, into: &bytes), hasPlainSegments(bytes) else { return nil }
    return String(validating: bytes, as: UTF8.self)
  }

  /// Whether `raw` is canonical and has no escape at all, so that it needs no decoding.
  public static func isPlain(_ raw: UnsafeRawBufferPointer) -> Bool {
    var previous: UInt8 = 0
    for byte in raw {
      guard ByteSet.path.contains(byte), byte != UInt8(ascii: "%"), byte != UInt8(ascii: ";") else {
        return false
      }
      // A segment that begins with a dot is left to the slow way.
      if previous == UInt8(ascii: "/"), byte == UInt8(ascii: "/") || byte == UInt8(ascii: ".") {
        return false
      }
      previous = byte
    }
    return raw.first == UInt8(ascii: "/")
  }

  private static func decodePath(
    _ raw: UnsafeRawBufferPointer, into bytes: inout [UInt8]
  ) -> Bool {
    var index = 0
    while index < raw.count {
      var byte = raw[index]
      index += 1
      if byte == UInt8(ascii: "%") {
        guard index + 1 < raw.count, let high = hexValue(raw[index]),
          let low = hexValue(raw[index + 1])
        else { return false }
        byte = high << 4 | low
        index += 2
        switch byte {
        case UInt8(ascii: "/"), UInt8(ascii: "\\"), UInt8(ascii: "%"), UInt8(ascii: ";"),
          UInt8(ascii: "."), UInt8(ascii: "?"), UInt8(ascii: "#"):
          return false
        default: break
        }
      } else if byte == UInt8(ascii: ";") || byte >= 0x80 {
        return false
      }
      guard byte >= 0x20, byte != 0x7f, byte != UInt8(ascii: "\\") else { return false }
      bytes.append(byte)
    }
    return true
  }

  /// No empty segment but a last one, no `.` and no `..`.
  private static func hasPlainSegments(_ path: [UInt8]) -> Bool {
    var start = 1
    for index in 1...max(path.count, 1) {
      guard index == path.count || path[index] == UInt8(ascii: "/") else { continue }
      let segment = path[min(start, index)..<index]
      if segment.isEmpty && index < path.count { return false }
      if segment.count <= 2 && !segment.isEmpty && segment.allSatisfy({ $0 == UInt8(ascii: ".") }) {
        return false
      }
      start = index + 1
    }
    return true
  }
}
