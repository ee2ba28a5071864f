// Cuts a head into lines. Remembers how far it looked, so that a head that comes a byte at a time
// costs no more than one that comes whole; and judges in the order of the bytes, so that the
// verdict does not depend on where the reads fell.

/// What the scanner found.
enum ScannedLine {
  /// The line from `start` to `end`; its CRLF follows.
  case line(start: Int, end: Int)
  /// More bytes are needed.
  case partial
}

/// Finds the lines of one head.
struct LineScanner {
  /// Where the present line starts, which is also the length of the lines that were returned.
  private(set) var lineStart = 0
  private var scanned = 0

  /// The next line of the head that `base` holds `count` bytes of.
  @inline(__always)
  mutating func next(
    _ base: UnsafeRawPointer, count: Int, lineBytesMax: Int, headBytesMax: Int
  ) throws(HeadError) -> ScannedLine {
    var stop = scanned
    while true {
      stop = Self.controlIndex(base, from: stop, to: count)
      guard stop - lineStart <= lineBytesMax else { throw .requestLineTooLong }
      guard stop < headBytesMax || (stop == count && count == headBytesMax) else {
        throw .headTooLong
      }
      guard stop < count else {
        scanned = count
        return .partial
      }
      let byte = base.load(fromByteOffset: stop, as: UInt8.self)
      if byte == UInt8(ascii: "\t") {
        stop &+= 1
        continue
      }
      guard byte == UInt8(ascii: "\r") else { throw .controlByte(byte) }
      guard stop + 1 < count else {
        scanned = stop
        return .partial
      }
      guard base.load(fromByteOffset: stop + 1, as: UInt8.self) == UInt8(ascii: "\n") else {
        throw .controlByte(byte)
      }
      guard stop + 2 <= headBytesMax else { throw .headTooLong }
      let start = lineStart
      lineStart = stop + 2
      scanned = lineStart
      return .line(start: start, end: stop)
    }
  }

  /// The first byte below 0x20 or equal to 0x7f in `from..<to`, or `to`. Eight bytes at a time: a
  /// subtraction borrows out of bytes that are too small, and the lowest such byte is exact.
  @inline(__always)
  static func controlIndex(_ base: UnsafeRawPointer, from: Int, to: Int) -> Int {
    var index = from
    while index &+ 8 <= to {
      let word = UInt64(
        littleEndian: base.loadUnaligned(fromByteOffset: index, as: UInt64.self))
      let below = (word &- 0x2020_2020_2020_2020) & ~word
      let folded = word ^ 0x7f7f_7f7f_7f7f_7f7f
      let deleted = (folded &- 0x0101_0101_0101_0101) & ~folded
      let hits = (below | deleted) & 0x8080_8080_8080_8080
      if hits != 0 { return index &+ hits.trailingZeroBitCount >> 3 }
      index &+= 8
    }
    while index < to {
      let byte = base.load(fromByteOffset: index, as: UInt8.self)
      if byte < 0x20 || byte == 0x7f { return index }
      index &+= 1
    }
    return to
  }
}
