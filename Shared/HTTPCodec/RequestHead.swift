// The head of a request, read from raw bytes as they come. Strict: every spelling that two servers
// could read differently is refused with an error of its own, in the order of the bytes, so that
// the verdict never depends on where the reads fell. Nothing is copied and nothing is allocated per
// field; all offsets count from the first byte of the head. Paths are decoded in
// Target.swift.

/// One parsed request head, reused from request to request by one connection.
public final class RequestHead {
  /// How the target is written (RFC 9112 3.2).
  public enum TargetForm: Sendable {
    case origin, absolute, asterisk
  }

  /// The fields in their order.
  public private(set) var fields = FieldTable()
  /// The method.
  public private(set) var method = Method.other
  /// The digit after `HTTP/1.`: 0 or 1.
  public private(set) var minorVersion: UInt8 = 1
  /// How the target is written.
  public private(set) var targetForm = TargetForm.origin
  /// Where the body ends.
  public private(set) var framing = BodyFraming.none
  /// Whether another request may follow on the connection.
  public private(set) var keepAlive = false
  /// Whether the client waits for `100 Continue` before it sends the body.
  public private(set) var expectsContinue = false
  /// Whether the client insists on another protocol: a tunnel that it never gets. An offer of `h2c`
  /// alone is ignored, as RFC 9110 7.8 allows. Behind either, nothing that follows on the
  /// connection is read as a request.
  public private(set) var wantsUpgrade = false

  var methodStart = 0
  var methodCount = 0
  var targetStart = 0
  var targetCount = 0
  var pathStart = 0
  var pathCount = 0
  var hostStart = 0
  var hostCount = 0

  private var lines = LineScanner()
  private var framingFields = FramingFields()
  private var hasRequestLine = false
  private var isFresh = true
  private var isOver = false

  /// A head that has read nothing.
  public init() {}

  /// Reads the head at the front of `bytes`. Call it again with the same bytes and more behind them
  /// while it answers nil; after an answer or an error the next call begins a new head.
  /// - Returns: The length of the head with its empty line, or nil when more bytes are needed.
  /// - Throws: `HeadError`; the connection must be closed then.
  public func parse(
    _ bytes: UnsafeRawBufferPointer, limits: HeadLimits
  ) throws(HeadError) -> Int? {
    if isOver { reset() }
    guard let base = bytes.baseAddress else { return nil }
    precondition(limits.headBytesMax <= 65535)
    do {
      guard try readLines(base, bytes, limits) else { return nil }
      try finish(bytes)
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
    hasRequestLine = false
    isFresh = true
    isOver = false
    targetForm = .origin
    framing = .none
    hostCount = 0
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
      let lineMax = hasRequestLine ? Int.max : limits.requestLineBytesMax
      guard
        case .line(let start, let end) = try lines.next(
          base, count: bytes.count, lineBytesMax: lineMax, headBytesMax: limits.headBytesMax)
      else { return false }
      if hasRequestLine {
        if start == end { return true }
        let field = try fields.read(
          base, from: start, to: end, names: .requestName, fieldsMax: limits.fieldsMax)
        try framingFields.note(field, bytes)
      } else if start == end {
        guard isFresh else { throw .requestLine }
        isFresh = false  // RFC 9112 2.2: one empty line after a former body is forgiven
      } else {
        try readRequestLine(base, from: start, to: end)
        hasRequestLine = true
      }
    }
  }

  private func readRequestLine(
    _ base: UnsafeRawPointer, from start: Int, to end: Int
  ) throws(HeadError) {
    @inline(__always) func byte(_ index: Int) -> UInt8 {
      base.load(fromByteOffset: index, as: UInt8.self)
    }
    var index = start
    while index < end, ByteSet.token.contains(byte(index)) { index &+= 1 }
    guard index > start, index < end, byte(index) == 0x20 else { throw .requestLine }
    methodStart = start
    methodCount = index - start
    targetStart = index + 1
    if let target = plainTargetEnd(base, to: end) {
      targetCount = target - targetStart
      minorVersion = try Self.version(base + target + 1, count: end - target - 1)
      method = try Method.named(base + start, count: methodCount)
      return
    }
    index = targetStart
    while index < end, byte(index) != 0x20 { index &+= 1 }
    guard index > targetStart, index < end else { throw .requestLine }
    targetCount = index - targetStart
    minorVersion = try Self.version(base + index + 1, count: end - index - 1)
    method = try Method.named(base + start, count: methodCount)
    try readTarget(base)
  }

  /// Where the blank behind an ordinary target stands, which is `/…` or `/…?…` in good bytes; nil
  /// for every other target. One pass does for nearly all requests.
  private func plainTargetEnd(_ base: UnsafeRawPointer, to end: Int) -> Int? {
    @inline(__always) func byte(_ index: Int) -> UInt8 {
      base.load(fromByteOffset: index, as: UInt8.self)
    }
    var index = targetStart
    guard index < end, byte(index) == UInt8(ascii: "/") else { return nil }
    while index < end, ByteSet.path.contains(byte(index)) { index &+= 1 }
    pathStart = targetStart
    pathCount = index - targetStart
    if index < end, byte(index) == UInt8(ascii: "?") {
      index &+= 1
      while index < end, ByteSet.query.contains(byte(index)) { index &+= 1 }
    }
    return index < end && byte(index) == 0x20 ? index : nil
  }

  /// The minor version of the `HTTP/1.x` at `base`.
  static func version(_ base: UnsafeRawPointer, count: Int) throws(HeadError) -> UInt8 {
    let name: StaticString = "HTTP/"
    guard count >= 8 else { throw .requestLine }
    for index in 0..<5
    where base.load(fromByteOffset: index, as: UInt8.self) != name.utf8Start[index] {
      throw .requestLine
    }
    let major = base.load(fromByteOffset: 5, as: UInt8.self) &- 0x30
    let minor = base.load(fromByteOffset: 7, as: UInt8.self) &- 0x30
    guard count == 8, major < 10, minor < 10,
      base.load(fromByteOffset: 6, as: UInt8.self) == UInt8(ascii: ".")
    else { throw .requestLine }
    guard major == 1, minor < 2 else { throw .version }
    return minor
  }

  private func readTarget(_ base: UnsafeRawPointer) throws(HeadError) {
    let end = targetStart + targetCount
    @inline(__always) func byte(_ index: Int) -> UInt8 {
      base.load(fromByteOffset: index, as: UInt8.self)
    }
    pathStart = targetStart
    switch byte(targetStart) {
    case UInt8(ascii: "/"):
      targetForm = .origin
    case UInt8(ascii: "*"):
      guard targetCount == 1, method == .options else { throw .target }
      targetForm = .asterisk
      pathCount = 0
      return
    default:
      targetForm = .absolute
      let target = UnsafeRawBufferPointer(start: base + targetStart, count: targetCount)
      let prefix = Self.schemeLength(target)
      guard prefix > 0 else { throw .target }
      hostStart = targetStart + prefix
      var index = hostStart
      while index < end, byte(index) != UInt8(ascii: "/") { index &+= 1 }
      guard index < end else { throw .target }
      hostCount = index - hostStart
      pathStart = index
    }
    var index = pathStart
    while index < end, ByteSet.path.contains(byte(index)) { index &+= 1 }
    pathCount = index - pathStart
    guard index < end else { return }
    guard byte(index) == UInt8(ascii: "?") else { throw .target }
    index &+= 1
    while index < end, ByteSet.query.contains(byte(index)) { index &+= 1 }
    guard index == end else { throw .target }
  }

  private static func schemeLength(_ target: UnsafeRawBufferPointer) -> Int {
    for scheme in ["http://", "https://"] as [StaticString] {
      let count = scheme.utf8CodeUnitCount
      guard target.count > count else { continue }
      if equalsIgnoringCase(UnsafeRawBufferPointer(rebasing: target[..<count]), scheme) {
        return count
      }
    }
    return 0
  }

  private func finish(_ bytes: UnsafeRawBufferPointer) throws(HeadError) {
    try checkHost(bytes)
    if framingFields.isChunked {
      guard framingFields.length == nil else { throw .framingConflict }
      guard minorVersion == 1 else { throw .transferEncoding }
      framing = .chunked
    } else if let length = framingFields.length {
      framing = .length(length)
    }
    wantsUpgrade = framingFields.hasUpgrade && !framingFields.isUpgradeToHTTP2
    keepAlive = framingFields.persists(minorVersion: minorVersion)
    // RFC 9110 10.1.1: an HTTP/1.0 client cannot wait for an interim answer.
    expectsContinue = framingFields.expectsContinue && minorVersion == 1
  }

  /// RFC 9112 3.2: HTTP/1.1 has exactly one Host, and an absolute target names the same.
  private func checkHost(_ bytes: UnsafeRawBufferPointer) throws(HeadError) {
    guard let field = fields.first(.host) else {
      guard minorVersion == 0, targetForm != .absolute else { throw .host }
      return
    }
    let host = field.value(in: bytes)
    guard Authority.isValid(host) else { throw .host }
    if targetForm == .absolute {
      guard equalsIgnoringCase(slice(bytes, from: hostStart, count: hostCount), host) else {
        throw .host
      }
    }
    hostStart = Int(field.valueStart)
    hostCount = Int(field.valueCount)
  }
}
