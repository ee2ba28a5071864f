// One connection to one database, owned by the thread that opened it (checked on every call).
// SQL is a literal by type, values are bound, compiled statements are kept. Writes run in
// `transaction`, which begins IMMEDIATE and waits a bounded, jittered time for other processes.
// The rules of opening are in Connection+Opening; no checkpoint is ever made here.

import CSQLite
import Clocks
import Glibc

/// A connection to one database, owned by one thread.
public final class Connection {
  let database: OpaquePointer
  /// The file it has open.
  public let file: DatabaseFile
  let guardian: WriteGuard
  let patience: BusyPatience
  private let thread = pthread_self()
  private var statements: [StatementKey: Statement] = [:]
  private var bracketing = Bracketing.none
  private var isUnusable = false
  private var lastFailure: DatabaseError?

  /// What a transaction would begin in.
  private enum Bracketing {
    case none
    case transaction
    /// One that several writes share.
    case shared
    /// The part of one of them.
    case part
  }

  init(database: OpaquePointer, file: DatabaseFile, guardian: WriteGuard, patience: BusyPatience) {
    self.database = database
    self.file = file
    self.guardian = guardian
    self.patience = patience
  }

  deinit { close() }

  /// Runs a statement that gives no rows.
  public func execute(_ sql: StaticString, _ values: Value...) throws(DatabaseError) {
    try withStatement(sql) { (statement) throws(DatabaseError) in
      try statement.bind(values)
      while try statement.step() {}
    }
  }

  /// The first row that a query gives, as `read` makes of it; nil when there is none.
  public func first<Result>(
    _ sql: StaticString, _ values: Value...,
    read: (borrowing Row) throws(DatabaseError) -> Result
  ) throws(DatabaseError) -> Result? {
    try withStatement(sql) { (statement) throws(DatabaseError) -> Result? in
      try statement.bind(values)
      return try statement.step() ? try read(statement.row) : nil
    }
  }

  /// All rows that a query gives, as `read` makes of them. Bound a long one by LIMIT.
  public func all<Result>(
    _ sql: StaticString, _ values: Value...,
    read: (borrowing Row) throws(DatabaseError) -> Result
  ) throws(DatabaseError) -> [Result] {
    try withStatement(sql) { (statement) throws(DatabaseError) -> [Result] in
      try statement.bind(values)
      var results: [Result] = []
      while try statement.step() { results.append(try read(statement.row)) }
      return results
    }
  }

  /// The number of rows that the last INSERT, UPDATE or DELETE changed.
  public var changes: Int { Int(sqlite3_changes64(database)) }

  /// The rowid of the last INSERT.
  public var lastInsertedRowID: Int64 { sqlite3_last_insert_rowid(database) }

  /// Lends the compiled `sql` for the length of `body`, then resets it.
  @discardableResult
  public func withStatement<Result, Failure: DatabaseErrorConvertible>(
    _ sql: StaticString, _ body: (Statement) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let statement: Statement
    do { statement = try lend(sql) } catch { throw Failure(error) }
    defer { statement.reset() }
    return try body(statement)
  }

  /// Runs `body` between BEGIN IMMEDIATE and COMMIT; rolls back when it throws. Not nestable.
  /// - Throws: `busy` when no write lock came within the connection's patience.
  @discardableResult
  public func transaction<Result>(
    _ body: () throws(DatabaseError) -> Result
  ) throws(DatabaseError) -> Result {
    try transact(body)
  }

  /// Runs `body` between BEGIN IMMEDIATE and COMMIT; rolls back when it throws. Not nestable.
  @discardableResult
  public func transaction<Result, Failure: DatabaseErrorConvertible>(
    _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try transact(body)
  }

  /// Runs `body` between BEGIN and COMMIT so that all its reads see one state of the database.
  public func snapshot<Result, Failure: DatabaseErrorConvertible>(
    _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try bracket("BEGIN DEFERRED", body)
  }

  private func transact<Result, Failure: DatabaseErrorConvertible>(
    _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try bracket("BEGIN IMMEDIATE", body)
  }

  private func bracket<Result, Failure: DatabaseErrorConvertible>(
    _ begin: StaticString, _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    if case .shared = bracketing { return try part(body) }
    guard case .none = bracketing else { preconditionFailure("transactions do not nest") }
    do { try beginPatiently(begin) } catch { throw Failure(error) }
    bracketing = .transaction
    defer {
      bracketing = .none
      if isOpen { try? execute("ROLLBACK") }
    }
    let result = try body()
    do { try execute("COMMIT") } catch { throw Failure(error) }
    return result
  }

  /// Whether a transaction is open: after ENOSPC or an I/O error SQLite may have rolled it back.
  private var isOpen: Bool { sqlite3_get_autocommit(database) == 0 }

  /// Runs `body` within a shared transaction; what throws takes back what it changed, no more.
  private func part<Result, Failure: DatabaseErrorConvertible>(
    _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    do { try execute("SAVEPOINT part") } catch { throw Failure(error) }
    bracketing = .part
    defer { bracketing = .shared }
    do throws(Failure) {
      let result = try body()
      do { try execute("RELEASE part") } catch { throw Failure(error) }
      return result
    } catch {
      if isOpen {
        do {
          try execute("ROLLBACK TO part")
          try execute("RELEASE part")
        } catch {
          try? execute("ROLLBACK")  // rather all of them than half of this one
        }
      }
      throw error
    }
  }

  /// Runs `writes` in one transaction and tells each when it is durable, or why it is not.
  func commitTogether(_ writes: [SharedWrite]) {
    var reports: [@Sendable (DatabaseError?) -> Void] = []
    var lost: DatabaseError?
    do throws(DatabaseError) {
      try transact { () throws(DatabaseError) in
        bracketing = .shared
        for write in writes {
          reports.append(write.run(self))
          // The ones before went with it.
          guard isOpen else { throw lastFailure ?? .full }
        }
      }
    } catch { lost = error }
    for report in reports { report(lost) }
    guard let lost else { return }
    for write in writes.dropFirst(reports.count) { write.refuse(lost) }
  }

  /// SQLite's busy handler waits inside BEGIN; it is not asked while another process recovers the
  /// log, or when a rival restarts it under our feet, so BEGIN itself is repeated too.
  private func beginPatiently(_ begin: StaticString) throws(DatabaseError) {
    let deadline = Instant.now.advanced(by: patience.limit)
    var attempt: Int32 = 0
    while true {
      do {
        return try execute(begin)
      } catch .busy where Instant.now < deadline {
        patience.pause(attempt)
        attempt += 1
      }
    }
  }

  private func lend(_ sql: StaticString) throws(DatabaseError) -> Statement {
    precondition(pthread_equal(thread, pthread_self()) != 0, "a connection belongs to one thread")
    guard !isUnusable else { throw .unusable }
    let key = StatementKey(sql)
    if let statement = statements[key] {
      if statement.isLent { return try compile(sql) }  // the same text inside its own loop
      statement.isLent = true
      return statement
    }
    let statement = try compile(sql)
    statements[key] = statement
    return statement
  }

  private func compile(_ sql: StaticString) throws(DatabaseError) -> Statement {
    var handle: OpaquePointer?
    let code = sql.withUTF8Buffer { text in
      text.withMemoryRebound(to: CChar.self) {
        sqlite3_prepare_v3(
          database, $0.baseAddress, Int32($0.count), UInt32(SQLITE_PREPARE_PERSISTENT), &handle, nil
        )
      }
    }
    guard code == SQLITE_OK, let handle else { throw note(DatabaseError(code: code)) }
    let statement = Statement(handle: handle, connection: self)
    statement.isLent = true
    return statement
  }

  /// Finalizes all statements and closes. Never checkpoints (NO_CKPT_ON_CLOSE).
  private func close() {
    statements.removeAll()
    sqlite3_close_v2(database)
  }

  /// Remembers a failure after which nothing read or written here can be trusted.
  func note(_ error: DatabaseError) -> DatabaseError {
    if error.isFatal { isUnusable = true }
    lastFailure = error
    return error
  }
}

/// A change that shares its transaction with others.
struct SharedWrite: Sendable {
  /// Makes the change; what it gives is called once, with nothing when the change is durable, or
  /// with the reason why it is not.
  let run: @Sendable (Connection) -> @Sendable (DatabaseError?) -> Void
  /// Tells that it was not even tried.
  let refuse: @Sendable (DatabaseError) -> Void
}

/// A literal's place in memory: two equal literals may differ here, two different ones never agree.
private struct StatementKey: Hashable {
  private let start: UnsafePointer<UInt8>
  private let count: Int

  init(_ sql: StaticString) {
    start = sql.utf8Start
    count = sql.utf8CodeUnitCount
  }
}
