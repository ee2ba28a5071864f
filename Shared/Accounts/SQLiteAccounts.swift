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

  /// Reads and writes on `thread`, which has bindery.sqlite open for auth; `sealing` holds the
  /// master keys.
  public init(_ thread: DatabaseThread, sealing: (any MasterSealing)? = nil) {
    self.thread = thread
    self.sealing = sealing
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

  /// Notes what was done, in the transaction that does it.
  func note(
    _ event: AuditEvent, at now: UnixTime, user: UserID, connection: ConnectionID? = nil,
    credential: CredentialID? = nil, session: SessionID? = nil
  ) throws(AccountError) {
    try change(
      """
      INSERT INTO audit (at, event, user_id, connection_id, credential_id, session_id)
      VALUES (?, ?, ?, ?, ?, ?)
      """,
      [
        .integer(now.seconds), .text(event.rawValue), .text(user.text),
        .optional(connection?.text), .optional(credential?.text), .optional(session?.text),
      ])
  }
}

/// What the audit table tells about.
enum AuditEvent: String {
  case userAdded = "user_added"
  case passwordReplaced = "password_replaced"
  case sessionOpened = "session_opened"
  case sessionClosed = "session_closed"
  /// An outlived refresh token was shown: a copy is in other hands.
  case refreshTokenReused = "refresh_token_reused"
  case connectionAdded = "connection_added"
  case connectionChanged = "connection_changed"
  /// Managed or zero-knowledge from now on.
  case connectionModeChanged = "connection_mode_changed"
  case connectionRevoked = "connection_revoked"
  /// Ended because another took its place.
  case connectionReplaced = "connection_replaced"
  case credentialAdded = "credential_added"
  case credentialRevoked = "credential_revoked"
  case grantAdded = "grant_added"
  case grantRevoked = "grant_revoked"
  /// The code was shown with a wrong verifier, redirect address or resource.
  case grantCodeMisused = "grant_code_misused"
  /// A code or an outlived refresh token was shown again: a copy is in other hands.
  case grantCodeReused = "grant_code_reused"
  case grantTokenReused = "grant_token_reused"
  case userKeyAdded = "user_key_added"
  case userKeyRevoked = "user_key_revoked"
  case spaceAdded = "space_added"
  case spaceChanged = "space_changed"
  case spaceRemoved = "space_removed"
  case spaceKeyAdded = "space_key_added"
  case spaceKeyRevoked = "space_key_revoked"
}
