// Takes the framing off a body, whichever it is, straight out of the buffer that the socket fills.
// Bytes behind the body's end stay in the buffer.

import Bytes

/// What is left of one body.
public struct BodyDecoder {
  private enum State {
    case length(UInt64)
    case chunks(ChunkDecoder)
    case untilClose
  }

  private var state: State

  /// The body that `framing` frames.
  public init(_ framing: BodyFraming) {
    switch framing {
    case .none: state = .length(0)
    case .length(let length): state = .length(length)
    case .chunked: state = .chunks(ChunkDecoder())
    case .untilClose: state = .untilClose
    }
  }

  /// No body.
  public static var none: BodyDecoder { BodyDecoder(.none) }

  /// Whether nothing is left to read.
  public var isComplete: Bool {
    switch state {
    case .length(let left): left == 0
    case .chunks(let decoder): decoder.isEnd
    case .untilClose: false
    }
  }

  /// Whether the end of the connection is the body's proper end.
  public var endsWithConnection: Bool {
    if case .untilClose = state { true } else { false }
  }

  /// The next body bytes, consumed from `buffer` and readable until something is written to it; nil
  /// when the body is complete or more bytes are needed.
  /// - Throws: `ChunkError`.
  public mutating func next(
    from buffer: Buffer, atMost most: Int = .max
  ) throws(ChunkError) -> UnsafeRawBufferPointer? {
    let readable = buffer.readable
    guard !readable.isEmpty, most > 0 else { return nil }
    switch state {
    case .length(let left):
      guard left > 0 else { return nil }
      let count = min(readable.count, most, Int(min(left, UInt64(Int.max))))
      state = .length(left - UInt64(count))
      return take(count, readable, buffer)
    case .chunks(var decoder):
      let step = try decoder.next(readable, payloadMax: most)
      state = .chunks(decoder)
      buffer.consume(step.consumed)
      return step.payload.isEmpty ? nil : UnsafeRawBufferPointer(rebasing: readable[step.payload])
    case .untilClose:
      return take(min(readable.count, most), readable, buffer)
    }
  }

  private func take(
    _ count: Int, _ readable: UnsafeRawBufferPointer, _ buffer: Buffer
  ) -> UnsafeRawBufferPointer {
    buffer.consume(count)
    return UnsafeRawBufferPointer(rebasing: readable[..<count])
  }
}
