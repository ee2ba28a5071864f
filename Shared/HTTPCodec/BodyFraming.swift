// Where a body ends, decided from the raw bytes of the head before anything else looks at them, and
// by one rule for both directions: one plain Content-Length, or one final `chunked`, never both
// (RFC 9112 6). What else claims a framing is refused, because another server may read it
// otherwise.

/// How the end of a body is told.
public enum BodyFraming: Equatable, Sendable {
  /// There is no body.
  case none
  /// So many bytes.
  case length(UInt64)
  /// Chunks (RFC 9112 7.1).
  case chunked
  /// To the end of the connection; answers only.
  case untilClose
}

/// What the framing and connection fields of one head said, collected line by line.
struct FramingFields {
  var length: UInt64?
  var isChunked = false
  var closes = false
  var keepsAlive = false
  var hasUpgrade = false
  var isUpgradeToHTTP2 = false
  var expectsContinue = false

  /// Takes in one field line.
  @inline(__always)
  mutating func note(_ field: Field, _ head: UnsafeRawBufferPointer) throws(HeadError) {
    switch field.known {
    case .contentLength:
      guard let length = Decimal.parse(field.value(in: head)) else { throw .contentLength }
      self.length = length
    case .transferEncoding:
      guard equalsIgnoringCase(field.value(in: head), "chunked") else { throw .transferEncoding }
      isChunked = true
    case .connection:
      noteConnection(field.value(in: head))
    case .upgrade:
      hasUpgrade = true
      isUpgradeToHTTP2 = equalsIgnoringCase(field.value(in: head), "h2c")
    case .http2Settings:
      hasUpgrade = true
    case .expect:
      guard equalsIgnoringCase(field.value(in: head), "100-continue") else { throw .expectation }
      expectsContinue = true
    default: break
    }
  }

  private mutating func noteConnection(_ value: UnsafeRawBufferPointer) {
    for token in ListTokens(value) {
      if equalsIgnoringCase(token, "close") { closes = true }
      if equalsIgnoringCase(token, "keep-alive") { keepsAlive = true }
      if equalsIgnoringCase(token, "upgrade") { hasUpgrade = true }
    }
  }

  /// Whether another message may follow on the connection.
  func persists(minorVersion: UInt8) -> Bool {
    !closes && !hasUpgrade && (minorVersion == 1 || keepsAlive)
  }
}

/// The elements of a comma-separated field value, blanks trimmed, empty ones left out.
struct ListTokens: Sequence, IteratorProtocol {
  private var rest: UnsafeRawBufferPointer

  init(_ value: UnsafeRawBufferPointer) { rest = value }

  mutating func next() -> UnsafeRawBufferPointer? {
    while !rest.isEmpty {
      let end = rest.firstIndex(of: UInt8(ascii: ",")) ?? rest.count
      let token = trimmingBlanks(UnsafeRawBufferPointer(rebasing: rest[..<end]))
      rest = UnsafeRawBufferPointer(rebasing: rest[Swift.min(end + 1, rest.count)...])
      if !token.isEmpty { return token }
    }
    return nil
  }
}
