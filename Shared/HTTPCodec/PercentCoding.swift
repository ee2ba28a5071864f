// Percent escapes (RFC 3986 2.1), decoded once and never twice.
// A broken escape is an error, not text.

/// Percent escapes in byte strings.
public enum PercentCoding {
  /// The bytes that `raw` stands for, or nil when an escape is broken. With `plusIsBlank` a plus
  /// sign is a blank, as forms write it.
  public static func decode(
    _ raw: some Collection<UInt8>, plusIsBlank: Bool = false
  ) -> [UInt8]? {
    var result: [UInt8] = []
    result.reserveCapacity(raw.count)
    var rest = raw.makeIterator()
    while let byte = rest.next() {
      if byte == UInt8(ascii: "%") {
        guard let first = rest.next(), let second = rest.next(), let high = hexValue(first),
          let low = hexValue(second)
        else { return nil }
        result.append(high << 4 | low)
      } else if byte == UInt8(ascii: "+"), plusIsBlank {
        result.append(0x20)
      } else {
        result.append(byte)
      }
    }
    return result
  }

  /// `bytes` with everything escaped but unreserved characters; fit for any part of a URL or form.
  public static func encode(_ bytes: some Collection<UInt8>) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count)
    for byte in bytes {
      if isUnreserved(byte) {
        result.append(byte)
      } else {
        result += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return String(decoding: result, as: UTF8.self)
  }

  /// The UTF-8 of `text`, escaped.
  public static func encode(_ text: String) -> String { encode(text.utf8) }

  private static func isUnreserved(_ byte: UInt8) -> Bool {
    let set = ByteSet(low: 0x03ff_6000_0000_0000, high: 0x47ff_fffe_87ff_fffe)
    return set.contains(byte)
  }
}
