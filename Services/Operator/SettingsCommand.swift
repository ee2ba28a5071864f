// `bindery settings`: the manual of all settings, from their declarations. Reads no setting and
// shows no value.

import Configuration

/// Prints the manual of settings.
enum SettingsCommand: Command {
  static let name = "settings"
  static let summary = "Print the manual of all settings"
  static let manual = """
    bindery settings [--json]

    Prints every setting with its default, its meaning and the processes that read it.
    --json prints an array of {name, default, meaning, secret, group, read_by}.
    """

  static func run(
    _ arguments: inout Arguments, _ console: Console
  ) throws(CommandFailure) -> ExitStatus {
    let isJSON = arguments.flag("--json")
    try arguments.finish()
    console.write(isJSON ? SettingsManual.json : SettingsManual.text)
    return .good
  }
}
