// Forms with files (multipart/form-data, RFC 7578 over RFC 2046 section 5.1), read strictly: nothing
// before the first boundary or behind the last, every part has one plain disposition and at most a
// media type, and no byte is guessed. What two readers could read differently is refused. A pure
// function of the whole body, whose size is bounded by whoever collected it.

/// The parts of a form.
public struct MultipartForm: Sendable {
  /// One field or file.
  public struct Part: Sendable, Equatable {
    /// The field's name.
    public let name: String
    /// The file's name as the sender has it; nil for a field that is no file.
    public let fileName: String?
    /// The media type as it came; nil when the part has none.
    public let mediaType: String?
    /// What is in it.
    public let content: [UInt8]

    /// A part of these pieces.
    public init(name: String, fileName: String?, mediaType: String?, content: [UInt8]) {
      self.name = name
      self.fileName = fileName
      self.mediaType = mediaType
      self.content = content
    }
  }

  /// Why a form was refused.
  public enum Failure: Error, Equatable, Sendable {
    /// The body does not begin with the boundary, or ends without its end.
    case framing
    /// A part's head is too long, broken, or holds what is not read here.
    case partHead
    /// More parts than there may be.
    case tooManyParts
  }

  /// Parts that are read at most.
  public static let partsMax = 16
  /// The longest head of a part.
  public static let partHeadBytesMax = 1024

  /// The parts in their order.
  public let parts: [Part]

  /// The value of the only part called `name`, when it is no file and UTF-8.
  public func text(_ name: String) -> String? {
    guard let part = only(name), part.fileName == nil else { return nil }
    return String(validating: part.content, as: UTF8.self)
  }

  /// The only part called `name`.
  public func only(_ name: String) -> Part? {
    let found = parts.filter { $0.name.utf8.elementsEqual(name.utf8) }
    return found.count == 1 ? found[0] : nil
  }

  /// The boundary that a Content-Type names; nil for another type or a boundary that is not plain.
  public static func boundary(inContentType value: String) -> [UInt8]? {
    let pieces = value.utf8.split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false)
    guard pieces.count == 2 else { return nil }
    let type = trim(pieces[0]).map(lowercased)
    let parameter = trim(pieces[1])
    let prefix = Array("boundary=".utf8)
    guard type.elementsEqual("multipart/form-data".utf8),
      parameter.prefix(prefix.count).map(lowercased).elementsEqual(prefix)
    else { return nil }
    var boundary = Array(parameter.dropFirst(prefix.count))
    if boundary.count >= 2, boundary.first == UInt8(ascii: "\""), boundary.last == boundary.first {
      boundary = Array(boundary.dropFirst().dropLast())
    }
    // Of what RFC 2046 allows only what no sender quotes in two ways.
    guard (1...70).contains(boundary.count), boundary.allSatisfy(isBoundaryByte) else { return nil }
    return boundary
  }

  /// The parts that `body` holds between its boundaries.
  /// - Throws: `Failure`.
  public init(parsing body: [UInt8], boundary: [UInt8]) throws(Failure) {
    let line = [UInt8](arrayLiteral: 0x2d, 0x2d) + boundary
    guard body.starts(with: line) else { throw .framing }
    let delimiter = [0x0d, 0x0a] + line
    var parts: [Part] = []
    var place = line.count
    while true {
      // Behind a boundary: the end of its line, or of the form.
      if body[place...].starts(with: [0x2d, 0x2d]) {
        let rest = body[(place + 2)...]
        guard rest.isEmpty || rest.elementsEqual([0x0d, 0x0a]), !parts.isEmpty else {
          throw .framing
        }
        break
      }
      guard body[place...].starts(with: [0x0d, 0x0a]) else { throw .framing }
      guard parts.count < Self.partsMax else { throw .tooManyParts }
      let start = place + 2
      guard let end = Self.find(delimiter, in: body, from: start) else { throw .framing }
      parts.append(try Self.part(body[start..<end]))
      place = end + delimiter.count
    }
    self.parts = parts
  }

  private static func part(_ bytes: ArraySlice<UInt8>) throws(Failure) -> Part {
    let head = Array(bytes.prefix(partHeadBytesMax))
    guard let blank = find([0x0d, 0x0a, 0x0d, 0x0a], in: head, from: 0) else { throw .partHead }
    var disposition: (name: String, fileName: String?)?
    var mediaType: String?
    var rest = head[..<blank]
    while !rest.isEmpty {
      let end = find([0x0d, 0x0a], in: Array(rest), from: 0).map { rest.startIndex + $0 }
      let line = rest[..<(end ?? rest.endIndex)]
      rest = end.map { rest[($0 + 2)...] } ?? []
      guard let colon = line.firstIndex(of: UInt8(ascii: ":")),
        let text = String(validating: trim(line[(colon + 1)...]), as: UTF8.self),
        FieldValue.isClean(text)
      else { throw .partHead }
      let name = line[..<colon].map(lowercased)
      if name.elementsEqual("content-disposition".utf8), disposition == nil {
        disposition = try Self.disposition(text)
      } else if name.elementsEqual("content-type".utf8), mediaType == nil {
        mediaType = text
      } else {
        throw .partHead
      }
    }
    guard let disposition else { throw .partHead }
    return Part(
      name: disposition.name, fileName: disposition.fileName, mediaType: mediaType,
      content: Array(bytes.dropFirst(blank + 4)))
  }

  /// `form-data; name="…"` and perhaps `; filename="…"`, in this order, as browsers write it.
  private static func disposition(
    _ text: String
  ) throws(Failure) -> (name: String, fileName: String?) {
    var rest = Substring(text).utf8
    func take(_ expected: StaticString) -> Bool {
      let wanted = "\(expected)".utf8
      guard rest.prefix(wanted.count).map(lowercased).elementsEqual(wanted) else { return false }
      rest = rest.dropFirst(wanted.count)
      return true
    }
    func quoted() -> String? {
      guard take("\""), let end = rest.firstIndex(of: UInt8(ascii: "\"")) else { return nil }
      let inside = rest[..<end]
      rest = rest[rest.index(after: end)...]
      // A backslash escapes for some readers and not for others.
      return inside.contains(UInt8(ascii: "\\")) ? nil : String(Substring(inside))
    }
    guard take("form-data; name="), let name = quoted(), !name.isEmpty else { throw .partHead }
    if rest.isEmpty { return (name, nil) }
    guard take("; filename="), let fileName = quoted(), rest.isEmpty else { throw .partHead }
    return (name, fileName)
  }

  /// Where `needle` begins in `bytes`, from `start` on.
  private static func find(_ needle: [UInt8], in bytes: [UInt8], from start: Int) -> Int? {
    bytes.withUnsafeBufferPointer { bytes in
      needle.withUnsafeBufferPointer { needle in
        var place = start
        let last = bytes.count - needle.count
        while place <= last {
          if bytes[place] == needle[0],
            bytes[place..<place + needle.count].elementsEqual(needle)
          {
            return place
          }
          place += 1
        }
        return nil
      }
    }
  }

  private static func trim(_ bytes: some BidirectionalCollection<UInt8>) -> [UInt8] {
    let isBlank: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x09 }
    return Array(bytes.drop(while: isBlank).reversed().drop(while: isBlank).reversed())
  }

  private static func isBoundaryByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
    default: "'()+_,-./:=?".utf8.contains(byte)
    }
  }
}
