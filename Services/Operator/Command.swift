// What a command of the tool is: a name, a manual, and a run that ends in one of four statuses.
// Commands print results on standard output and everything else on standard error.

import Configuration

/// How a command ends.
enum ExitStatus: Int32 {
  case good = 0
  /// It worked and found something, or it failed.
  case finding = 1
  /// It was called in a way that it does not know.
  case usage = 2
  /// A setting is wrong.
  case configuration = 78
}

/// One command.
protocol Command {
  static var name: String { get }
  /// One line for the list of commands.
  static var summary: String { get }
  /// The whole manual, shown by `--help`.
  static var manual: String { get }
  static func run(_ arguments: inout Arguments, _ console: Console) throws(CommandFailure)
    -> ExitStatus
}

/// Why a command could not do its work.
enum CommandFailure: Error {
  case usage(String)
  case configuration(ConfigurationError)
  /// A file that a setting names is not as it must be: text of our own and public values only.
  case fileRefused(String)
  /// Text of our own and public values only.
  case failed(String)

  var status: ExitStatus {
    switch self {
    case .usage: .usage
    case .configuration, .fileRefused: .configuration
    case .failed: .finding
    }
  }
}

/// What stands behind a command's name, taken out piece by piece; what is left is an error.
struct Arguments {
  private var rest: [String]

  init(_ words: [String]) { rest = words }

  /// Whether the option is there; given twice counts once.
  mutating func flag(_ name: String) -> Bool {
    let count = rest.count
    rest.removeAll { $0 == name }
    return rest.count < count
  }

  /// The value of `--name value` or `--name=value`.
  mutating func option(_ name: String) throws(CommandFailure) -> String? {
    if let place = rest.firstIndex(of: name) {
      guard place + 1 < rest.count else { throw .usage("\(name) needs a value") }
      let value = rest[place + 1]
      rest.removeSubrange(place...(place + 1))
      return value
    }
    guard let place = rest.firstIndex(where: { $0.hasPrefix(name + "=") }) else { return nil }
    return String(rest.remove(at: place).dropFirst(name.count + 1))
  }

  /// The first word that is no option.
  mutating func word() -> String? {
    guard let place = rest.firstIndex(where: { !$0.hasPrefix("-") }) else { return nil }
    return rest.remove(at: place)
  }

  /// Refuses what nobody took.
  func finish() throws(CommandFailure) {
    if let word = rest.first { throw .usage("unexpected argument: \(word)") }
  }
}
