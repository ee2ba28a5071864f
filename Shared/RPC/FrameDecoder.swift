// Cuts a byte stream into frames, however the stream was split. Promises: the verdict does
// not depend on the split; a bad head is refused as soon as its bytes are there, before the
// payload is waited for; memory grows with bytes received, never with bytes announced.

/// Collects bytes and gives out whole frames.
public struct FrameDecoder: Sendable {
  private var bytes: [UInt8] = []
  private var start = 0
  /// The only version accepted: 0 until the greeting came, then the negotiated one.
  public var version: UInt8 = 0

  public init() {}

  /// True between the first byte of a frame and its last.
  public var isInsideFrame: Bool { start < bytes.count }

  /// Takes bytes as they came from the stream.
  public mutating func append(_ chunk: UnsafeRawBufferPointer) {
    if start == bytes.count {
      bytes.removeAll(keepingCapacity: bytes.capacity <= 1 << 16)
      start = 0
    } else if start > 1 << 16 {
      bytes.removeFirst(start)
      start = 0
    }
    bytes.append(contentsOf: chunk)
  }

  /// The next whole frame, or nil when more bytes are needed.
  public mutating func next() throws(FrameError) -> Frame? {
    let available = bytes.count - start
    guard available >= 4 else { return nil }
    let length = integer(UInt32.self, at: 0)
    guard length >= Frame.countedHeadBytes else { throw .tooShort(length) }
    guard length <= Frame.bytesMax else { throw .tooLong(length) }
    guard available >= 5 else { return nil }
    let version = bytes[start + 4]
    guard version == self.version else { throw .version(version, expected: self.version) }
    guard available >= 6 else { return nil }
    guard let kind = FrameKind(rawValue: bytes[start + 5]) else {
      throw .unknownKind(bytes[start + 5])
    }
    let end = 4 + Int(length)
    guard available >= end else { return nil }
    let frame = Frame(
      version: version, kind: kind, id: integer(UInt64.self, at: 6),
      deadlineMilliseconds: integer(UInt32.self, at: 14),
      payload: [UInt8](bytes[(start + Frame.headBytes)..<(start + end)]))
    start += end
    return frame
  }

  private func integer<I: FixedWidthInteger>(_: I.Type, at offset: Int) -> I {
    var value: I = 0
    for index in 0..<(I.bitWidth / 8) {
      value = value << 8 | I(truncatingIfNeeded: bytes[start + offset + index])
    }
    return value
  }
}
