// The head of an upstream's answer, read as strictly as a request: what a stranger's server says
// must have one reading only, or the connection is dropped and the client sees a failure. Which
// answers have a body depends on the method that was asked (RFC 9112 6.3).

/// One parsed answer head, reused from answer to answer by one upstream connection.
public final class ResponseHead {
  /// The fields in their order.
  public private(set) var fields = FieldTable()
  /// The status, 100 to 599.
  public private(set) var status = 0
  /// The digit after `HTTP/1.`: 0 or 1.
  public private(set) var minorVersion: UInt8 = 1
  /// Where the body ends.
  public private(set) var framing = BodyFraming.none
  /// Whether another request may be sent on the connection after this answer.
  public private(set) var keepAlive = false

  private var lines = LineScanner()
  private var framingFields = FramingFields()
  private var hasStatusLine = false
  private var isOver = false

  /// A head that has read nothing.
  public init() {}

  /// Whether the real answer is still to come (1xx).
  public var isInterim: Bool { status < 200 }

  /// Reads the head at the front of `bytes`, the answer to a request with `method`. Call it again
  /// with the same bytes and more behind them while it answers nil.
  /// - Returns: The length of the head with its empty line, or nil when more bytes are needed.
  /// - Throws: `HeadError`; the connection must be dropped then.
  public func parse(
    _ bytes: UnsafeRawBufferPointer, limits: HeadLimits, answering method: Method
  ) throws(HeadError) -> Int? {
    if isOver { reset() }
    guard let base = bytes.baseAddress else { return nil }
    precondition(limits.headBytesMax <= 65535)
    do {
      guard try readLines(base, bytes, limits) else { return nil }
      try finish(method)
    } catch {
      isOver = true
      throw error
    }
    isOver = true
    return lines.lineStart
  }

  /// Forgets everything, also a head that was read in part.
  public func reset() {
    fields.removeAll()
    lines = LineScanner()
    framingFields = FramingFields()
    hasStatusLine = false
    isOver = false
    framing = .none
  }

  /// Forgets everything and gives memory back, for exchanges that live long.
  public func release() {
    reset()
    fields.removeAll(keepingMemory: false)
  }

  private func readLines(
    _ base: UnsafeRawPointer, _ bytes: UnsafeRawBufferPointer, _ limits: HeadLimits
  ) throws(HeadError) -> Bool {
    while true {
      guard
        case .line(let start, let end) = try lines.next(
          base, count: bytes.count, lineBytesMax: .max,
          headBytesMax: limits.headBytesMax)
      else { return false }
      if hasStatusLine {
        if start == end { return true }
        let field = try fields.read(
          base, from: start, to: end, names: .token, fieldsMax: limits.fieldsMax)
        try framingFields.note(field, bytes)
      } else {
        try readStatusLine(base + start, count: end - start)
        hasStatusLine = true
      }
    }
  }

  /// `HTTP/1.x SP 3DIGIT [SP reason]`; some servers leave out the last blank.
  private func readStatusLine(_ base: UnsafeRawPointer, count: Int) throws(HeadError) {
    @inline(__always) func byte(_ index: Int) -> UInt8 {
      base.load(fromByteOffset: index, as: UInt8.self)
    }
    guard count >= 12, byte(8) == 0x20, count == 12 || byte(12) == 0x20 else {
      throw .statusLine
    }
    do { minorVersion = try RequestHead.version(base, count: 8) } catch {
      throw error == .requestLine ? .statusLine : error
    }
    var status = 0
    for index in 9..<12 {
      let digit = byte(index) &- 0x30
      guard digit < 10 else { throw .statusLine }
      status = status * 10 + Int(digit)
    }
    guard (100...599).contains(status) else { throw .statusLine }
    self.status = status
  }

  /// RFC 9112 6.3.
  private func finish(_ method: Method) throws(HeadError) {
    let length = framingFields.length
    if framingFields.isChunked {
      guard length == nil else { throw .framingConflict }
      guard minorVersion == 1 else { throw .transferEncoding }
    }
    keepAlive = framingFields.persists(minorVersion: minorVersion)
    if status < 200 || status == 204 {
      // A length of zero says nothing wrong; anything else would be read as a body by someone.
      guard !framingFields.isChunked, (length ?? 0) == 0 else { throw .bodyForbidden }
      framing = .none
    } else if method == .head || status == 304 {
      framing = .none
    } else if framingFields.isChunked {
      framing = .chunked
    } else if let length {
      framing = .length(length)
    } else {
      framing = .untilClose
      keepAlive = false
    }
  }
}

extension ResponseHead {
  /// The number of field lines.
  public var count: Int { fields.count }

  /// The field line at `index`; unlike a loop over `fields` it copies no table.
  @inline(__always)
  public func field(at index: Int) -> Field { fields[index] }

  /// The first line of `known`, or nil.
  public func first(_ known: KnownField) -> Field? { fields.first(known) }

  /// The value of the first line of `known` in `head`, or nil.
  public func value(
    _ known: KnownField, in head: UnsafeRawBufferPointer
  ) -> UnsafeRawBufferPointer? {
    fields.first(known)?.value(in: head)
  }

  /// Whether `field` ends at this connection: by its kind, or because Connection names it.
  public func isHopByHop(_ field: Field, in head: UnsafeRawBufferPointer) -> Bool {
    fields.isHopByHop(field, in: head)
  }

  /// Whether the body is an event stream.
  public func isEventStream(in head: UnsafeRawBufferPointer) -> Bool {
    guard let type = value(.contentType, in: head) else { return false }
    return MediaType.essence(type, is: "text/event-stream")
  }
}

/// Media types of Content-Type fields.
public enum MediaType {
  /// Whether the type without its parameters is `expected`, which is in small letters.
  public static func essence(
    _ value: UnsafeRawBufferPointer, is expected: StaticString
  ) -> Bool {
    var end = 0
    while end < value.count, value[end] != UInt8(ascii: ";") { end &+= 1 }
    let essence = trimmingBlanks(UnsafeRawBufferPointer(rebasing: value[..<end]))
    return equalsIgnoringCase(essence, expected)
  }
}
