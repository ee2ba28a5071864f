// The statements that end a connection, and those about telling its provider. What a revocation
// keeps for that is moved in the transaction that revokes: no crash can leave a revoked connection
// whose provider was forgotten, nor a wrap that opens a live one.

import Clocks
import Database
import Vault

extension SQLiteAccounts: PartingStore {
  public func revokeConnection(
    _ id: ConnectionID, of user: UserID, now: UnixTime
  ) async throws(AccountError) -> Parting {
    try await transaction { (database) throws(AccountError) in
      // Its place may wake one that the plan suspended.
      try database.reviewPlan(of: user, isNew: false)
      return try database.revoke(id, of: user, event: .connectionRevoked, now: now)
    }
  }

  public func openableWrap(
    of connection: ConnectionID
  ) async throws(AccountError) -> (owner: UserID, wrap: ManagedWrap)? {
    let found = try await snapshot { (database) throws(AccountError) in
      try database.one(
        """
        SELECT user_id, managed_wrap, managed_fingerprint FROM connections
        WHERE id = ?1 AND managed_wrap IS NOT NULL
        UNION ALL
        SELECT user_id, managed_wrap, managed_fingerprint FROM upstream_revocations
        WHERE connection_id = ?1 AND managed_wrap IS NOT NULL
        """, [.text(connection.text)]
      ) { (row) throws(AccountError) in
        OwnedWrap(
          owner: try RowReading.identifier(row, 0),
          wrap: ManagedWrap(
            sealed: try RowReading.blob(row, 1), fingerprint: try RowReading.text(row, 2)))
      }
    }
    return found.map { ($0.owner, $0.wrap) }
  }

  private struct OwnedWrap: Sendable {
    let owner: UserID
    let wrap: ManagedWrap
  }

  public func partedGrant(family: Digest256) async throws(AccountError) -> PartedGrant? {
    try await snapshot { (database) throws(AccountError) -> PartedGrant? in
      try database.one(
        """
        SELECT grant_id, connection_id, user_id, refresh_hash, wrap FROM parted_grants
        WHERE family_hash = ?
        """, [.blob(family.bytes)]
      ) { (row) throws(AccountError) in
        PartedGrant(
          grantID: try RowReading.identifier(row, 0),
          connectionID: try RowReading.identifier(row, 1),
          ownerID: try RowReading.identifier(row, 2), current: try RowReading.digest(row, 3),
          wrap: try RowReading.blob(row, 4))
      }
    }
  }

  public func settleParting(
    of connection: ConnectionID, as state: PartingState, now: UnixTime
  ) async throws(AccountError) {
    guard state != .pending else { return }
    try await transaction { (database) throws(AccountError) in
      try database.change(
        """
        UPDATE upstream_revocations SET state = ?, settled_at = ?, managed_wrap = NULL,
          managed_fingerprint = NULL
        WHERE connection_id = ? AND state = 'pending'
        """, [.text(state.rawValue), .integer(now.seconds), .text(connection.text)])
      try database.change(
        "DELETE FROM parted_wraps WHERE connection_id = ?", [.text(connection.text)])
      try database.change(
        "DELETE FROM parted_grants WHERE connection_id = ?", [.text(connection.text)])
    }
  }
}

extension Connection {
  /// Ends a connection, its credentials and its claims inside the caller's transaction. Destroys
  /// every wrap of its data key, but for what telling the provider takes.
  func revoke(
    _ id: ConnectionID, of user: UserID, event: AuditEvent, now: UnixTime
  ) throws(AccountError) -> Parting {
    let parting = try part(id, of: user, now: now)
    let changed = try change(
      """
      UPDATE connections SET status = 'revoked', revoked_at = ?, label = '', networks = NULL,
        managed_wrap = NULL, managed_fingerprint = NULL
      WHERE id = ? AND user_id = ? AND revoked_at IS NULL
      """, [.integer(now.seconds), .text(id.text), .text(user.text)])
    guard changed == 1 else { throw .notFound }
    try change(
      """
      UPDATE credentials SET revoked_at = ?, wrap = NULL
      WHERE connection_id = ? AND revoked_at IS NULL
      """, [.integer(now.seconds), .text(id.text)])
    try change("DELETE FROM claims WHERE connection_id = ?", [.text(id.text)])
    try endGrants(of: id)
    try change("DELETE FROM space_connections WHERE connection_id = ?", [.text(id.text)])
    try note(event, at: now, user: user, connection: id)
    return parting
  }

  /// Keeps what telling the provider takes: the wrap under a master key, or, without one, those
  /// under credentials and clients' refresh tokens.
  private func part(
    _ id: ConnectionID, of user: UserID, now: UnixTime
  ) throws(AccountError) -> Parting {
    let found = try one(
      """
      SELECT service, managed_wrap, managed_fingerprint FROM connections
      WHERE id = ? AND user_id = ? AND revoked_at IS NULL AND revocable_upstream = 1
      """, [.text(id.text), .text(user.text)]
    ) { (row) throws(AccountError) -> (service: String, wrap: ManagedWrap?) in
      guard !row.isNull(1) else { return (try RowReading.text(row, 0), nil) }
      return (
        try RowReading.text(row, 0),
        ManagedWrap(sealed: try RowReading.blob(row, 1), fingerprint: try RowReading.text(row, 2))
      )
    }
    guard let found else { return .silent }
    if found.wrap == nil {
      let kept = try change(
        """
        INSERT INTO parted_wraps (lookup, connection_id, user_id, credential_id, wrap)
        SELECT lookup, connection_id, ?, id, wrap FROM credentials
        WHERE connection_id = ? AND wrap IS NOT NULL
        """, [.text(user.text), .text(id.text)])
      let grants = try partGrants(of: id, now: now)
      // Nobody could ever open the tokens again.
      guard kept + grants > 0 else { return .silent }
    }
    try change(
      """
      INSERT INTO upstream_revocations (connection_id, user_id, service, managed_wrap,
        managed_fingerprint, requested_at)
      VALUES (?, ?, ?, ?, ?, ?)
      """,
      [
        .text(id.text), .text(user.text), .text(found.service), .optional(found.wrap?.sealed),
        .optional(found.wrap?.fingerprint), .integer(now.seconds),
      ])
    return .pending(found.wrap)
  }

  /// Ends the wait of those who waited too long.
  func giveUpPartings(now: UnixTime) throws(AccountError) {
    let oldest = Value.integer(now.seconds - ConnectLife.partingSecondsMax)
    try change(
      """
      DELETE FROM parted_wraps WHERE connection_id IN (SELECT connection_id
        FROM upstream_revocations WHERE state = 'pending' AND requested_at <= ?)
      """, [oldest])
    try change(
      """
      DELETE FROM parted_grants WHERE connection_id IN (SELECT connection_id
        FROM upstream_revocations WHERE state = 'pending' AND requested_at <= ?)
      """, [oldest])
    try change(
      """
      UPDATE upstream_revocations SET state = 'unsupported', settled_at = ?, managed_wrap = NULL,
        managed_fingerprint = NULL
      WHERE state = 'pending' AND requested_at <= ?
      """, [.integer(now.seconds), oldest])
  }
}
