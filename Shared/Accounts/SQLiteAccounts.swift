// Keeps the records in bindery.sqlite, through the one connection that this process writes with.
// The statements are in the extensions, a file for each kind of record. Each operation is one
// immediate transaction, durable when it returns.

import Clocks
import Database
import Vault

/// The records in SQLite.
public struct SQLiteAccounts: UserStore, SessionStore, ConnectionStore {
  let thread: DatabaseThread
  private let sealing: (any MasterSealing)?
  let plans: PlanTerms?

  /// Reads and writes on `thread`, which has bindery.sqlite open for auth; `sealing` holds the
  /// master keys, `plans` what plans are counted with.
  public init(
    _ thread: DatabaseThread, sealing: (any MasterSealing)? = nil, plans: PlanTerms? = nil
  ) {
    self.thread = thread
    self.sealing = sealing
    self.plans = plans
  }

  /// What is stored for a value under a master key, asked for inside the transaction that stores
  /// it, so that no row comes under a key that a rotation has left behind.
  /// - Throws: `masterKeyGone` when nobody holds its key any more.
  func current(
    _ sealed: ManagedWrap?, at place: SealContext
  ) throws(AccountError) -> ManagedWrap? {
    guard let sealed, let sealing else { return sealed }
    guard let current = sealing.current(sealed, at: place) else { throw .masterKeyGone }
    return current
  }

  /// Runs `body` in one immediate transaction.
  @discardableResult
  func transaction<Result: Sendable>(
    _ body: @escaping @Sendable (Connection) throws(AccountError) -> Result
  ) async throws(AccountError) -> Result {
    try await thread.run { (connection) throws(AccountError) -> Result in
      try connection.transaction { () throws(AccountError) -> Result in try body(connection) }
    }
  }

  /// Runs `body` over one state of the database.
  func snapshot<Result: Sendable>(
    _ body: @escaping @Sendable (Connection) throws(AccountError) -> Result
  ) async throws(AccountError) -> Result {
    try await thread.run { (connection) throws(AccountError) -> Result in
      try connection.snapshot { () throws(AccountError) -> Result in try body(connection) }
    }
  }
}

extension Connection {
  /// The first row, as `read` makes of it.
  func one<Result>(
    _ sql: StaticString, _ values: [Value],
    read: (borrowing Row) throws(AccountError) -> Result
  ) throws(AccountError) -> Result? {
    try withStatement(sql) { (statement) throws(AccountError) -> Result? in
      do throws(DatabaseError) {
        try statement.bind(values)
        guard try statement.step() else { return nil }
      } catch { throw .database(error) }
      return try read(statement.row)
    }
  }

  /// All rows, as `read` makes of them.
  func every<Result>(
    _ sql: StaticString, _ values: [Value],
    read: (borrowing Row) throws(AccountError) -> Result
  ) throws(AccountError) -> [Result] {
    try withStatement(sql) { (statement) throws(AccountError) -> [Result] in
      do throws(DatabaseError) { try statement.bind(values) } catch { throw .database(error) }
      var results: [Result] = []
      while true {
        do throws(DatabaseError) {
          guard try statement.step() else { return results }
        } catch { throw .database(error) }
        results.append(try read(statement.row))
      }
    }
  }

  /// Runs a change; returns the number of rows that it changed.
  @discardableResult
  func change(_ sql: StaticString, _ values: [Value]) throws(AccountError) -> Int {
    try withStatement(sql) { (statement) throws(AccountError) in
      do throws(DatabaseError) {
        try statement.bind(values)
        while try statement.step() {}
      } catch { throw .database(error) }
    }
    return changes
  }
}
