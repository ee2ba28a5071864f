// JSON as a value, for the tool's output and the demo server: members keep their order, text is
// escaped as RFC 8259 asks. Reading is the strict decoder's; numbers other than integers are kept
// as doubles.

import FoundationEssentials
import StrictJSON

/// A JSON value.
enum JSONValue: Sendable, Equatable {
  case null
  case flag(Bool)
  case integer(Int64)
  case number(Double)
  case text(String)
  case array([JSONValue])
  case object([(String, JSONValue)])

  /// The value of a whole JSON text, or nil. The order of members is not kept.
  init?(parsing bytes: [UInt8]) {
    guard isWellFormed(bytes),
      let value = try? JSONDecoder().decode(JSONValue.self, from: Data(bytes))
    else { return nil }
    self = value
  }

  /// The member of an object.
  subscript(name: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.0 == name }?.1
  }

  /// The text, when it is one.
  var string: String? {
    if case .text(let text) = self { text } else { nil }
  }

  /// The value as JSON on one line.
  var text: String {
    switch self {
    case .null: "null"
    case .flag(let flag): flag ? "true" : "false"
    case .integer(let number): "\(number)"
    case .number(let number): number.isFinite ? "\(number)" : "null"
    case .text(let text): Self.quoted(text)
    case .array(let items): "[" + items.map(\.text).joined(separator: ",") + "]"
    case .object(let members):
      "{" + members.map { "\(Self.quoted($0)):\($1.text)" }.joined(separator: ",") + "}"
    }
  }

  static func == (left: JSONValue, right: JSONValue) -> Bool {
    switch (left, right) {
    case (.object(let left), .object(let right)):
      left.count == right.count
        && left.allSatisfy { name, value in right.contains { $0.0 == name && $0.1 == value } }
    case (.array(let left), .array(let right)): left == right
    default: left.text == right.text
    }
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case let scalar where scalar.value < 0x20:
        let hex = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}

extension JSONValue: Decodable {
  init(from decoder: any Decoder) throws {
    let box = try decoder.singleValueContainer()
    if box.decodeNil() {
      self = .null
    } else if let flag = try? box.decode(Bool.self) {
      self = .flag(flag)
    } else if let number = try? box.decode(Int64.self) {
      self = .integer(number)
    } else if let number = try? box.decode(Double.self) {
      self = .number(number)
    } else if let text = try? box.decode(String.self) {
      self = .text(text)
    } else if let items = try? box.decode([JSONValue].self) {
      self = .array(items)
    } else {
      self = .object(
        try box.decode([String: JSONValue].self).sorted { $0.key < $1.key }.map { ($0, $1) })
    }
  }
}
