// Why did a process not come up, or give up? Each reason has a name for the log and a status:
// 78 where starting again cannot help until somebody changes something, 1 where it may.

import Database
import Logging
import Posix

/// A reason to end before serving.
public enum StartFailure: Error, Sendable {
  case folder(FolderError)
  case sandbox(SandboxError)
  /// No event loop could be made.
  case loop(Errno)
  /// An address or socket path cannot be listened on.
  case listen(SocketAddress, Errno)
  /// The schema is not one this build can run on.
  case schema(SchemaRefusal)
  case database(DatabaseError)
  /// Something a service itself needs; the word is our own.
  case service(StaticString)

  var event: StaticString {
    switch self {
    case .folder: "folder_not_usable"
    case .sandbox: "sandbox_not_closed"
    case .loop: "event_loop_not_made"
    case .listen: "listen_failed"
    case .schema: "schema_refused"
    case .database: "database_refused"
    case .service(let word): word
    }
  }

  var status: Int32 {
    switch self {
    case .folder, .schema: 78
    case .database(.refused): 78
    case .sandbox, .loop, .listen, .database, .service: 1
    }
  }

  /// One line for the operator, with what is public of the reason.
  func write(to log: Log) {
    switch self {
    case .folder(.notMade(_, let code)): log.error(event, ["errno": .errno(Errno(code: code))])
    case .sandbox(.processFlags(let code)), .sandbox(.landlock(let code)),
      .sandbox(.seccomp(let code)):
      log.error(event, ["errno": .count(code)])
    case .loop(let code): log.error(event, ["errno": .errno(code)])
    case .listen(let address, let code):
      log.error(event, ["address": .text(.address(address)), "errno": .errno(code)])
    case .schema(let refusal): log.error(event, ["reason": .literal(refusal.label)])
    case .database(let error): log.error(event, ["reason": .literal(error.label)])
    case .service: log.error(event)
    }
  }
}

extension SchemaRefusal {
  var label: StaticString {
    switch self {
    case .older: "older"
    case .newer: "newer"
    case .changed: "changed"
    case .malformed: "malformed"
    case .statement: "statement"
    case .runnerBusy: "runner_busy"
    }
  }
}

extension DatabaseError {
  /// The case's name, for logs.
  public var label: StaticString {
    switch self {
    case .busy: "busy"
    case .full: "disk_full"
    case .constraint: "constraint"
    case .notOwned: "not_owned"
    case .damaged: "damaged"
    case .disk: "disk_failed"
    case .readOnly: "read_only"
    case .unusable: "unusable"
    case .columnType: "column_type"
    case .failed: "failed"
    case .refused: "file_refused"
    case .schema: "schema"
    case .rule: "rule_not_set"
    case .overloaded: "overloaded"
    case .stopped: "stopped"
    }
  }
}
