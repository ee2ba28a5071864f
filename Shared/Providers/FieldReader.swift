// Takes members out of a JSON object one by one, each with its type and range, and in the end
// refuses what nobody took. Knows nothing of providers but how their fields are named in errors.

import FoundationEssentials
import HTTPCodec
import StrictJSON

/// A JSON value whose members can be looked at one by one.
enum JSONTree: Equatable {
  case null
  case flag(Bool)
  case integer(Int)
  case other
  case text(String)
  case array([JSONTree])
  case object([String: JSONTree])

  /// The value of a whole JSON text, or nil.
  static func parse(_ json: [UInt8]) -> JSONTree? {
    guard isWellFormed(json) else { return nil }
    return try? JSONDecoder().decode(JSONTree.self, from: Data(json))
  }
}

extension JSONTree: Decodable {
  init(from decoder: any Decoder) throws {
    let box = try decoder.singleValueContainer()
    if box.decodeNil() {
      self = .null
    } else if let flag = try? box.decode(Bool.self) {
      self = .flag(flag)
    } else if let number = try? box.decode(Int.self) {
      self = .integer(number)
    } else if let text = try? box.decode(String.self) {
      self = .text(text)
    } else if let list = try? box.decode([JSONTree].self) {
      self = .array(list)
    } else if let members = try? box.decode([String: JSONTree].self) {
      self = .object(members)
    } else {
      self = .other
    }
  }
}

/// Reads the members of one object.
struct FieldReader {
  /// The service, for errors: its place in the list until its id is known.
  var service: String
  private let path: String
  private var rest: [String: JSONTree]

  init(_ tree: JSONTree, service: String, path: String) throws(CatalogueError) {
    guard case .object(let members) = tree else {
      throw .field(
        service: service, field: path.isEmpty ? "(all of it)" : path, problem: .wrongType)
    }
    self.service = service
    self.path = path
    rest = members
  }

  func error(_ name: String, _ problem: CatalogueError.Problem) -> CatalogueError {
    .field(service: service, field: path.isEmpty ? name : "\(path).\(name)", problem: problem)
  }

  /// Refuses members that were not asked for.
  func finish() throws(CatalogueError) {
    if let name = rest.keys.sorted().first { throw error(Self.printable(name), .unknown) }
  }

  /// A member's name as it may stand in an error: it is text of a stranger's file.
  private static func printable(_ name: String) -> String {
    String(
      decoding: name.utf8.prefix(40).map { (0x21...0x7e).contains($0) ? $0 : 0x3f }, as: UTF8.self)
  }

  /// The member, or nil when it is absent or null.
  private mutating func take(_ name: String) -> JSONTree? {
    guard let value = rest.removeValue(forKey: name), value != .null else { return nil }
    return value
  }

  mutating func flag(_ name: String) throws(CatalogueError) -> Bool? {
    guard let value = take(name) else { return nil }
    guard case .flag(let flag) = value else { throw error(name, .wrongType) }
    return flag
  }

  mutating func number(_ name: String, _ range: ClosedRange<Int>) throws(CatalogueError) -> Int? {
    guard let value = take(name) else { return nil }
    guard case .integer(let number) = value else { throw error(name, .wrongType) }
    guard range.contains(number) else { throw error(name, .badValue) }
    return number
  }

  mutating func optionalText(_ name: String, limit: Int) throws(CatalogueError) -> String? {
    guard let value = take(name) else { return nil }
    guard case .text(let text) = value else { throw error(name, .wrongType) }
    let isPlain = text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f }
    guard (1...limit).contains(text.utf8.count), isPlain else { throw error(name, .badValue) }
    return text
  }

  mutating func text(
    _ name: String, limit: Int, where isAllowed: (UInt8) -> Bool = { _ in true }
  ) throws(CatalogueError) -> String {
    guard let text = try optionalText(name, limit: limit) else { throw error(name, .missing) }
    guard text.utf8.allSatisfy(isAllowed) else { throw error(name, .badValue) }
    return text
  }

  mutating func texts(_ name: String) throws(CatalogueError) -> [String] {
    guard let value = take(name) else { return [] }
    guard case .array(let items) = value else { throw error(name, .wrongType) }
    var texts: [String] = []
    for item in items {
      guard case .text(let text) = item else { throw error(name, .wrongType) }
      // A scope is NQCHAR (RFC 6749 section 3.3): no blank, quote or backslash.
      let isToken = text.utf8.allSatisfy {
        (0x21...0x7e).contains($0) && $0 != 0x22 && $0 != 0x5c
      }
      guard (1...256).contains(text.utf8.count), isToken, texts.count < 100 else {
        throw error(name, .badValue)
      }
      texts.append(text)
    }
    return texts
  }

  mutating func choice<Value: RawRepresentable<String>>(
    _ name: String, _: Value.Type
  ) throws(CatalogueError) -> Value? {
    guard let value = take(name) else { return nil }
    guard case .text(let text) = value else { throw error(name, .wrongType) }
    guard let choice = Value(rawValue: text), choice.rawValue.utf8.elementsEqual(text.utf8) else {
      throw error(name, .badValue)
    }
    return choice
  }

  mutating func optionalSecureURL(_ name: String) throws(CatalogueError) -> WebURL? {
    guard let text = try optionalText(name, limit: WebURL.bytesMax) else { return nil }
    guard let url = WebURL(text) else { throw error(name, .badValue) }
    guard url.isSecure else { throw error(name, .insecure) }
    return url
  }

  mutating func secureURL(_ name: String) throws(CatalogueError) -> WebURL {
    guard let url = try optionalSecureURL(name) else { throw error(name, .missing) }
    return url
  }

  /// An issuer: a secure URL without query, kept as it was written.
  mutating func issuer(_ name: String) throws(CatalogueError) -> String? {
    guard let text = try optionalText(name, limit: WebURL.bytesMax) else { return nil }
    guard let url = WebURL(text), url.query == nil else { throw error(name, .badValue) }
    guard url.isSecure else { throw error(name, .insecure) }
    return text
  }

  /// Parameters of the authorization request; those that we set ourselves are refused.
  mutating func parameters(_ name: String) throws(CatalogueError) -> [String: String] {
    guard let value = take(name) else { return [:] }
    guard case .object(let members) = value else { throw error(name, .wrongType) }
    let ours: Set<String> = [
      "response_type", "client_id", "redirect_uri", "state", "code_challenge",
      "code_challenge_method", "resource", "scope", "request", "request_uri",
    ]
    var parameters: [String: String] = [:]
    for (key, member) in members {
      guard case .text(let text) = member else {
        throw error("\(name).\(Self.printable(key))", .wrongType)
      }
      let isName = key.utf8.allSatisfy {
        (0x61...0x7a).contains($0 | 0x20) || (0x30...0x39).contains($0) || $0 == 0x5f
      }
      guard isName, (1...64).contains(key.utf8.count), !ours.contains(key),
        text.utf8.count <= 512, text.utf8.allSatisfy({ (0x20...0x7e).contains($0) })
      else { throw error("\(name).\(Self.printable(key))", .badValue) }
      parameters[key] = text
    }
    return parameters
  }

  /// A member that is an object itself.
  mutating func nested(_ name: String) throws(CatalogueError) -> FieldReader? {
    guard let value = take(name) else { return nil }
    return try FieldReader(value, service: service, path: path.isEmpty ? name : "\(path).\(name)")
  }
}
