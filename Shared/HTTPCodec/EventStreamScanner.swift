// Follows an event stream without reading it: is this place between two events? Only there may a
// comment of ours be put. Lines end with CR, LF or CRLF, mixed, and a CRLF may be cut by a read.

/// Where an event stream stands between its events.
public struct EventStreamScanner: Sendable {
  private static let mark: [UInt8] = [0xef, 0xbb, 0xbf]

  private var markBytes = 0
  private var isLineEmpty = true
  private var isComment = false
  private var endedWithReturn = false
  private var isInEvent = false
  private var isInMark = true

  /// A scanner at the start of a stream.
  public init() {}

  /// Whether no byte has come yet.
  public var isAtStart: Bool { isInMark && markBytes == 0 }

  /// Whether the bytes so far end between two events, or before the first one. Comments do not make
  /// an event, so a line of ours may follow one.
  public var isAtBoundary: Bool {
    isLineEmpty && !isInEvent && (!isInMark || markBytes == 0)
  }

  /// Goes on over `bytes`.
  public mutating func scan(_ bytes: UnsafeRawBufferPointer) {
    guard let base = bytes.baseAddress else { return }
    var index = isInMark ? readMark(bytes) : 0
    while index < bytes.count {
      let byte = base.load(fromByteOffset: index, as: UInt8.self)
      if byte == UInt8(ascii: "\n") && endedWithReturn {
        endedWithReturn = false
        index += 1
        continue
      }
      endedWithReturn = false
      if byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") {
        endLine()
        endedWithReturn = byte == UInt8(ascii: "\r")
        index += 1
        continue
      }
      if isLineEmpty {
        isLineEmpty = false
        isComment = byte == UInt8(ascii: ":")
      }
      index = Self.lineEnd(base, from: index + 1, to: bytes.count)
    }
  }

  /// What may follow something of ours: a byte order mark means itself only at the very start, and
  /// behind a comment it would be text that spoils the first line.
  public struct Behind: Equatable, Sendable {
    /// Bytes at the start of the piece that are left out: a mark, or what may become one.
    public var dropped = 0
    /// Bytes that were left out before and were no mark after all; they go before the piece.
    public var restored: ArraySlice<UInt8> = []
  }

  /// Goes on over `bytes`, when something of ours went out before the stream's first byte.
  public mutating func scanBehindOurs(_ bytes: UnsafeRawBufferPointer) -> Behind {
    let held = markBytes
    let wasInMark = isInMark
    scan(bytes)
    guard wasInMark else { return Behind() }
    if isInMark || markBytes == 3 { return Behind(dropped: markBytes - held) }
    return Behind(restored: Self.mark[..<held])
  }

  private mutating func endLine() {
    if isLineEmpty {
      isInEvent = false
    } else if !isComment {
      isInEvent = true
    }
    isLineEmpty = true
  }

  /// Reads the bytes that belong to a mark; what only begins like one is text of the first line.
  private mutating func readMark(_ bytes: UnsafeRawBufferPointer) -> Int {
    var index = 0
    while index < bytes.count, markBytes < 3, bytes[index] == Self.mark[markBytes] {
      index += 1
      markBytes += 1
    }
    if markBytes == 3 || index < bytes.count {
      isInMark = false
      if markBytes == 1 || markBytes == 2 { isLineEmpty = false }
    }
    return index
  }

  /// The first CR or LF in `from..<to`, or `to`; eight bytes at a time.
  @inline(__always)
  static func lineEnd(_ base: UnsafeRawPointer, from: Int, to: Int) -> Int {
    var index = from
    while index &+ 8 <= to {
      let word = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: index, as: UInt64.self))
      let feeds = word ^ 0x0a0a_0a0a_0a0a_0a0a
      let returns = word ^ 0x0d0d_0d0d_0d0d_0d0d
      let hits =
        ((feeds &- 0x0101_0101_0101_0101) & ~feeds | (returns &- 0x0101_0101_0101_0101) & ~returns)
        & 0x8080_8080_8080_8080
      if hits != 0 { return index &+ hits.trailingZeroBitCount >> 3 }
      index &+= 8
    }
    while index < to {
      let byte = base.load(fromByteOffset: index, as: UInt8.self)
      if byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") { return index }
      index &+= 1
    }
    return to
  }
}
