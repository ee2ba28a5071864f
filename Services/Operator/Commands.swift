// The table of commands, and the frame around each: help, usage errors, statuses. Every way out of
// the tool goes through `run`.

import Configuration

/// All commands of the tool.
enum Commands {
  static var all: [any Command.Type] {
    [
      UpCommand.self, DemoCommand.self, MigrateCommand.self, SettingsCommand.self,
      GenerateKeyCommand.self, RotateKeysCommand.self, StatusCommand.self, DoctorCommand.self,
      VerifyCommand.self, ExportUserCommand.self, WebhooksCommand.self,
    ]
  }

  /// Runs what `words` ask for and gives the status to end with.
  static func run(_ words: [String]) -> Int32 {
    let console = Console()
    guard let name = words.first, !["help", "--help", "-h"].contains(name) else {
      console.write(overview)
      return words.isEmpty ? ExitStatus.usage.rawValue : ExitStatus.good.rawValue
    }
    guard let command = all.first(where: { $0.name == name }) else {
      console.complain("bindery: unknown command: \(printable(name)); see bindery --help")
      return ExitStatus.usage.rawValue
    }
    var arguments = Arguments(Array(words.dropFirst()))
    if arguments.flag("--help") || arguments.flag("-h") {
      console.write("\(command.summary)\n\n\(command.manual)\n")
      return ExitStatus.good.rawValue
    }
    do throws(CommandFailure) {
      return try command.run(&arguments, console).rawValue
    } catch {
      switch error {
      case .usage(let problem):
        console.complain("bindery \(name): \(printable(problem)); see bindery \(name) --help")
      case .configuration(let problem): console.complain("\(problem)")
      case .failed(let problem), .fileRefused(let problem):
        console.complain("bindery \(name): \(problem)")
      }
      return error.status.rawValue
    }
  }

  private static var overview: String {
    let width = all.map { $0.name.utf8.count }.max() ?? 0
    let lines = all.map { command in
      let gap = String(repeating: " ", count: width - command.name.utf8.count + 2)
      return "  \(command.name)\(gap)\(command.summary)\n"
    }
    return "usage: bindery COMMAND [OPTIONS]\n\n" + lines.joined()
      + "\nbindery COMMAND --help says more. Ends with 0 = good, 1 = found something, 2 = usage,\n"
      + "78 = a setting is wrong. Settings are environment variables: bindery settings.\n"
  }

  /// What a person typed, without control characters and not without end.
  private static func printable(_ text: String) -> String {
    String(
      text.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7f }.prefix(80).map(
        Character.init))
  }
}
