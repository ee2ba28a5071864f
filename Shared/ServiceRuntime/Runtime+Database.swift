// Opens a database once it is there and migrated. Services may start before `bindery migrate`
// has run, in any order: a missing file or an older schema is waited for, with one log line when
// the wait begins and one when it is open. A schema that this build does not know ends the process.

import Clocks
import Database
import Logging
import RPC

extension Runtime {
  /// Opens a database for this service, with a thread of its own.
  ///
  /// Until it is there, /readyz names `condition` as what is missing.
  public func openDatabase(
    _ kind: DatabaseFile.Kind, as condition: Condition,
    access: Connection.Access = .readWrite, patience: Duration = .seconds(5)
  ) async throws(StartFailure) -> DatabaseThread {
    let file = DatabaseFile(kind, in: settings.common.dataDirectory)
    var isWaiting = false
    while true {
      do throws(DatabaseError) {
        let thread = try DatabaseThread(file, as: role, access: access, patience: patience)
        let version = try await thread.run { (connection) throws(DatabaseError) in
          try SchemaCheck.admit(connection)
          return try connection.first("SELECT sqlite_version()") {
            (row) throws(DatabaseError) in try row.text(0)
          }
        }
        log.info(
          "database_open",
          [
            "database": .literal(kind.label), "sqlite": .text(.version(version ?? "")),
            "checkpoints": "guarded, by the scheduler alone",
          ])
        readiness.note(holds: condition)
        return thread
      } catch {
        guard let reason = waitReason(error) else { throw failure(error) }
        if !isWaiting {
          log.warning(
            "database_awaited",
            [
              "database": .literal(kind.label), "reason": .literal(reason),
              "remedy": "run `bindery migrate`",
            ])
        }
        isWaiting = true
        readiness.note(broken: condition, because: reason)
        await pause(for: .milliseconds(200))
      }
    }
  }

  /// Why waiting may help, or nil.
  private func waitReason(_ error: DatabaseError) -> StaticString? {
    switch error {
    case .refused(.missing), .refused(.empty): "missing"
    case .schema(.older): "not_migrated"
    case .busy, .schema(.runnerBusy): "busy"
    default: nil
    }
  }

  private func failure(_ error: DatabaseError) -> StartFailure {
    if case .schema(let refusal) = error { return .schema(refusal) }
    return .database(error)
  }

  private var role: ProcessRole {
    switch service {
    case .edge: .edge
    case .auth: .auth
    case .billing: .billing
    case .scheduler: .scheduler
    case .operator: .operatorTool
    }
  }
}

extension DatabaseFile.Kind {
  /// The name for logs.
  var label: StaticString {
    switch self {
    case .bindery: "bindery"
    case .tokens: "tokens"
    }
  }
}
