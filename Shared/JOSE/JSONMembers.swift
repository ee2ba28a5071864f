// Reads the members of one small JSON object: a JOSE header, a claims set, a key. Flat values only;
// what is nested deeper is checked for syntax and kept as `.nested`. Duplicate names, unpaired
// surrogates and anything after the object are refused. No general JSON model: that is Foundation's.

/// The members of one JSON object.
public struct JSONMembers: Sendable {
  /// A value as far as tokens and keys need it.
  public enum Value: Equatable, Sendable {
    case string(String)
    case integer(Int64)
    case boolean(Bool)
    case null
    /// A number with a fraction, an exponent, or beyond 64 bits.
    case otherNumber
    /// An array of strings alone.
    case strings([String])
    /// An array of objects, each by its members.
    case objects([JSONMembers])
    /// Any other array, or an object.
    case nested

    /// Strings are compared as bytes; lists of objects are never equal.
    public static func == (left: Value, right: Value) -> Bool {
      switch (left, right) {
      case (.string(let left), .string(let right)): left.utf8.elementsEqual(right.utf8)
      case (.integer(let left), .integer(let right)): left == right
      case (.boolean(let left), .boolean(let right)): left == right
      case (.null, .null), (.otherNumber, .otherNumber), (.nested, .nested): true
      case (.strings(let left), .strings(let right)):
        left.count == right.count
          && zip(left, right).allSatisfy { $0.utf8.elementsEqual($1.utf8) }
      default: false
      }
    }
  }

  private var members: [(name: [UInt8], value: Value)] = []

  /// The object that `bytes` spell; `notAnObject` for anything else.
  public init(parsing bytes: [UInt8]) throws(JOSEError) {
    var reader = JSONMemberReader(bytes: bytes)
    self = try reader.document()
  }

  fileprivate init() {}

  fileprivate mutating func add(_ name: [UInt8], _ value: Value) throws(JOSEError) {
    guard !members.contains(where: { $0.name == name }) else { throw .notAnObject }
    members.append((name, value))
  }

  /// The value called `name`.
  public subscript(_ name: StaticString) -> Value? {
    let wanted = UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
    return members.first { $0.name.elementsEqual(wanted) }?.value
  }

  /// The string called `name`; nil when it is absent or no string.
  public func string(_ name: StaticString) -> String? {
    if case .string(let text)? = self[name] { text } else { nil }
  }

  /// The whole number called `name`; nil when it is absent or not whole.
  public func integer(_ name: StaticString) -> Int64? {
    if case .integer(let number)? = self[name] { number } else { nil }
  }
}

/// One pass over the bytes. Recursion is bounded by `depthMax`.
private struct JSONMemberReader {
  static let depthMax = 8
  static let membersMax = 64

  let bytes: [UInt8]
  var index = 0

  init(bytes: [UInt8]) { self.bytes = bytes }

  mutating func document() throws(JOSEError) -> JSONMembers {
    skipBlanks()
    guard peek == UInt8(ascii: "{") else { throw .notAnObject }
    let object = try object(depth: 0)
    skipBlanks()
    guard index == bytes.count else { throw .notAnObject }
    return object
  }

  private var peek: UInt8? { index < bytes.count ? bytes[index] : nil }

  private mutating func skipBlanks() {
    while let byte = peek, byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d {
      index += 1
    }
  }

  private mutating func take(_ byte: UInt8) throws(JOSEError) {
    guard peek == byte else { throw .notAnObject }
    index += 1
  }

  private mutating func takes(_ byte: UInt8) -> Bool {
    guard peek == byte else { return false }
    index += 1
    return true
  }

  private mutating func object(depth: Int) throws(JOSEError) -> JSONMembers {
    guard depth < Self.depthMax else { throw .notAnObject }
    var members = JSONMembers()
    var count = 0
    try take(UInt8(ascii: "{"))
    skipBlanks()
    if takes(UInt8(ascii: "}")) { return members }
    repeat {
      skipBlanks()
      let name = try string()
      skipBlanks()
      try take(UInt8(ascii: ":"))
      try members.add(name, value(depth: depth + 1))
      count += 1
      guard count <= Self.membersMax else { throw .notAnObject }
      skipBlanks()
    } while takes(UInt8(ascii: ","))
    try take(UInt8(ascii: "}"))
    return members
  }

  private mutating func value(depth: Int) throws(JOSEError) -> JSONMembers.Value {
    skipBlanks()
    switch peek {
    case UInt8(ascii: "\""): return .string(try text())
    case UInt8(ascii: "{"):
      _ = try object(depth: depth)
      return .nested
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "t"): return try literal("true", .boolean(true))
    case UInt8(ascii: "f"): return try literal("false", .boolean(false))
    case UInt8(ascii: "n"): return try literal("null", .null)
    default: return try number()
    }
  }

  private mutating func array(depth: Int) throws(JOSEError) -> JSONMembers.Value {
    guard depth < Self.depthMax else { throw .notAnObject }
    var strings: [String] = []
    var objects: [JSONMembers] = []
    var count = 0
    try take(UInt8(ascii: "["))
    skipBlanks()
    if takes(UInt8(ascii: "]")) { return .strings([]) }
    repeat {
      skipBlanks()
      count += 1
      switch peek {
      case UInt8(ascii: "\""): strings.append(try text())
      case UInt8(ascii: "{"): objects.append(try object(depth: depth + 1))
      default: _ = try value(depth: depth + 1)
      }
      skipBlanks()
    } while takes(UInt8(ascii: ","))
    try take(UInt8(ascii: "]"))
    if strings.count == count { return .strings(strings) }
    return objects.count == count ? .objects(objects) : .nested
  }

  private mutating func literal(
    _ text: StaticString, _ value: JSONMembers.Value
  ) throws(JOSEError) -> JSONMembers.Value {
    let spelled = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
    for byte in spelled { try take(byte) }
    return value
  }

  /// `-? (0 | [1-9][0-9]*) frac? exp?`; whole numbers of 64 bits are kept.
  private mutating func number() throws(JOSEError) -> JSONMembers.Value {
    let negative = takes(UInt8(ascii: "-"))
    var value: Int64? = 0
    let digits = try digits { digit in
      let (product, overflowed) = (value ?? 0).multipliedReportingOverflow(by: 10)
      let (sum, carried) = product.addingReportingOverflow(Int64(digit))
      value = value == nil || overflowed || carried ? nil : sum
    }
    guard digits.count == 1 || !digits.leadingZero else { throw .notAnObject }
    var whole = true
    if takes(UInt8(ascii: ".")) {
      whole = false
      _ = try self.digits { _ in }
    }
    if takes(UInt8(ascii: "e")) || takes(UInt8(ascii: "E")) {
      whole = false
      if !takes(UInt8(ascii: "+")) { _ = takes(UInt8(ascii: "-")) }
      _ = try self.digits { _ in }
    }
    guard whole, let value else { return .otherNumber }
    return .integer(negative ? -value : value)
  }

  private mutating func digits(
    _ each: (UInt8) -> Void
  ) throws(JOSEError) -> (count: Int, leadingZero: Bool) {
    let start = index
    while let byte = peek, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") {
      each(byte - UInt8(ascii: "0"))
      index += 1
    }
    guard index > start else { throw .notAnObject }
    return (index - start, bytes[start] == UInt8(ascii: "0"))
  }

  private mutating func text() throws(JOSEError) -> String {
    let bytes = try string()
    guard let text = String(validating: bytes, as: UTF8.self) else { throw .notAnObject }
    return text
  }

  private mutating func string() throws(JOSEError) -> [UInt8] {
    try take(UInt8(ascii: "\""))
    var result: [UInt8] = []
    while let byte = peek {
      index += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard String(validating: result, as: UTF8.self) != nil else { throw .notAnObject }
        return result
      case UInt8(ascii: "\\"): try escape(into: &result)
      case 0..<0x20: throw .notAnObject
      default: result.append(byte)
      }
    }
    throw .notAnObject
  }

  private mutating func escape(into result: inout [UInt8]) throws(JOSEError) {
    guard let byte = peek else { throw .notAnObject }
    index += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(byte)
    case UInt8(ascii: "b"): result.append(0x08)
    case UInt8(ascii: "f"): result.append(0x0c)
    case UInt8(ascii: "n"): result.append(0x0a)
    case UInt8(ascii: "r"): result.append(0x0d)
    case UInt8(ascii: "t"): result.append(0x09)
    case UInt8(ascii: "u"):
      var scalar = try codeUnit()
      if scalar >= 0xd800, scalar < 0xdc00 {
        try take(UInt8(ascii: "\\"))
        try take(UInt8(ascii: "u"))
        let low = try codeUnit()
        guard low >= 0xdc00, low < 0xe000 else { throw .notAnObject }
        scalar = 0x10000 + (scalar - 0xd800) << 10 + (low - 0xdc00)
      }
      guard let scalar = Unicode.Scalar(scalar) else { throw .notAnObject }
      result.append(contentsOf: UTF8.encode(scalar).map(Array.init) ?? [])
    default: throw .notAnObject
    }
  }

  private mutating func codeUnit() throws(JOSEError) -> UInt32 {
    var unit: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = peek, let digit = hexDigit(byte) else { throw .notAnObject }
      unit = unit << 4 | digit
      index += 1
    }
    return unit
  }

  private func hexDigit(_ byte: UInt8) -> UInt32? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0"))
    case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt32(byte - UInt8(ascii: "a") + 10)
    case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt32(byte - UInt8(ascii: "A") + 10)
    default: nil
    }
  }
}
