// Takes chunk framing off a body (RFC 9112 7.1), a state machine over whatever bytes there are.
// Sizes are hexadecimal digits and nothing else, line ends are CRLF and nothing else, extensions
// are skipped, trailers are checked and dropped. Everything that has no bound of its own gets one
// here.

/// Why chunk framing was refused. The connection must be closed.
public enum ChunkError: Error, Equatable, Sendable {
  /// The size is no hexadecimal number of 1 to 16 digits below 2^63.
  case size
  /// A size line of more than 256 bytes, or more than 16 KiB of extensions.
  case sizeLineTooLong, extensionsTooLong
  /// CR without LF, LF without CR, data longer than its size, or a control.
  case lineEnd(UInt8)
  /// A trailer line without a name and a colon.
  case trailer
  /// A trailer that has no place behind a body.
  case trailerForbidden(KnownField)
  /// More than 8 KiB of trailers.
  case trailersTooLong
}

/// What one call of `ChunkDecoder.next` came to.
public struct ChunkStep: Equatable, Sendable {
  /// The bytes of the input that are done with, the payload among them.
  public let consumed: Int
  /// Where body bytes are in the input; empty when there are none.
  public let payload: Range<Int>
  /// Whether the body is over; bytes behind `consumed` belong to what follows it.
  public let isEnd: Bool
}

/// Decodes one chunked body.
public struct ChunkDecoder: Sendable {
  static let sizeLineBytesMax = 256
  static let extensionBytesMax = 16 * 1024
  static let trailerBytesMax = 8 * 1024

  private enum State: UInt8 {
    case size, extensions, sizeEnd, data, dataEnd, dataLineFeed
    case trailerStart, trailerName, trailerValue, trailerLineFeed, endLineFeed, end
  }

  private var state = State.size
  private var digits: UInt8 = 0
  private var lineBytes = 0
  private var extensionBytes = 0
  private var trailerBytes = 0
  private var remaining: UInt64 = 0
  private var name = InlineArray<32, UInt8>(repeating: 0)
  private var nameCount = 0

  /// A decoder at the start of a body.
  public init() {}

  /// Whether the whole body was read.
  public var isEnd: Bool { state == .end }

  /// Reads on to the next body bytes, to the end of the body or to the end of `input`. Bytes that
  /// were consumed must not be given again.
  /// - Throws: `ChunkError`.
  public mutating func next(
    _ input: UnsafeRawBufferPointer, payloadMax: Int = .max
  ) throws(ChunkError) -> ChunkStep {
    var index = 0
    while index < input.count {
      if state == .data {
        let available = min(input.count - index, payloadMax)
        let count = remaining < UInt64(available) ? Int(remaining) : available
        remaining -= UInt64(count)
        if remaining == 0 { state = .dataEnd }
        return ChunkStep(consumed: index + count, payload: index..<(index + count), isEnd: false)
      }
      if state == .end { break }
      try take(input[index])
      index += 1
    }
    return ChunkStep(consumed: index, payload: index..<index, isEnd: state == .end)
  }

  private mutating func take(_ byte: UInt8) throws(ChunkError) {
    switch state {
    case .size: try takeSize(byte)
    case .extensions:
      if byte == UInt8(ascii: "\r") {
        state = .sizeEnd
        return
      }
      try refuseControl(byte)
      try countLine()
      extensionBytes += 1
      guard extensionBytes <= Self.extensionBytesMax else { throw .extensionsTooLong }
    case .sizeEnd:
      try expect(UInt8(ascii: "\n"), byte)
      digits = 0
      lineBytes = 0
      state = remaining == 0 ? .trailerStart : .data
    case .dataEnd:
      try expect(UInt8(ascii: "\r"), byte)
      state = .dataLineFeed
    case .dataLineFeed:
      try expect(UInt8(ascii: "\n"), byte)
      state = .size
    case .trailerStart, .trailerName, .trailerValue, .trailerLineFeed:
      try takeTrailer(byte)
    case .endLineFeed:
      try expect(UInt8(ascii: "\n"), byte)
      state = .end
    case .data, .end: preconditionFailure("no byte is taken here")
    }
  }

  private mutating func takeSize(_ byte: UInt8) throws(ChunkError) {
    if let value = hexValue(byte) {
      guard digits < 16, remaining < 1 << 59 else { throw .size }
      digits += 1
      remaining = remaining << 4 | UInt64(value)
      try countLine()
      return
    }
    guard digits > 0 else { throw .size }
    switch byte {
    case UInt8(ascii: "\r"): state = .sizeEnd
    case UInt8(ascii: ";"):
      try countLine()
      state = .extensions
    case UInt8(ascii: "\n"): throw .lineEnd(byte)
    default: throw .size
    }
  }

  private mutating func takeTrailer(_ byte: UInt8) throws(ChunkError) {
    trailerBytes += 1
    guard trailerBytes <= Self.trailerBytesMax else { throw .trailersTooLong }
    switch state {
    case .trailerStart where byte == UInt8(ascii: "\r"):
      state = .endLineFeed
    case .trailerStart, .trailerName:
      if byte == UInt8(ascii: ":"), nameCount > 0 {
        try closeName()
        state = .trailerValue
      } else {
        guard ByteSet.requestName.contains(byte) else { throw .trailer }
        if nameCount < 32 {
          name[nameCount] = byte
          nameCount += 1
        }
        state = .trailerName
      }
    case .trailerValue:
      if byte == UInt8(ascii: "\r") {
        state = .trailerLineFeed
      } else {
        try refuseControl(byte)
      }
    default:
      try expect(UInt8(ascii: "\n"), byte)
      state = .trailerStart
    }
  }

  private mutating func closeName() throws(ChunkError) {
    let count = nameCount
    let known = name.span.withUnsafeBufferPointer { bytes in
      // No known name has 32 bytes, so a longer one is found by its beginning only.
      bytes.baseAddress.map { KnownField.named(UnsafeRawPointer($0), count: count) } ?? .other
    }
    nameCount = 0
    guard !known.isForbiddenInTrailers else { throw .trailerForbidden(known) }
  }

  private mutating func countLine() throws(ChunkError) {
    lineBytes += 1
    guard lineBytes <= Self.sizeLineBytesMax else { throw .sizeLineTooLong }
  }

  private func refuseControl(_ byte: UInt8) throws(ChunkError) {
    guard byte >= 0x20 && byte != 0x7f || byte == UInt8(ascii: "\t") else { throw .lineEnd(byte) }
  }

  private func expect(_ expected: UInt8, _ byte: UInt8) throws(ChunkError) {
    guard byte == expected else { throw .lineEnd(byte) }
  }
}
