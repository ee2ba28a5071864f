// Reads an event stream as browsers do (WHATWG HTML 9.2.6), one event at a time and with a bound on
// everything. For the few places that need the events themselves; streams that are only passed on
// are followed by EventStreamScanner.

/// One event.
public struct ServerSentEvent: Equatable, Sendable {
  /// The `event` field, or `message`.
  public var type: [UInt8]
  /// The `data` lines, joined by line feeds.
  public var data: [UInt8]
  /// The last `id` seen so far, in this event or an earlier one.
  public var lastID: [UInt8]
}

/// Why an event stream was refused.
public enum EventStreamError: Error, Equatable, Sendable {
  /// A line or the data of an event is longer than allowed.
  case eventTooLong
}

/// Reads one event stream.
public struct EventStreamParser: Sendable {
  private let eventBytesMax: Int
  private var line: [UInt8] = []
  private var data: [UInt8] = []
  private var type: [UInt8] = []
  private var lastID: [UInt8] = []
  private var hasData = false
  private var isFirstLine = true
  private var endedWithReturn = false
  /// The last `retry` field, in milliseconds.
  public private(set) var retryMilliseconds: UInt64?

  /// A parser at the start of a stream; one line and the data of one event each stay below
  /// `eventBytesMax` bytes.
  public init(eventBytesMax: Int = 64 * 1024) { self.eventBytesMax = eventBytesMax }

  /// Reads on to the end of the next event or of `input`.
  /// - Returns: How many bytes are done with, and the event that ended there, if one did. An event
  ///   that the stream's end cuts off is never returned.
  /// - Throws: `EventStreamError`; the parser is of no use afterwards.
  public mutating func next(
    _ input: UnsafeRawBufferPointer
  ) throws(EventStreamError) -> (consumed: Int, event: ServerSentEvent?) {
    guard let base = input.baseAddress else { return (0, nil) }
    var index = 0
    while index < input.count {
      if endedWithReturn {
        endedWithReturn = false
        if input[index] == UInt8(ascii: "\n") {
          index += 1
          continue
        }
      }
      let end = EventStreamScanner.lineEnd(base, from: index, to: input.count)
      guard line.count + (end - index) <= eventBytesMax else { throw .eventTooLong }
      line.append(contentsOf: input[index..<end])
      index = end
      guard index < input.count else { break }
      endedWithReturn = input[index] == UInt8(ascii: "\r")
      index += 1
      if let event = try endLine() { return (index, event) }
    }
    return (index, nil)
  }

  private mutating func endLine() throws(EventStreamError) -> ServerSentEvent? {
    defer { line.removeAll(keepingCapacity: true) }
    if isFirstLine {
      isFirstLine = false
      if line.starts(with: [0xef, 0xbb, 0xbf]) { line.removeFirst(3) }
    }
    guard !line.isEmpty else { return dispatch() }
    let colon = line.firstIndex(of: UInt8(ascii: ":")) ?? line.count
    var value = line.dropFirst(colon + 1)
    if value.first == 0x20 { value.removeFirst() }
    let name = line[..<colon]
    if name.elementsEqual("data".utf8) {
      guard data.count + value.count < eventBytesMax else { throw .eventTooLong }
      if hasData { data.append(UInt8(ascii: "\n")) }
      data.append(contentsOf: value)
      hasData = true
    } else if name.elementsEqual("event".utf8) {
      type = Array(value)
    } else if name.elementsEqual("id".utf8) {
      if !value.contains(0) { lastID = Array(value) }
    } else if name.elementsEqual("retry".utf8) {
      if let number = digits(value) { retryMilliseconds = number }
    }
    return nil
  }

  private mutating func dispatch() -> ServerSentEvent? {
    defer {
      data = []
      type = []
      hasData = false
    }
    guard hasData else { return nil }
    return ServerSentEvent(
      type: type.isEmpty ? Array("message".utf8) : type, data: data, lastID: lastID)
  }

  /// Digits alone; leading zeros are allowed here.
  private func digits(_ value: ArraySlice<UInt8>) -> UInt64? {
    let plain = value.drop { $0 == UInt8(ascii: "0") }
    guard !value.isEmpty else { return nil }
    return plain.isEmpty ? 0 : Array(plain).withUnsafeBytes { Decimal.parse($0) }
  }
}
