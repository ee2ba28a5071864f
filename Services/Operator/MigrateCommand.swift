// `bindery migrate`: brings both databases to the schema of this build. It is the only command that
// changes a schema; services refuse one they do not know.

import Configuration
import Database

/// Runs migrations.
enum MigrateCommand: Command {
  static let name = "migrate"
  static let summary = "Create or bring the databases to the schema of this version"
  static let manual = """
    bindery migrate [--json]

    Creates the databases in BINDERY_DATA_DIR when they are missing and runs the migrations that
    have not run. Safe to repeat and to kill; two at once wait for each other. Run it before the
    services of a new version; `bindery up` does.
    --json prints {"ran":[{"number":1,"name":"...","database":"bindery"}]}.
    """

  static func run(
    _ arguments: inout Arguments, _ console: Console
  ) throws(CommandFailure) -> ExitStatus {
    let isJSON = arguments.flag("--json")
    try arguments.finish()
    let settings = try OperatorSettings.read(.take())
    let ran = try migrate(settings.common)
    if isJSON {
      let items = ran.map {
        "{\"number\":\($0.number),\"name\":\"\($0.name)\",\"database\":\"\($0.database)\"}"
      }
      console.write("{\"ran\":[\(items.joined(separator: ","))]}\n")
    } else if ran.isEmpty {
      console.write("the databases are up to date\n")
    } else {
      for migration in ran {
        console.write("ran \(migration.number) \(migration.name) on \(migration.database)\n")
      }
    }
    return .good
  }

  /// Makes the folders and runs what has not run.
  static func migrate(_ common: CommonSettings) throws(CommandFailure) -> [Migration] {
    try Folders.make(common)
    do throws(DatabaseError) {
      return try MigrationRunner(directory: common.dataDirectory).run()
    } catch {
      throw .failed("the databases could not be migrated: \(error)")
    }
  }
}

extension OperatorSettings {
  /// Reads the tool's settings as a command does.
  static func read(_ environment: Environment) throws(CommandFailure) -> OperatorSettings {
    do throws(ConfigurationError) {
      return try OperatorSettings(environment)
    } catch {
      throw .configuration(error)
    }
  }
}
