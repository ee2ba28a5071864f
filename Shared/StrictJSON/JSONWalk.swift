// Walks over one JSON text without recursion and without building anything: a bit for each open
// object or array, and the places of the names of open objects. On the way it notes where the
// members `id` and `method` of the outermost object stand, for JSONRPCPeek.

/// One walk over a text.
struct JSONWalk {
  /// A value of the outermost object that somebody asks for.
  struct Member: Equatable {
    enum Kind { case string, number, null, other }
    var kind = Kind.other
    var range = 0..<0
    /// How often the name stands in the object.
    var times = 0
    /// Whether the value was read to its end.
    var isWhole = false
  }

  private struct Name {
    let start: Int
    let end: Int
    let hasEscapes: Bool
  }

  private enum Wanted { case nothing, id, method }

  private(set) var id = Member()
  private(set) var method = Member()

  private var text: JSONText
  private let depthMax: Int
  private let refusesDuplicates: Bool
  private var depth = 0
  private var objects: UInt64 = 0  // bit n: whether depth n + 1 is an object
  private var names: ContiguousArray<Name> = []
  private var firstNames = InlineArray<64, Int>(repeating: 0)
  private var wanted = Wanted.nothing

  init(_ bytes: UnsafeRawBufferPointer, depthMax: Int, refusesDuplicates: Bool) {
    text = JSONText(bytes)
    self.depthMax = min(depthMax, 64)
    self.refusesDuplicates = refusesDuplicates
  }

  /// Reads the whole text.
  mutating func run() throws(JSONError) {
    repeat {
      text.skipBlanks()
      if try opensNonEmpty() { continue }
      if try closesAll() { return }
    } while true
  }

  /// Whether the outermost value is an object.
  var isObject: Bool { objects & 1 != 0 }

  private var isInObject: Bool { depth > 0 && objects & (1 << UInt64(depth - 1)) != 0 }

  /// Reads one value, or the beginning of one that holds others; true in the latter case.
  private mutating func opensNonEmpty() throws(JSONError) -> Bool {
    let start = text.index
    let byte = try text.peek()
    var kind = Member.Kind.other
    switch byte {
    case UInt8(ascii: "{"), UInt8(ascii: "["):
      if depth == 1 { note(.other, start..<start, isWhole: false) }
      return try open(isObject: byte == UInt8(ascii: "{"))
    case UInt8(ascii: "\""):
      let string = try text.string()
      kind = string.hasEscapes && wanted == .method ? .other : .string
    case UInt8(ascii: "-"), 0x30...0x39:
      try text.number()
      kind = .number
    case UInt8(ascii: "t"): try text.literal("true")
    case UInt8(ascii: "f"): try text.literal("false")
    case UInt8(ascii: "n"):
      try text.literal("null")
      kind = .null
    default: throw .syntax(at: start)
    }
    // A number at the very end may go on in bytes that are not here.
    if depth == 1 { note(kind, start..<text.index, isWhole: kind != .number || !text.isAtEnd) }
    return false
  }

  private mutating func open(isObject: Bool) throws(JSONError) -> Bool {
    guard depth < depthMax else { throw .tooDeep }
    text.index += 1
    let bit = 1 << UInt64(depth) as UInt64
    objects = isObject ? objects | bit : objects & ~bit
    firstNames[depth] = names.count
    depth += 1
    text.skipBlanks()
    if try text.peek() == (isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) {
      text.index += 1
      depth -= 1
      return false
    }
    if isObject { try name() }
    return true
  }

  /// Reads what follows a value: the ends of what holds it, or a comma; true at the end of all.
  private mutating func closesAll() throws(JSONError) -> Bool {
    while depth > 0 {
      text.skipBlanks()
      let byte = try text.peek()
      if byte == UInt8(ascii: ",") {
        text.index += 1
        if isInObject {
          text.skipBlanks()
          try name()
        }
        return false
      }
      guard byte == (isInObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) else {
        throw .syntax(at: text.index)
      }
      if isInObject { try closeNames() }
      text.index += 1
      depth -= 1
    }
    text.skipBlanks()
    guard text.isAtEnd else { throw .syntax(at: text.index) }
    return true
  }

  private mutating func name() throws(JSONError) {
    guard try text.peek() == UInt8(ascii: "\"") else { throw .syntax(at: text.index) }
    let (content, hasEscapes) = try text.string()
    if refusesDuplicates {
      names.append(Name(start: content.lowerBound, end: content.upperBound, hasEscapes: hasEscapes))
    }
    if depth == 1 { wanted = want(content, hasEscapes) }
    text.skipBlanks()
    guard try text.peek() == UInt8(ascii: ":") else { throw .syntax(at: text.index) }
    text.index += 1
  }

  private func want(_ content: Range<Int>, _ hasEscapes: Bool) -> Wanted {
    // Six bytes for each character is the longest way to write a name.
    guard content.count <= 36 else { return .nothing }
    let bytes = hasEscapes ? text.decoded(content) : nil
    if spells(content, bytes, "id") { return .id }
    if spells(content, bytes, "method") { return .method }
    return .nothing
  }

  private func spells(_ content: Range<Int>, _ decoded: [UInt8]?, _ name: StaticString) -> Bool {
    let expected = UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
    if let decoded { return decoded.elementsEqual(expected) }
    return content.count == expected.count && text.bytes[content].elementsEqual(expected)
  }

  private mutating func note(_ kind: Member.Kind, _ range: Range<Int>, isWhole: Bool) {
    switch wanted {
    case .nothing: break
    case .id: id = Member(kind: kind, range: range, times: id.times + 1, isWhole: isWhole)
    case .method:
      method = Member(kind: kind, range: range, times: method.times + 1, isWhole: isWhole)
    }
    wanted = .nothing
  }

  // MARK: Duplicate names

  private mutating func closeNames() throws(JSONError) {
    guard refusesDuplicates else { return }
    let first = firstNames[depth - 1]
    defer { names.removeSubrange(first...) }
    let count = names.count - first
    guard count > 1 else { return }
    if count <= 12 {
      for later in (first + 1)..<names.count {
        for earlier in first..<later where same(names[earlier], names[later]) {
          throw .duplicateName(at: names[later].start)
        }
      }
    } else {
      var seen = Set<[UInt8]>(minimumCapacity: count)
      for name in names[first...] where !seen.insert(content(name)).inserted {
        throw .duplicateName(at: name.start)
      }
    }
  }

  private func same(_ a: Name, _ b: Name) -> Bool {
    if a.hasEscapes || b.hasEscapes { return content(a) == content(b) }
    return a.end - a.start == b.end - b.start
      && text.bytes[a.start..<a.end].elementsEqual(text.bytes[b.start..<b.end])
  }

  private func content(_ name: Name) -> [UInt8] {
    name.hasEscapes
      ? text.decoded(name.start..<name.end) : Array(text.bytes[name.start..<name.end])
  }
}
