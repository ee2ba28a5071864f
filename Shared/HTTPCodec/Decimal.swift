// Reads numbers off the wire. Swift's Int("+5") is 5, so it is not used: digits and nothing else,
// no sign, no blank, no leading zero, and no overflow.

/// Plain decimal numbers.
public enum Decimal {
  /// The number that `bytes` writes in one to nineteen digits, at most `Int64.max`, or nil.
  public static func parse(_ bytes: UnsafeRawBufferPointer) -> UInt64? {
    guard (1...19).contains(bytes.count), bytes[0] != UInt8(ascii: "0") || bytes.count == 1 else {
      return nil
    }
    var value: UInt64 = 0
    for byte in bytes {
      let digit = byte &- UInt8(ascii: "0")
      guard digit < 10 else { return nil }
      value = value &* 10 &+ UInt64(digit)  // nineteen digits stay below 2^64
    }
    return value <= UInt64(Int64.max) ? value : nil
  }

  /// The number that `text` writes, or nil.
  public static func parse(_ text: some StringProtocol) -> UInt64? {
    var text = String(text)
    return text.withUTF8 { parse(UnsafeRawBufferPointer($0)) }
  }
}
