// An absolute http or https URL as it may stand in settings, the catalogue and metadata documents.
// Narrower than what browsers read, on purpose: what two readers could read differently is refused
// (user names, fragments, backslashes, blanks, bare non-ASCII, dot segments, odd hosts).

/// An absolute web URL.
public struct WebURL: Hashable, Sendable, CustomStringConvertible {
  /// The two schemes there are.
  public enum Scheme: Hashable, Sendable {
    case http, https

    /// The port that is not written.
    public var defaultPort: UInt16 { self == .http ? 80 : 443 }
    /// The name before `://`.
    public var name: String { self == .http ? "http" : "https" }
  }

  /// The longest URL that is read.
  public static let bytesMax = 2048

  /// http or https.
  public let scheme: Scheme
  /// Host and port; a port that is the scheme's own is left out.
  public let authority: Authority
  /// The path, at least `/`, with its escapes as written.
  public let path: String
  /// What follows `?`, without it; nil when there is no `?`.
  public let query: String?

  /// The URL that `text` writes, or nil.
  public init?(_ text: String) {
    let bytes = Array(text.utf8)
    guard bytes.count <= Self.bytesMax, let (scheme, start) = Self.scheme(bytes) else { return nil }
    let pathStart =
      bytes[start...].firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") }
      ?? bytes.count
    guard let authority = Authority(bytes[start..<pathStart]) else { return nil }
    let queryStart = bytes[pathStart...].firstIndex(of: UInt8(ascii: "?")) ?? bytes.count
    let path = bytes[pathStart..<queryStart]
    guard Self.isEscapedText(path, also: "/:@"), !Self.hasDotSegment(path) else { return nil }
    if queryStart < bytes.count {
      let query = bytes[(queryStart + 1)...]
      guard Self.isEscapedText(query, also: "/:@?") else { return nil }
      self.query = String(decoding: query, as: UTF8.self)
    } else {
      query = nil
    }
    self.scheme = scheme
    self.authority =
      authority.port == scheme.defaultPort
      ? Authority(host: authority.host, port: nil) : authority
    self.path = path.isEmpty ? "/" : String(decoding: path, as: UTF8.self)
    // The normal form may be longer than what was written: a path of nothing becomes `/`.
    guard description.utf8.count <= Self.bytesMax else { return nil }
  }

  /// The port to connect to.
  public var port: UInt16 { authority.port ?? scheme.defaultPort }

  /// `https://host[:port]`, without a path.
  public var origin: String { "\(scheme.name)://\(authority)" }

  /// Path and query as they stand in a request line.
  public var target: String { query.map { "\(path)?\($0)" } ?? path }

  /// The URL in normal form.
  public var description: String { origin + target }

  /// Whether there is nothing but an origin.
  public var isOrigin: Bool { path == "/" && query == nil }

  /// Whether tokens may be sent there: https, or http to a literal loopback host.
  public var isSecure: Bool { scheme == .https || authority.isLoopback }

  private static func scheme(_ bytes: [UInt8]) -> (Scheme, Int)? {
    let head = bytes.prefix(8).map { (0x41...0x5a).contains($0) ? $0 | 0x20 : $0 }
    if head.starts(with: "https://".utf8) { return (.https, 8) }
    if head.starts(with: "http://".utf8) { return (.http, 7) }
    return nil
  }

  /// Unreserved characters, sub-delimiters, whole escapes (RFC 3986) and what `also` adds.
  private static func isEscapedText(_ bytes: ArraySlice<UInt8>, also: StaticString) -> Bool {
    var index = bytes.startIndex
    while index < bytes.endIndex {
      let byte = bytes[index]
      if byte == UInt8(ascii: "%") {
        guard index + 2 < bytes.endIndex, let high = hex(bytes[index + 1]),
          let low = hex(bytes[index + 2])
        else { return false }
        // No NUL, no line break and no other control may hide in an escape.
        guard (0x20...0x7e).contains(high << 4 | low) || high >= 8 else { return false }
        index += 3
        continue
      }
      let isPlain =
        (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte)
        || (0x61...0x7a).contains(byte)
      let marks: StaticString = "-._~!$&'()*+,;="
      let isMark = [marks, also].contains { set in
        set.withUTF8Buffer { $0.contains(byte) }
      }
      guard isPlain || isMark else { return false }
      index += 1
    }
    return true
  }

  private static func hex(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x37
    case 0x61...0x66: byte - 0x57
    default: nil
    }
  }

  /// Whether a segment is `.` or `..`, also with its dots escaped.
  private static func hasDotSegment(_ path: ArraySlice<UInt8>) -> Bool {
    path.split(separator: UInt8(ascii: "/")).contains { segment in
      var rest = segment
      var dots = 0
      while let first = rest.first {
        if first == UInt8(ascii: ".") {
          rest.removeFirst()
        } else if rest.count >= 3, first == UInt8(ascii: "%"),
          rest[rest.startIndex + 1] == UInt8(ascii: "2"),
          rest[rest.startIndex + 2] | 0x20 == UInt8(ascii: "e")
        {
          rest.removeFirst(3)
        } else {
          return false
        }
        dots += 1
      }
      return (1...2).contains(dots)
    }
  }
}
