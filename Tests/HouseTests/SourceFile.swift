// How the house tests see a source file: its lines, and the same lines with comments and string
// literals blanked out, so that a rule about code does not trip over prose. Knows enough of Swift's
// lexical rules for that and no more.

/// One Swift file of the repository.
struct SourceFile: Sendable {
  /// The path from the repository's root.
  let path: String
  let lines: [String]
  /// The lines with the insides of strings and comments turned into blanks.
  let code: [String]

  init(path: String, text: String) {
    self.path = path
    lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    code = Self.blanked(Array(text.utf8)).split(separator: "\n", omittingEmptySubsequences: false)
      .map(String.init)
  }

  var isTest: Bool { path.hasPrefix("Tests/") }
  var fileName: String { String(path.split(separator: "/").last ?? "") }

  /// The module or service whose folder the file is in.
  var folder: String {
    let parts = path.split(separator: "/")
    if parts.first == "migrations" { return "Migrations" }
    return parts.count > 1 ? String(parts[1]) : ""
  }

  private enum State {
    case code
    case lineComment
    case blockComment(depth: Int)
    case string(hashes: Int, multiline: Bool)
  }

  private static func blanked(_ text: [UInt8]) -> String {
    var result = text
    var state = State.code
    var index = 0
    func starts(_ token: String, at place: Int) -> Bool { text[place...].starts(with: token.utf8) }
    func blank(_ count: Int) {
      for place in index..<min(index + count, text.count) where text[place] != 0x0a {
        result[place] = 0x20
      }
      index += count
    }
    while index < text.count {
      switch state {
      case .code:
        let hashes = text[index...].prefix { $0 == UInt8(ascii: "#") }.count
        let quote = index + hashes
        if starts("//", at: index) {
          state = .lineComment
        } else if starts("/*", at: index) {
          state = .blockComment(depth: 0)
        } else if quote < text.count, text[quote] == UInt8(ascii: "\"") {
          let isMultiline = starts("\"\"\"", at: quote)
          state = .string(hashes: hashes, multiline: isMultiline)
          blank(hashes + (isMultiline ? 3 : 1))
        } else {
          index += max(1, hashes)
        }
      case .lineComment:
        if text[index] == 0x0a { state = .code }
        blank(1)
      case .blockComment(let depth):
        if starts("/*", at: index) {
          state = .blockComment(depth: depth + 1)
          blank(2)
        } else if starts("*/", at: index) {
          state = depth == 1 ? .code : .blockComment(depth: depth - 1)
          blank(2)
        } else {
          blank(1)
        }
      case .string(let hashes, let isMultiline):
        let marks = String(repeating: "#", count: hashes)
        let end = (isMultiline ? "\"\"\"" : "\"") + marks
        if starts("\\" + marks, at: index) {
          blank(2 + hashes)
        } else if starts(end, at: index) {
          blank(end.utf8.count)
          state = .code
        } else if text[index] == 0x0a && !isMultiline {
          // Not a string after all (a lone quote in a regular expression): go on as code.
          state = .code
        } else {
          blank(1)
        }
      }
    }
    return String(decoding: result, as: UTF8.self)
  }
}

/// A broken rule.
struct Violation: CustomStringConvertible, Equatable {
  let path: String
  let line: Int
  let message: String

  var description: String { "\(path):\(line): \(message)" }
}

extension String {
  /// Whether `word` stands here as a word of its own: no letter, digit or `_` around it where it
  /// begins or ends with one.
  func hasWord(_ word: String) -> Bool {
    let text = Array(utf8)
    let wanted = Array(word.utf8)
    func isWordByte(_ byte: UInt8) -> Bool {
      (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte | 0x20) || byte == 0x5f
    }
    guard let first = wanted.first, let last = wanted.last, text.count >= wanted.count else {
      return false
    }
    for start in 0...(text.count - wanted.count)
    where text[start] == first && text[start...].starts(with: wanted) {
      let end = start + wanted.count
      let isCutBefore = isWordByte(first) && start > 0 && isWordByte(text[start - 1])
      let isCutBehind = isWordByte(last) && end < text.count && isWordByte(text[end])
      if !isCutBefore && !isCutBehind { return true }
    }
    return false
  }

  /// The line without blanks at its ends.
  var trimmed: String {
    let bytes = utf8.drop { $0 == 0x20 || $0 == 0x09 }
    return String(
      decoding: Array(bytes).reversed().drop { $0 == 0x20 || $0 == 0x0d }.reversed(),
      as: UTF8.self)
  }
}
