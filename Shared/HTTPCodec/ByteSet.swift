// Which bytes may stand where: sets of ASCII bytes as two words, so that a test is a shift and no
// memory is read. The constants are checked against the grammar's text by a test.

/// A set of ASCII bytes.
struct ByteSet {
  let low: UInt64
  let high: UInt64

  @inline(__always)
  func contains(_ byte: UInt8) -> Bool {
    let word = byte & 64 == 0 ? low : high
    return byte < 128 && (word >> UInt64(byte & 63)) & 1 != 0
  }

  /// RFC 9110 5.6.2: what names and methods are made of.
  @inline(__always) static var token: ByteSet {
    ByteSet(low: 0x03ff_6cfa_0000_0000, high: 0x57ff_ffff_c7ff_fffe)
  }
  /// Tokens without the underscore, which some servers read as a hyphen.
  @inline(__always) static var requestName: ByteSet {
    ByteSet(low: 0x03ff_6cfa_0000_0000, high: 0x57ff_ffff_47ff_fffe)
  }
  /// RFC 3986: bytes of a path, slashes and percent signs among them.
  @inline(__always) static var path: ByteSet {
    ByteSet(low: 0x2fff_fff2_0000_0000, high: 0x47ff_fffe_87ff_ffff)
  }
  /// Visible bytes of a query; wider than RFC 3986 because browsers send brackets and bars, without
  /// `#`, quotes, angle brackets and the backslash.
  @inline(__always) static var query: ByteSet {
    ByteSet(low: 0xafff_fff2_0000_0000, high: 0x7fff_ffff_efff_ffff)
  }
  /// Letters, digits, hyphen, dot, underscore: names of hosts.
  @inline(__always) static var host: ByteSet {
    ByteSet(low: 0x03ff_6000_0000_0000, high: 0x07ff_fffe_87ff_fffe)
  }
  /// RFC 6265 4.1.1: what cookie values are made of.
  @inline(__always) static var cookieValue: ByteSet {
    ByteSet(low: 0xf7ff_effa_0000_0000, high: 0x7fff_ffff_efff_ffff)
  }
}

/// The value of a hexadecimal digit of either case, or nil.
@inline(__always)
func hexValue(_ byte: UInt8) -> UInt8? {
  switch byte {
  case UInt8(ascii: "0")...UInt8(ascii: "9"): byte &- UInt8(ascii: "0")
  case UInt8(ascii: "a")...UInt8(ascii: "f"): byte &- UInt8(ascii: "a") &+ 10
  case UInt8(ascii: "A")...UInt8(ascii: "F"): byte &- UInt8(ascii: "A") &+ 10
  default: nil
  }
}

/// The byte with an ASCII capital made small.
@inline(__always)
func lowercased(_ byte: UInt8) -> UInt8 {
  byte &- UInt8(ascii: "A") < 26 ? byte | 0x20 : byte
}

/// Whether `bytes` is `text`, which is in small letters, in any letter case.
func equalsIgnoringCase(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
  guard bytes.count == text.utf8CodeUnitCount else { return false }
  let expected = text.utf8Start
  for index in 0..<bytes.count where lowercased(bytes[index]) != expected[index] { return false }
  return true
}

/// Whether both are equal in any letter case.
func equalsIgnoringCase(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
  guard a.count == b.count else { return false }
  for index in 0..<a.count where lowercased(a[index]) != lowercased(b[index]) { return false }
  return true
}

/// `bytes` without blanks and tabs at both ends.
@inline(__always)
func trimmingBlanks(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
  var start = 0
  var end = bytes.count
  while start < end, bytes[start] == 0x20 || bytes[start] == 0x09 { start += 1 }
  while end > start, bytes[end - 1] == 0x20 || bytes[end - 1] == 0x09 { end -= 1 }
  return UnsafeRawBufferPointer(rebasing: bytes[start..<end])
}
