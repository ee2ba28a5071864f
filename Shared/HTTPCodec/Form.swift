// Forms and queries (application/x-www-form-urlencoded): names and values in their order,
// duplicates visible, nothing guessed. In OAuth a parameter that stands twice is an error, so
// asking for one value never silently picks one.

/// The pairs of a form or query.
public struct Form: Equatable, Sendable {
  /// One name with its value, both decoded.
  public struct Pair: Equatable, Sendable {
    public let name: String
    public let value: String

    /// A pair.
    public init(name: String, value: String) {
      self.name = name
      self.value = value
    }
  }

  /// Why a form was refused.
  public enum Failure: Error, Equatable, Sendable {
    /// More pairs than allowed.
    case tooManyPairs
    /// A broken escape, a NUL, or bytes that are not UTF-8.
    case malformed
  }

  /// Pairs that are read at most.
  public static let pairsMax = 256

  /// The pairs in their order.
  public let pairs: [Pair]

  /// A form of `pairs`.
  public init(_ pairs: [Pair]) { self.pairs = pairs }

  /// The pairs that `raw` writes.
  /// - Throws: `Failure`.
  public init(
    parsing raw: some Collection<UInt8>, pairsMax: Int = Form.pairsMax
  ) throws(Failure) {
    var pairs: [Pair] = []
    var start = raw.startIndex
    while start < raw.endIndex {
      let end = raw[start...].firstIndex(of: UInt8(ascii: "&")) ?? raw.endIndex
      if start < end {
        guard pairs.count < pairsMax else { throw .tooManyPairs }
        pairs.append(try Self.pair(raw[start..<end]))
      }
      start = end < raw.endIndex ? raw.index(after: end) : end
    }
    self.pairs = pairs
  }

  /// The pairs that `raw` writes.
  /// - Throws: `Failure`.
  public init(parsing raw: String) throws(Failure) { try self.init(parsing: Array(raw.utf8)) }

  /// The value of `name` when it stands exactly once.
  public func only(_ name: String) -> String? {
    var found: String?
    for pair in pairs where sameBytes(pair.name, name) {
      guard found == nil else { return nil }
      found = pair.value
    }
    return found
  }

  /// Every value of `name`, in order.
  public func all(_ name: String) -> [String] {
    pairs.filter { sameBytes($0.name, name) }.map(\.value)
  }

  /// The first name that stands more than once, or nil.
  public var repeatedName: String? {
    var seen = Set<[UInt8]>()
    return pairs.first { !seen.insert(Array($0.name.utf8)).inserted }?.name
  }

  /// The form as it is sent.
  public var encoded: String {
    pairs.map { "\(PercentCoding.encode($0.name))=\(PercentCoding.encode($0.value))" }
      .joined(separator: "&")
  }

  private static func pair(_ raw: some Collection<UInt8>) throws(Failure) -> Pair {
    let equals = raw.firstIndex(of: UInt8(ascii: "=")) ?? raw.endIndex
    let value = equals < raw.endIndex ? raw[raw.index(after: equals)...] : raw[equals...]
    return Pair(name: try text(raw[..<equals]), value: try text(value))
  }

  private static func text(_ raw: some Collection<UInt8>) throws(Failure) -> String {
    guard let bytes = PercentCoding.decode(raw, plusIsBlank: true), !bytes.contains(0),
      let text = String(validating: bytes, as: UTF8.self)
    else { throw .malformed }
    return text
  }

  private func sameBytes(_ a: String, _ b: String) -> Bool { a.utf8.elementsEqual(b.utf8) }
}
