// The members of a small answer, whether it came as a JSON object or as a form. A name that stands
// twice makes the whole answer unreadable.

import FoundationEssentials
import HTTPCodec
import StrictJSON

/// Texts and numbers of an answer by name; anything else counts as absent.
struct AnswerFields {
  private enum Value: Decodable {
    case text(String)
    case integer(Int)
    case other

    init(from decoder: any Decoder) throws {
      let box = try decoder.singleValueContainer()
      if let text = try? box.decode(String.self) {
        self = .text(text)
      } else if (try? box.decode(Bool.self)) == nil, let number = try? box.decode(Int.self) {
        self = .integer(number)
      } else if let number = try? box.decode(Double.self), abs(number) < 1e15 {
        self = .integer(Int(number))
      } else {
        self = .other
      }
    }
  }

  private let values: [String: Value]

  /// The members of `body`; nil when it is neither a JSON object nor a form that says something.
  init?(body: [UInt8], isForm: Bool) {
    if !isForm, isWellFormed(body),
      let values = try? JSONDecoder().decode([String: Value].self, from: Data(body))
    {
      self.values = values
      return
    }
    guard let form = try? Form(parsing: body),
      form.pairs.contains(where: { $0.name == "access_token" || $0.name == "error" })
    else { return nil }
    // Names that differ in bytes may be one key of a dictionary (canonical equivalence).
    var values: [String: Value] = [:]
    for pair in form.pairs {
      guard values.updateValue(.text(pair.value), forKey: pair.name) == nil else { return nil }
    }
    self.values = values
  }

  func text(_ name: String) -> String? {
    guard case .text(let text)? = values[name], !text.isEmpty else { return nil }
    return text
  }

  /// An integer, also when it is written as text: digits, with at most one sign in front.
  func integer(_ name: String) -> Int? {
    switch values[name] {
    case .integer(let number): return number
    case .text(let text):
      let digits = text.utf8.first == UInt8(ascii: "-") ? text.utf8.dropFirst() : text.utf8[...]
      guard (1...15).contains(digits.count), digits.allSatisfy({ (48...57).contains($0) }) else {
        return nil
      }
      return Int(text)
    default: return nil
    }
  }
}
