// The statements about authorizations under way and claims. Taking is one DELETE that gives back
// what it deleted, inside an immediate transaction: two takers of one row are one taker.

import Clocks
import Database
import Vault

extension SQLiteAccounts: AuthorizationStore {
  public func addAuthorization(
    _ pending: PendingAuthorization, key: AuthorizationKey, now: UnixTime
  ) async throws(AccountError) {
    try await transaction { (database) throws(AccountError) in
      try database.change(
        "DELETE FROM pending_authorizations WHERE expires_at <= ?", [.integer(now.seconds)])
      let count = try database.one(
        "SELECT count(*) FROM pending_authorizations WHERE user_id = ?",
        [.text(pending.userID.text)]
      ) { (row) throws(AccountError) in try RowReading.integer(row, 0) }
      guard let count, count < ConnectLife.authorizationsMax else { throw .tooMany }
      try database.change(
        """
        INSERT INTO pending_authorizations (state_hash, user_id, service, browser_hash, replaces,
          key_storage_mode, return_to, sealed, created_at, expires_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        [
          .blob(key.state.bytes), .text(pending.userID.text), .text(pending.service),
          .blob(key.browser.bytes), .optional(pending.replaces?.text),
          .text(pending.keyStorageMode.rawValue), .text(pending.returnTo),
          .blob(pending.sealed), .integer(now.seconds),
          .integer(now.seconds + ConnectLife.authorizationSecondsMax),
        ])
    }
  }

  public func takeAuthorization(
    _ key: AuthorizationKey, now: UnixTime
  ) async throws(AccountError) -> PendingAuthorization? {
    try await transaction { (database) throws(AccountError) -> PendingAuthorization? in
      let taken = try database.one(
        """
        DELETE FROM pending_authorizations WHERE state_hash = ? AND browser_hash = ?
        RETURNING user_id, service, key_storage_mode, replaces, return_to, sealed, expires_at
        """, [.blob(key.state.bytes), .blob(key.browser.bytes)]
      ) { (row) throws(AccountError) in
        (try PendingAuthorization(row), try RowReading.integer(row, 6))
      }
      guard let (pending, end) = taken, now.seconds < end else { return nil }
      return pending
    }
  }

  public func takeClaim(
    _ token: Digest256, of user: UserID, now: UnixTime
  ) async throws(AccountError) -> (connection: ConnectionRecord, sealed: [UInt8]) {
    let taken = try await transaction { (database) throws(AccountError) -> Claimed in
      let found = try database.one(
        "SELECT user_id FROM claims WHERE token_hash = ? AND expires_at > ?",
        [.blob(token.bytes), .integer(now.seconds)]
      ) { (row) throws(AccountError) -> UserID in try RowReading.identifier(row, 0) }
      guard let found else { throw .notFound }
      guard found == user else { throw .notOwner }
      let claim = try database.one(
        "DELETE FROM claims WHERE token_hash = ? RETURNING connection_id, sealed",
        [.blob(token.bytes)]
      ) { (row) throws(AccountError) -> (ConnectionID, [UInt8]) in
        (try RowReading.identifier(row, 0), try RowReading.blob(row, 1))
      }
      guard let claim else { throw .notFound }
      return Claimed(
        connection: try database.connection(claim.0, of: user), sealed: claim.1)
    }
    return (taken.connection, taken.sealed)
  }

  private struct Claimed: Sendable {
    let connection: ConnectionRecord
    let sealed: [UInt8]
  }

  public func forgetExpired(now: UnixTime) async throws(AccountError) {
    try await transaction { (database) throws(AccountError) in
      let time = Value.integer(now.seconds)
      try database.change("DELETE FROM pending_authorizations WHERE expires_at <= ?", [time])
      try database.change("DELETE FROM claims WHERE expires_at <= ?", [time])
      try database.change("DELETE FROM oauth_registrations WHERE expires_at <= ?", [time])
      try database.giveUpPartings(now: now)
    }
  }
}

extension Connection {
  /// Adds a claim inside the caller's transaction.
  func insert(
    _ claim: NewClaim, connection: ConnectionID, user: UserID, now: UnixTime
  ) throws(AccountError) {
    try change(
      """
      INSERT INTO claims (token_hash, user_id, connection_id, sealed, created_at, expires_at)
      VALUES (?, ?, ?, ?, ?, ?)
      """,
      [
        .blob(claim.token.bytes), .text(user.text), .text(connection.text), .blob(claim.sealed),
        .integer(now.seconds), .integer(now.seconds + ConnectLife.claimSecondsMax),
      ])
  }
}

extension PendingAuthorization {
  /// Six columns, in the order of the statement above.
  fileprivate init(_ row: borrowing Row) throws(AccountError) {
    guard let mode = KeyStorageMode(rawValue: try RowReading.text(row, 2)) else {
      throw .recordMalformed
    }
    let replaces: ConnectionID? = row.isNull(3) ? nil : try RowReading.identifier(row, 3)
    self.init(
      userID: try RowReading.identifier(row, 0), service: try RowReading.text(row, 1),
      keyStorageMode: mode, replaces: replaces, returnTo: try RowReading.text(row, 4),
      sealed: try RowReading.blob(row, 5))
  }
}
