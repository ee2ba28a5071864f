// The members of a JSON document that a stranger serves: metadata, a registration. Read strictly: one
// object, no name twice; a member that we need and that has another type is a fault by its name.

import FoundationEssentials
import HTTPCodec
import StrictJSON

/// Why a document is of no use; holds nothing of its text.
public enum DocumentFault: Error, Equatable, Sendable {
  /// No JSON object with one meaning.
  case notJSON
  /// A member that is needed is missing.
  case missing(StaticText)
  /// A member has another type or form than it should.
  case malformed(StaticText)
}

/// A text that stands in our code.
public struct StaticText: Sendable, Equatable, ExpressibleByStringLiteral, CustomStringConvertible {
  /// The text.
  public let description: String

  /// A literal.
  public init(stringLiteral value: StaticString) { description = "\(value)" }
}

/// An object's members by name.
struct MetadataDocument {
  private enum Value: Decodable {
    case null
    case flag(Bool)
    case integer(Int)
    case text(String)
    case texts([String])
    case other

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
      } else if let texts = try? box.decode([String].self) {
        self = .texts(texts)
      } else {
        self = .other
      }
    }
  }

  private let values: [String: Value]

  init(reading body: [UInt8]) throws(DocumentFault) {
    guard isWellFormed(body),
      let values = try? JSONDecoder().decode([String: Value].self, from: Data(body))
    else { throw .notJSON }
    self.values = values
  }

  func text(_ name: StaticText) throws(DocumentFault) -> String? {
    switch values[name.description] {
    case nil, .null?: return nil
    case .text(let text)?: return text
    default: throw .malformed(name)
    }
  }

  /// Whether there is such a member, whatever it is.
  func has(_ name: StaticText) -> Bool { values[name.description] != nil }

  func requiredText(_ name: StaticText) throws(DocumentFault) -> String {
    guard let text = try text(name) else { throw .missing(name) }
    return text
  }

  func url(_ name: StaticText) throws(DocumentFault) -> WebURL? {
    guard let text = try text(name) else { return nil }
    guard let url = WebURL(text) else { throw .malformed(name) }
    return url
  }

  func requiredURL(_ name: StaticText) throws(DocumentFault) -> WebURL {
    guard let url = try url(name) else { throw .missing(name) }
    return url
  }

  func texts(_ name: StaticText) throws(DocumentFault) -> [String]? {
    switch values[name.description] {
    case nil, .null?: return nil
    case .texts(let texts)?: return texts
    default: throw .malformed(name)
    }
  }

  func flag(_ name: StaticText) throws(DocumentFault) -> Bool {
    switch values[name.description] {
    case nil, .null?: return false
    case .flag(let flag)?: return flag
    default: throw .malformed(name)
    }
  }

  func integer(_ name: StaticText) throws(DocumentFault) -> Int? {
    switch values[name.description] {
    case nil, .null?: return nil
    case .integer(let number)?: return number
    default: throw .malformed(name)
    }
  }
}
