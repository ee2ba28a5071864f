// `bindery export-user`: everything that is stored of one person, for somebody who asks for their data
// and can not sign in any more. Without secrets: the same as GET /api/account/export.

import Accounts
import Clocks
import Configuration
import Database

/// Prints what is stored of a person.
enum ExportUserCommand: Command {
  static let name = "export-user"
  static let summary = "Print everything that is stored of a person, without secrets"
  static let manual = """
    bindery export-user ID

    Prints one JSON object: {"format":1,"exported_at":SECONDS,"users":[...],"connections":[...],...},
    one member for each table that holds something of people, one object for each row. Times are
    Unix seconds, or milliseconds where a name ends in _ms. Passwords, keys, tokens and what is
    sealed are left out. ID is the person's id, as in GET /api/me.
    Reads BINDERY_DATA_DIR; services may run meanwhile.
    """

  static func run(
    _ arguments: inout Arguments, _ console: Console
  ) throws(CommandFailure) -> ExitStatus {
    guard let id = arguments.word() else { throw .usage("the id of a person is needed") }
    try arguments.finish()
    guard let user = UserID(id) else { throw .usage("this is no id of a person") }
    let directory = try OperatorSettings.read(.take()).common.dataDirectory
    do throws(AccountError) {
      var export = try AccountExport(of: user, in: Records.open(.bindery, in: directory))
      try export.addTokens(in: Records.open(.tokens, in: directory))
      console.write(String(decoding: export.text(at: .now), as: UTF8.self) + "\n")
    } catch { throw Records.failure(error) }
    return .good
  }
}
