// What does one message look like on the wire? Fixed head, then the payload:
//
//   length u32 | version u8 | kind u8 | id u64 | deadline u32 (ms, relative) | payload
//
// Big endian; length counts what follows it. The deadline is relative, so two machines' or
// containers' clocks never have to agree. No input or output happens here.

/// What a frame is for. A kind that is not listed is a malformed frame.
public enum FrameKind: UInt8, Sendable, CaseIterable {
  case greeting = 1
  case call = 2
  case reply = 3
  case refusal = 4
}

/// One message between two services.
public struct Frame: Equatable, Sendable {
  /// Negotiated protocol version; 0 in a greeting, whose layout never changes.
  public var version: UInt8
  public var kind: FrameKind
  /// Chosen by the caller, echoed by the answer; 0 in a greeting.
  public var id: UInt64
  /// Time the caller still waits; 0 where it has no meaning.
  public var deadlineMilliseconds: UInt32
  public var payload: [UInt8]

  public init(
    version: UInt8, kind: FrameKind, id: UInt64, deadlineMilliseconds: UInt32 = 0,
    payload: [UInt8]
  ) {
    self.version = version
    self.kind = kind
    self.id = id
    self.deadlineMilliseconds = deadlineMilliseconds
    self.payload = payload
  }
}

/// Why bytes are not a frame. Each of them ends the connection they came on, and only that.
public enum FrameError: Error, Equatable, Sendable {
  case tooLong(UInt32)
  case tooShort(UInt32)
  case unknownKind(UInt8)
  case version(UInt8, expected: UInt8)
}

extension Frame {
  /// Largest value of the length field: head without its length, and payload.
  public static let bytesMax = 1 << 20
  /// Bytes of the head that the length field counts.
  static let countedHeadBytes = 14
  /// Bytes of the whole head.
  static let headBytes = 4 + countedHeadBytes
  /// Largest payload that fits a frame.
  public static let payloadBytesMax = bytesMax - countedHeadBytes

  /// The frame's bytes. The payload must fit; callers check it where it is made.
  public func encoded() -> [UInt8] {
    precondition(payload.count <= Frame.payloadBytesMax, "RPC payload over the frame's bound")
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Frame.headBytes + payload.count)
    bytes.appendBigEndian(UInt32(Frame.countedHeadBytes + payload.count))
    bytes.append(version)
    bytes.append(kind.rawValue)
    bytes.appendBigEndian(id)
    bytes.appendBigEndian(deadlineMilliseconds)
    bytes.append(contentsOf: payload)
    return bytes
  }
}

extension [UInt8] {
  fileprivate mutating func appendBigEndian(_ value: some FixedWidthInteger) {
    Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
  }
}
