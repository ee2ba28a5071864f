// Opens a connection under the rules of this system and asserts each of them: a rule that cannot
// be set refuses the database. The rules and why:
// - WAL, synchronous FULL: an answer "done" survives a power cut.
// - No automatic checkpoint and none on close: SQLite before 3.51.3 can lose commits when one
//   process restarts the log while another checkpoints it. See Checkpointer.
// - No memory map, cells checked, schema not trusted, defensive: a damaged file is found, not obeyed.

import CSQLite
import Glibc

extension Connection {
  /// How a connection is used.
  public enum Access: Sendable {
    case readOnly, readWrite
  }

  /// Opens an existing database for `role` on the calling thread, which owns the connection.
  /// - Parameter patience: the longest wait for another process's write lock.
  /// - Throws: `refused` for a file that may not be opened, `rule` when a rule cannot be set.
  public convenience init(
    _ file: DatabaseFile, as role: ProcessRole, access: Access = .readWrite,
    patience: Duration = .seconds(5)
  ) throws(DatabaseError) {
    try self.init(
      file, policy: access == .readOnly ? .nothing : .rows(of: role), patience: patience)
  }

  /// Opens with a policy that only this module may grant.
  convenience init(
    _ file: DatabaseFile, policy: WritePolicy, patience: Duration = .seconds(5)
  ) throws(DatabaseError) {
    try file.admit()
    let readOnly = if case .nothing = policy { true } else { false }
    let database = try Self.openHandle(file.path, readOnly: readOnly)
    self.init(
      database: database, file: file, guardian: WriteGuard(policy),
      patience: BusyPatience(limit: patience))
    try setRules(readOnly: readOnly)
  }

  static func openHandle(_ path: String, readOnly: Bool) throws(DatabaseError) -> OpaquePointer {
    var database: OpaquePointer?
    let access = readOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE
    // NOMUTEX: one thread owns the handle, checked in `lend`. SQLite opens with O_CLOEXEC.
    let flags =
      access | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE
    let code = sqlite3_open_v2(path, &database, flags, nil)
    guard code == SQLITE_OK, let database else {
      sqlite3_close_v2(database)
      throw DatabaseError(code: code)
    }
    return database
  }

  private func setRules(readOnly: Bool) throws(DatabaseError) {
    try rule("busy_handler", patience.install(on: database))
    // Before the first read: a foreign log must not be followed by our own checkpoint.
    try set(SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, "no_ckpt_on_close")
    try set(SQLITE_DBCONFIG_DEFENSIVE, 1, "defensive")
    try set(SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, "trusted_schema")
    try set(SQLITE_DBCONFIG_ENABLE_FKEY, 1, "foreign_keys")
    try set(SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, "load_extension")
    try set(SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0, "writable_schema")
    try set(SQLITE_DBCONFIG_DQS_DML, 0, "dqs_dml")
    try set(SQLITE_DBCONFIG_DQS_DDL, 0, "dqs_ddl")
    sqlite3_limit(database, SQLITE_LIMIT_ATTACHED, 0)
    try check("application_id", is: Int64(file.kind.applicationID)) { actual in
      .refused(.foreign(applicationID: UInt32(truncatingIfNeeded: actual)))
    }
    // Without the right to write, SQLite would open for reading and fail at the first commit.
    guard readOnly || sqlite3_db_readonly(database, "main") == 0 else { throw .readOnly }
    try setPragmas(readOnly: readOnly)
    try rule("authorizer", guardian.install(on: database))
  }

  private func setPragmas(readOnly: Bool) throws(DatabaseError) {
    try check("journal_mode", is: "wal")
    try check("page_size", is: file.kind.pageBytes) { actual in
      .rule("page_size", code: Int32(truncatingIfNeeded: actual))
    }
    try set("synchronous", to: 2)  // FULL
    try set("wal_autocheckpoint", to: 0)
    try set("mmap_size", to: 0)
    try set("cell_size_check", to: 1)
    try set("temp_store", to: 2)  // MEMORY: no plaintext in temporary files
    try set("query_only", to: readOnly ? 1 : 0)
    guard !readOnly else { return }
    // Deleted rows are overwritten, and whoever starts the log anew cuts off its old tail.
    try set("secure_delete", to: 1)
    try set("journal_size_limit", to: 0)
  }

  private func rule(_ name: StaticString, _ code: Int32) throws(DatabaseError) {
    guard code == SQLITE_OK else { throw .rule(name, code: code) }
  }

  private func set(_ option: Int32, _ value: Int32, _ name: StaticString) throws(DatabaseError) {
    let now = bindery_sqlite_switch(database, option, value)
    guard now == value else { throw .rule(name, code: now) }
  }

  /// Sets a pragma that takes a number and reads it back.
  private func set(_ pragma: StaticString, to value: Int64) throws(DatabaseError) {
    _ = try Self.query(database, "PRAGMA \(pragma) = \(value)")
    try check(pragma, is: value) { actual in
      .rule(pragma, code: Int32(truncatingIfNeeded: actual))
    }
  }

  private func check(
    _ pragma: StaticString, is expected: Int64, orThrow error: (Int64) -> DatabaseError
  ) throws(DatabaseError) {
    let text = try Self.query(database, "PRAGMA \(pragma)")
    // wal_autocheckpoint and journal_size_limit answer with text of digits like all others.
    guard let actual = text.flatMap({ Int64($0) }) else { throw .rule(pragma, code: -1) }
    let same = actual == expected || actual == Int64(Int32(truncatingIfNeeded: expected))
    guard same else { throw error(actual) }
  }

  private func check(_ pragma: StaticString, is expected: String) throws(DatabaseError) {
    let text = try Self.query(database, "PRAGMA \(pragma)")
    guard text == expected else { throw .rule(pragma, code: -1) }
  }

  /// The first column of the first row, as text: for pragmas, whose text we write ourselves.
  static func query(_ database: OpaquePointer, _ sql: String) throws(DatabaseError) -> String? {
    var statement: OpaquePointer?
    var code = sqlite3_prepare_v2(database, sql, -1, &statement, nil)
    defer { sqlite3_finalize(statement) }
    guard code == SQLITE_OK else { throw DatabaseError(code: code) }
    code = sqlite3_step(statement)
    guard code == SQLITE_ROW || code == SQLITE_DONE else { throw DatabaseError(code: code) }
    guard code == SQLITE_ROW, let text = sqlite3_column_text(statement, 0) else { return nil }
    return String(cString: text)
  }
}
