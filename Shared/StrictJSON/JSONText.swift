// Reads the smallest parts of JSON: strings, numbers, names of values. Strings are skipped eight
// bytes at a time until something needs a look; UTF-8 and escapes are checked where they stand.

/// A place in a text of which each part is read once, from left to right.
struct JSONText {
  let bytes: UnsafeRawBufferPointer
  var index = 0

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  var isAtEnd: Bool { index >= bytes.count }

  /// The byte here.
  @inline(__always)
  func peek() throws(JSONError) -> UInt8 {
    guard index < bytes.count else { throw .truncated }
    return bytes[index]
  }

  @inline(__always)
  mutating func skipBlanks() {
    while index < bytes.count {
      let byte = bytes[index]
      guard byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 else { return }
      index &+= 1
    }
  }

  /// Reads the string that begins with the quote here.
  /// - Returns: Its content without the quotes, and whether there are escapes in it.
  mutating func string() throws(JSONError) -> (content: Range<Int>, hasEscapes: Bool) {
    index += 1
    let start = index
    var hasEscapes = false
    while true {
      skipPlain()
      let byte = try peek()
      switch byte {
      case UInt8(ascii: "\""):
        index += 1
        return (start..<(index - 1), hasEscapes)
      case UInt8(ascii: "\\"):
        hasEscapes = true
        _ = try escape()
      case 0x80...: try scalar()
      default: throw .syntax(at: index)  // a control
      }
    }
  }

  /// Goes to the next byte that is a quote, a backslash, a control or no ASCII.
  @inline(__always)
  private mutating func skipPlain() {
    guard let base = bytes.baseAddress else { return }
    while index &+ 8 <= bytes.count {
      let word = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: index, as: UInt64.self))
      let quotes = word ^ 0x2222_2222_2222_2222
      let slashes = word ^ 0x5c5c_5c5c_5c5c_5c5c
      let hits =
        ((word &- 0x2020_2020_2020_2020)
          | (quotes &- 0x0101_0101_0101_0101) | (slashes &- 0x0101_0101_0101_0101) | word)
        & 0x8080_8080_8080_8080
      // A borrow may mark a byte too many behind a true one, never one before it.
      if hits != 0 {
        index &+= hits.trailingZeroBitCount >> 3
        return
      }
      index &+= 8
    }
    while index < bytes.count {
      let byte = bytes[index]
      if byte < 0x20 || byte >= 0x80 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
        return
      }
      index &+= 1
    }
  }

  /// Reads the escape that begins with the backslash here, both halves of a surrogate pair at once.
  mutating func escape() throws(JSONError) -> UInt32 {
    let start = index
    index += 1
    let byte = try peek()
    index += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return UInt32(byte)
    case UInt8(ascii: "b"): return 0x08
    case UInt8(ascii: "f"): return 0x0c
    case UInt8(ascii: "n"): return 0x0a
    case UInt8(ascii: "r"): return 0x0d
    case UInt8(ascii: "t"): return 0x09
    case UInt8(ascii: "u"): break
    default: throw .syntax(at: index - 1)
    }
    let first = try fourDigits()
    guard (0xd800...0xdfff).contains(first) else { return first }
    guard first < 0xdc00 else { throw .loneSurrogate(at: start) }
    guard try peek() == UInt8(ascii: "\\") else { throw .loneSurrogate(at: start) }
    index += 1
    guard try peek() == UInt8(ascii: "u") else { throw .loneSurrogate(at: start) }
    index += 1
    let second = try fourDigits()
    guard (0xdc00...0xdfff).contains(second) else { throw .loneSurrogate(at: start) }
    return 0x10000 + (first - 0xd800) << 10 + (second - 0xdc00)
  }

  private mutating func fourDigits() throws(JSONError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      let byte = try peek()
      let digit: UInt8
      switch byte {
      case 0x30...0x39: digit = byte - 0x30
      case 0x41...0x46: digit = byte - 0x37
      case 0x61...0x66: digit = byte - 0x57
      default: throw .syntax(at: index)
      }
      value = value << 4 | UInt32(digit)
      index += 1
    }
    return value
  }

  /// Steps over one scalar of more than one byte (RFC 3629 section 4, its table row by row).
  private mutating func scalar() throws(JSONError) {
    let lead = bytes[index]
    var range: ClosedRange<UInt8> = 0x80...0xbf
    let more: Int
    switch lead {
    case 0xc2...0xdf: more = 1
    case 0xe0: (more, range) = (2, 0xa0...0xbf)
    case 0xed: (more, range) = (2, 0x80...0x9f)
    case 0xe1...0xef: more = 2
    case 0xf0: (more, range) = (3, 0x90...0xbf)
    case 0xf1...0xf3: more = 3
    case 0xf4: (more, range) = (3, 0x80...0x8f)
    default: throw .encoding(at: index)
    }
    index += 1
    for _ in 0..<more {
      guard range.contains(try peek()) else { throw .encoding(at: index) }
      range = 0x80...0xbf
      index += 1
    }
  }

  /// Reads the number that begins here.
  mutating func number() throws(JSONError) {
    if try peek() == UInt8(ascii: "-") { index += 1 }
    if try peek() == UInt8(ascii: "0") {
      index += 1
    } else {
      try digits()
    }
    if !isAtEnd, bytes[index] == UInt8(ascii: ".") {
      index += 1
      try digits()
    }
    guard !isAtEnd, bytes[index] | 0x20 == UInt8(ascii: "e") else { return }
    index += 1
    let sign = try peek()
    if sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") { index += 1 }
    try digits()
  }

  private mutating func digits() throws(JSONError) {
    guard (0x30...0x39).contains(try peek()) else { throw .syntax(at: index) }
    while index < bytes.count, (0x30...0x39).contains(bytes[index]) { index += 1 }
  }

  /// Reads `true`, `false` or `null`.
  mutating func literal(_ text: StaticString) throws(JSONError) {
    for offset in 0..<text.utf8CodeUnitCount {
      guard try peek() == text.utf8Start[offset] else { throw .syntax(at: index) }
      index += 1
    }
  }

  /// The bytes that the string content `range`, checked before, stands for.
  func decoded(_ range: Range<Int>) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(range.count)
    var rest = JSONText(UnsafeRawBufferPointer(rebasing: bytes[range]))
    while rest.index < rest.bytes.count {
      let byte = rest.bytes[rest.index]
      if byte == UInt8(ascii: "\\"), let value = try? rest.escape(),
        let scalar = Unicode.Scalar(value)
      {
        result.append(contentsOf: UTF8.encode(scalar).map(Array.init) ?? [])
      } else {
        result.append(byte)
        rest.index += 1
      }
    }
    return result
  }
}
