// The statements that tidy up what nobody needs any more: sign-ins that ended, provider notices that
// were settled long ago, and connections that were suspended for too long. Each is safe to repeat.

import Clocks
import Database

/// How long things stay when nobody needs them.
public enum TidyLife {
  /// From the settling of a revocation at a provider until its row goes.
  public static let settledSecondsMax: Int64 = 30 * 86_400
  /// How long a connection may be suspended before it ends.
  public static let suspendedSecondsMax: Int64 = 60 * 86_400
}

/// What a round of tidying deleted.
public struct Tidied: Sendable, Equatable {
  /// Sign-ins that had ended.
  public var sessions = 0
  /// Revocations at providers that were settled long ago.
  public var revocations = 0
  /// Rows of the audit log past their retention.
  public var auditRows = 0
}

/// Tidying of the records.
public protocol TidyStore: Sendable {
  /// Deletes what has ended, and keeps the clock of suspensions.
  func tidy(now: UnixTime) async throws(AccountError) -> Tidied
  /// Connections that have been suspended for too long, oldest first.
  func suspendedTooLong(
    now: UnixTime, limit: Int64
  ) async throws(AccountError) -> [(connection: ConnectionID, owner: UserID)]
}

extension SQLiteAccounts: TidyStore {
  public func tidy(now: UnixTime) async throws(AccountError) -> Tidied {
    try await transaction { (database) throws(AccountError) in
      var tidied = Tidied()
      tidied.sessions = try database.change(
        "DELETE FROM sessions WHERE expires_at <= ?", [.integer(now.seconds)])
      try database.forgetEndedGrants(now: now)
      tidied.revocations = try database.change(
        "DELETE FROM upstream_revocations WHERE settled_at <= ?",
        [.integer(now.seconds - TidyLife.settledSecondsMax)])
      try database.change(
        "DELETE FROM password_resets WHERE asked_at <= ?",
        [.integer(now.seconds - ResetLife.secondsMax)])
      try database.change(
        "DELETE FROM clerk_farewells WHERE deleted_at <= ?",
        [.integer(now.seconds - ClerkLife.farewellSeconds)])
      try database.sweepErased(now: now)
      tidied.auditRows = try database.cutAudit(now: now)
      // What was noted before the log was chained.
      try database.change(
        "DELETE FROM audit WHERE at < ?", [.integer(now.seconds - AuditEntry.keepSeconds)])
      try database.change(
        """
        UPDATE connections SET suspended_at = NULL
        WHERE suspended_at IS NOT NULL AND status <> 'suspended'
        """, [])
      try database.change(
        """
        UPDATE connections SET suspended_at = ?
        WHERE status = 'suspended' AND suspended_at IS NULL
        """, [.integer(now.seconds)])
      return tidied
    }
  }

  public func suspendedTooLong(
    now: UnixTime, limit: Int64
  ) async throws(AccountError) -> [(connection: ConnectionID, owner: UserID)] {
    let found = try await snapshot { (database) throws(AccountError) in
      try database.every(
        """
        SELECT id, user_id FROM connections
        WHERE status = 'suspended' AND suspended_at <= ? ORDER BY suspended_at LIMIT ?
        """, [.integer(now.seconds - TidyLife.suspendedSecondsMax), .integer(limit)]
      ) { (row) throws(AccountError) in
        Owned(
          connection: try RowReading.identifier(row, 0), owner: try RowReading.identifier(row, 1))
      }
    }
    return found.map { ($0.connection, $0.owner) }
  }

  private struct Owned: Sendable {
    let connection: ConnectionID
    let owner: UserID
  }
}
