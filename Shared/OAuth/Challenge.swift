// Reads WWW-Authenticate (RFC 9110 section 11.6.1): several challenges in one line, each a scheme
// with parameters or with one opaque word. Strict: a line that does not follow the grammar, or says
// something twice, says nothing.

/// One challenge of a server.
public struct Challenge: Sendable, Equatable {
  /// In lower case.
  public let scheme: String
  /// Names in lower case, values without their quotes.
  public let parameters: [String: String]

  /// The most challenges that are read of one line.
  public static let countMax = 16

  /// The challenges of one field line; nil when it breaks the grammar.
  public static func parse(_ line: [UInt8]) -> [Challenge]? {
    var reader = ChallengeReader(line)
    return reader.run()
  }
}

/// What a resource server says of how to be authorized (RFC 6750 section 3, RFC 9728 section 5.1).
public struct BearerChallenge: Sendable, Equatable {
  /// Where its metadata is, as written.
  public let resourceMetadata: String?
  /// The scopes that the request needs.
  public let scopes: [String]

  /// The first Bearer challenge of `lines` that names metadata, else the first one; nil when there
  /// is none in the lines that can be read.
  public init?(lines: [[UInt8]]) {
    let bearers = lines.flatMap { Challenge.parse($0) ?? [] }.filter {
      $0.scheme.utf8.elementsEqual("bearer".utf8)
    }
    guard
      let chosen = bearers.first(where: { $0.parameters["resource_metadata"] != nil })
        ?? bearers.first
    else { return nil }
    resourceMetadata = chosen.parameters["resource_metadata"]
    scopes = ScopeText.scopes(of: chosen.parameters["scope"] ?? "")
  }
}

/// A place in a line that is read once from left to right.
private struct ChallengeReader {
  private let bytes: [UInt8]
  private var index = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  mutating func run() -> [Challenge]? {
    var challenges: [Challenge] = []
    while true {
      // Empty elements of a list are allowed (RFC 9110 section 5.6.1.2).
      while skipBlanks() || take(UInt8(ascii: ",")) {}
      if index == bytes.count { return challenges }
      guard challenges.count < Challenge.countMax, let challenge = challenge() else { return nil }
      challenges.append(challenge)
    }
  }

  private mutating func challenge() -> Challenge? {
    guard let scheme = token() else { return nil }
    let name = Self.lowered(scheme)
    guard skipBlanks() else {
      return isAtElementEnd ? Challenge(scheme: name, parameters: [:]) : nil
    }
    if isAtElementEnd || skipWord() { return Challenge(scheme: name, parameters: [:]) }
    var parameters: [String: String] = [:]
    while true {
      let start = index
      guard let parameter = parameter() else {
        // Not a parameter: a comma led here, and behind it begins the next challenge.
        index = start
        return parameters.isEmpty ? nil : Challenge(scheme: name, parameters: parameters)
      }
      guard parameters.updateValue(parameter.value, forKey: parameter.name) == nil else {
        return nil
      }
      _ = skipBlanks()
      if index == bytes.count { return Challenge(scheme: name, parameters: parameters) }
      guard take(UInt8(ascii: ",")) else { return nil }
      while skipBlanks() || take(UInt8(ascii: ",")) {}
      if index == bytes.count { return Challenge(scheme: name, parameters: parameters) }
    }
  }

  /// `name = value`; nil when there is no equals sign or no value.
  private mutating func parameter() -> (name: String, value: String)? {
    guard let name = token() else { return nil }
    _ = skipBlanks()
    guard take(UInt8(ascii: "=")) else { return nil }
    _ = skipBlanks()
    guard let value = index < bytes.count && bytes[index] == 0x22 ? quoted() : token() else {
      return nil
    }
    return (Self.lowered(name), String(decoding: value, as: UTF8.self))
  }

  /// Steps over one opaque word (token68) that is the whole of the challenge.
  private mutating func skipWord() -> Bool {
    let start = index
    while index < bytes.count, Self.isWordByte(bytes[index]) { index += 1 }
    if index > start {
      while take(UInt8(ascii: "=")) {}
      _ = skipBlanks()
      if isAtElementEnd { return true }
    }
    index = start
    return false
  }

  private mutating func quoted() -> [UInt8]? {
    index += 1
    var text: [UInt8] = []
    while index < bytes.count {
      var byte = bytes[index]
      index += 1
      if byte == 0x22 { return text }
      if byte == 0x5c {
        guard index < bytes.count else { return nil }
        byte = bytes[index]
        index += 1
      }
      guard byte == 0x09 || byte >= 0x20 && byte != 0x7f else { return nil }
      text.append(byte)
    }
    return nil
  }

  private mutating func token() -> [UInt8]? {
    let start = index
    while index < bytes.count, Self.isTokenByte(bytes[index]) { index += 1 }
    return index > start ? Array(bytes[start..<index]) : nil
  }

  private var isAtElementEnd: Bool { index == bytes.count || bytes[index] == UInt8(ascii: ",") }

  /// Whether there were blanks.
  private mutating func skipBlanks() -> Bool {
    let start = index
    while index < bytes.count, bytes[index] == 0x20 || bytes[index] == 0x09 { index += 1 }
    return index > start
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard index < bytes.count, bytes[index] == byte else { return false }
    index += 1
    return true
  }

  private static func lowered(_ bytes: [UInt8]) -> String {
    String(decoding: bytes.map { (0x41...0x5a).contains($0) ? $0 | 0x20 : $0 }, as: UTF8.self)
  }

  private static func isTokenByte(_ byte: UInt8) -> Bool {
    isAlphanumeric(byte) || "!#$%&'*+-.^_`|~".utf8.contains(byte)
  }

  private static func isWordByte(_ byte: UInt8) -> Bool {
    isAlphanumeric(byte) || "-._~+/".utf8.contains(byte)
  }

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte | 0x20)
  }
}
