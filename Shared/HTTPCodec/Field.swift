// Where the fields of a head stand: offsets into the head's bytes, nothing copied. The table is
// kept from one head to the next, so that reading a field allocates nothing.

import Glibc

/// One field line: which field, and where its name and value are in the head.
public struct Field: Equatable, Sendable {
  /// What the name means here.
  public let known: KnownField
  let nameStart: UInt16
  let nameCount: UInt16
  let valueStart: UInt16
  let valueCount: UInt16

  /// The name as written, in the bytes that the head was parsed from.
  @inline(__always)
  public func name(in head: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    slice(head, from: Int(nameStart), count: Int(nameCount))
  }

  /// Name, colon, one blank, value and line end, when they stand in the head just so; else nil.
  @inline(__always)
  public func plainLine(in head: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
    let gap = Int(nameStart) &+ Int(nameCount)
    let end = Int(valueStart) &+ Int(valueCount)
    guard valueCount > 0, Int(valueStart) == gap &+ 2, end &+ 1 < head.count,
      head[gap &+ 1] == 0x20, head[end] == UInt8(ascii: "\r")
    else { return nil }
    return slice(head, from: Int(nameStart), count: end &+ 2 &- Int(nameStart))
  }

  /// The value without the blanks around it, in the bytes that the head was parsed from.
  @inline(__always)
  public func value(in head: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    slice(head, from: Int(valueStart), count: Int(valueCount))
  }
}

/// `count` bytes of `head` from `start` on; a wrong head is our bug and stops the process.
@inline(__always)
func slice(_ head: UnsafeRawBufferPointer, from start: Int, count: Int) -> UnsafeRawBufferPointer {
  guard count > 0, let base = head.baseAddress else {
    return UnsafeRawBufferPointer(start: nil, count: 0)
  }
  precondition(start + count <= head.count)
  return UnsafeRawBufferPointer(start: base + start, count: count)
}

/// The fields of one head in their order.
public struct FieldTable: RandomAccessCollection {
  private var fields: ContiguousArray<Field> = []
  /// For each known field the number of its first line, counted from one; zero when absent.
  private var firsts = InlineArray<80, UInt8>(repeating: 0)

  init() {
    precondition(KnownField.allCases.count <= 80)
  }

  public var startIndex: Int { 0 }
  public var endIndex: Int { fields.count }
  /// The field line at `index`, in the order received.
  public subscript(index: Int) -> Field { fields[index] }

  /// The first line of `known`, or nil.
  @inline(__always)
  public func first(_ known: KnownField) -> Field? {
    let number = firsts[Int(known.rawValue)]
    return number == 0 ? nil : fields[Int(number) - 1]
  }

  /// Whether there is a line of `known`.
  public func contains(_ known: KnownField) -> Bool { firsts[Int(known.rawValue)] != 0 }

  /// The first line whose name is `name`, which is in small letters.
  public func first(named name: StaticString, in head: UnsafeRawBufferPointer) -> Field? {
    fields.first { equalsIgnoringCase($0.name(in: head), name) }
  }

  mutating func removeAll(keepingMemory: Bool = true) {
    if !fields.isEmpty { firsts = InlineArray(repeating: 0) }
    fields.removeAll(keepingCapacity: keepingMemory)
  }

  /// Reads the field line from `start` to `end` of `base`, which holds no control but tabs.
  mutating func read(
    _ base: UnsafeRawPointer, from start: Int, to end: Int, names: ByteSet, fieldsMax: Int
  ) throws(HeadError) -> Field {
    guard fields.count < Swift.min(fieldsMax, 255) else { throw .fieldsTooMany }
    let colon = Self.colonIndex(base, from: start, to: end)
    guard colon > start, colon < end else { throw .fieldName }
    let known = KnownField.named(base + start, count: colon - start)
    // A known name is made of the right bytes; any other is looked at byte by byte.
    if known == .other || known.isFamily {
      for index in start..<colon
      where !names.contains(base.load(fromByteOffset: index, as: UInt8.self)) {
        throw .fieldName
      }
    }
    var first = colon + 1
    var last = end
    while first < last, isBlank(base, first) { first &+= 1 }
    while last > first, isBlank(base, last - 1) { last &-= 1 }
    let field = Field(
      known: known, nameStart: UInt16(truncatingIfNeeded: start),
      nameCount: UInt16(truncatingIfNeeded: colon - start),
      valueStart: UInt16(truncatingIfNeeded: first),
      valueCount: UInt16(truncatingIfNeeded: last - first))
    if fields.isEmpty { fields.reserveCapacity(16) }
    fields.append(field)
    if known != .other {
      if firsts[Int(known.rawValue)] == 0 {
        firsts[Int(known.rawValue)] = UInt8(truncatingIfNeeded: fields.count)
      } else if known.isSingle {
        throw .fieldRepeated(known)
      }
    }
    return field
  }

  /// The first colon in `from..<to`, or `to`; eight bytes at a time.
  @inline(__always)
  private static func colonIndex(_ base: UnsafeRawPointer, from: Int, to: Int) -> Int {
    var index = from
    while index &+ 8 <= to {
      let word = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: index, as: UInt64.self))
      let colons = word ^ 0x3a3a_3a3a_3a3a_3a3a
      let hits = (colons &- 0x0101_0101_0101_0101) & ~colons & 0x8080_8080_8080_8080
      if hits != 0 { return index &+ hits.trailingZeroBitCount >> 3 }
      index &+= 8
    }
    while index < to, base.load(fromByteOffset: index, as: UInt8.self) != UInt8(ascii: ":") {
      index &+= 1
    }
    return index
  }

  @inline(__always)
  private func isBlank(_ base: UnsafeRawPointer, _ index: Int) -> Bool {
    let byte = base.load(fromByteOffset: index, as: UInt8.self)
    return byte == 0x20 || byte == 0x09
  }
}
