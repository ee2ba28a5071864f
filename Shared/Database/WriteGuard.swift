// Refuses statements that a connection may not run, when they are compiled (sqlite3_set_authorizer):
// writes to tables that its process does not own, schema changes outside a migration, attached
// files, pragmas. Installed after the connection has set its own pragmas.

import CSQLite

/// What a connection may do besides reading.
enum WritePolicy: Sendable {
  /// Nothing.
  case nothing
  /// Change rows of the tables that the role owns.
  case rows(of: ProcessRole)
  /// Change the schema, and any row: a migration, between its own BEGIN and COMMIT.
  case schema
  /// Rewrite the header, as the checkpointer does to begin the log anew.
  case header
}

/// The policy of one connection, alive as long as the connection.
final class WriteGuard {
  var policy: WritePolicy
  /// Whether BEGIN and COMMIT may be compiled; a migration's own text may not contain them.
  var allowsTransactions = true

  init(_ policy: WritePolicy) { self.policy = policy }

  func install(on database: OpaquePointer) -> Int32 {
    sqlite3_set_authorizer(
      database,
      { context, action, first, second, _, _ in
        guard let context else { return SQLITE_DENY }
        let rule = Unmanaged<WriteGuard>.fromOpaque(context).takeUnretainedValue()
        return rule.admits(action, first, second) ? SQLITE_OK : SQLITE_DENY
      }, Unmanaged.passUnretained(self).toOpaque())
  }

  private func admits(
    _ action: Int32, _ first: UnsafePointer<CChar>?, _ second: UnsafePointer<CChar>?
  ) -> Bool {
    switch action {
    case SQLITE_SELECT, SQLITE_READ, SQLITE_RECURSIVE:
      return true
    case SQLITE_FUNCTION:
      // Tables run no functions of ours, and extensions are never loaded.
      return second.map { String(cString: $0) != "load_extension" } ?? false
    case SQLITE_TRANSACTION, SQLITE_SAVEPOINT:
      return allowsTransactions
    case SQLITE_INSERT, SQLITE_UPDATE, SQLITE_DELETE:
      guard let first else { return false }
      return admitsWrite(to: String(cString: first), deleting: action == SQLITE_DELETE)
    case SQLITE_PRAGMA:
      guard let first else { return false }
      switch policy {
      case .header: return ["application_id", "data_version"].contains(String(cString: first))
      // SQLite itself asks it when a column is added to a STRICT table.
      case .schema: return String(cString: first) == "quick_check"
      case .nothing, .rows: return false
      }
    case SQLITE_ATTACH, SQLITE_DETACH:
      return false
    default:
      // What is left changes the schema.
      if case .schema = policy { return true }
      return false
    }
  }

  private func admitsWrite(to table: String, deleting: Bool) -> Bool {
    switch policy {
    case .nothing, .header: return false
    case .schema: return true
    case .rows(let role):
      guard let rule = TableOwnership.tables[table] else { return false }
      return rule.owners.contains(role) || deleting && rule.erasers.contains(role)
    }
  }
}
