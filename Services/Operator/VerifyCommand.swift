// `bindery verify`: looks whether a promise holds on what is stored, without the services. What there
// is to verify is a list of words.

import Accounts
import Bytes
import Clocks
import Configuration
import Database

/// Verifies what is stored.
enum VerifyCommand: Command {
  static let name = "verify"
  static let summary = "Look whether what is stored is as it must be"
  static let manual = """
    bindery verify audit [--json]

    audit: reads the audit log of BINDERY_DATA_DIR and looks whether every row is as it was written
    and none is missing between the first and the last. Prints the number and the hash of the last
    row: compare them with those that the scheduler logged (audit_log_whole) to find a log that
    was cut off at its end or written anew.
    Ends with 1 when the log is broken. Services may run meanwhile.
    --json prints {"rows":N,"head":N,"hash":"...","broken_at":N|null}.
    """

  static func run(
    _ arguments: inout Arguments, _ console: Console
  ) throws(CommandFailure) -> ExitStatus {
    let isJSON = arguments.flag("--json")
    guard arguments.flag("audit") else { throw .usage("say what: audit") }
    try arguments.finish()
    let settings = try OperatorSettings.read(.take())
    let report = try audit(in: settings.common.dataDirectory)
    let hash = Hex.encode(report.headHash)
    if isJSON {
      let broken = report.brokenAt.map { "\($0)" } ?? "null"
      console.write(
        "{\"rows\":\(report.rows),\"head\":\(report.head),\"hash\":\"\(hash)\","
          + "\"broken_at\":\(broken)}\n")
    } else if let broken = report.brokenAt {
      console.write("the audit log is broken at row \(broken), after \(report.rows) good ones\n")
    } else {
      console.write("the audit log is whole: \(report.rows) rows, head \(report.head) \(hash)\n")
    }
    return report.brokenAt == nil ? .good : .finding
  }

  private static func audit(in directory: String) throws(CommandFailure) -> AuditReport {
    do throws(AccountError) {
      let database = try Records.open(.bindery, in: directory)
      var check = AuditCheck()
      while !check.report.isComplete { try check.advance(database) }
      return check.report
    } catch { throw Records.failure(error) }
  }
}

/// What commands read from the databases themselves.
enum Records {
  /// One of the databases, for reading.
  static func open(
    _ kind: DatabaseFile.Kind, in directory: String
  ) throws(AccountError) -> Connection {
    do throws(DatabaseError) {
      return try Connection(
        DatabaseFile(kind, in: directory), as: .operatorTool, access: .readOnly)
    } catch { throw .database(error) }
  }

  static func failure(_ error: AccountError) -> CommandFailure {
    switch error {
    case .notFound: .failed("there is no such person")
    case .recordMalformed: .failed("a row can not be read")
    case .database(let error): .failed("the database can not be read: \(error.label)")
    default: .failed("the records can not be read")
    }
  }
}
