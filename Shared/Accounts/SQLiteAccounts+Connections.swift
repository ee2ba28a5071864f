// The statements about connections. Every one names the owner in its WHERE, so that what belongs
// to someone else is not there. A revoked connection keeps its row, without label, policy or key.

import Clocks
import Database
import Vault

/// Bounds of what one person may keep, whatever their plan: against floods, not for sale.
public enum AccountLimits {
  /// Live connections of one person.
  public static let connectionsMax: Int64 = 10_000
  /// Live credentials of one connection.
  public static let credentialsMax: Int64 = 1_000
}

extension SQLiteAccounts {
  public func addConnection(
    _ connection: ConnectionRecord, serviceName: String, managedWrap: ManagedWrap?,
    credential: NewCredential, into space: SpaceID?
  ) async throws(AccountError) -> ConnectionRecord {
    precondition((connection.keyStorageMode == .managed) == (managedWrap != nil))
    precondition(credential.record.connectionID == connection.id)
    return try await transaction { (database) throws(AccountError) in
      let wrap = try current(
        managedWrap, at: .managedWrap(connection: connection.id.text, owner: connection.userID.text)
      )
      let written = try database.insert(
        connection, serviceName: serviceName, managedWrap: wrap, credential: credential,
        plans: plans, now: connection.createdAt)
      if let space { try database.put(written.id, of: written.userID, into: space) }
      return written
    }
  }

  public func addConnection(
    _ connection: ConnectionRecord, serviceName: String, managedWrap: ManagedWrap?,
    credential: NewCredential, claim: NewClaim, replacing old: ConnectionID?
  ) async throws(AccountError) -> (connection: ConnectionRecord, replaced: Parting?) {
    precondition((connection.keyStorageMode == .managed) == (managedWrap != nil))
    precondition(credential.record.connectionID == connection.id)
    let (user, now) = (connection.userID, connection.createdAt)
    let added = try await transaction { (database) throws(AccountError) -> Added in
      var connection = connection
      var parting: Parting?
      var spaces: [SpaceID] = []
      if let old {
        connection.takeOver(from: try database.connection(old, of: user))
        spaces = try database.spaces(with: old)
        parting = try database.revoke(old, of: user, event: .connectionReplaced, now: now)
      }
      let wrap = try current(
        managedWrap, at: .managedWrap(connection: connection.id.text, owner: user.text))
      let written = try database.insert(
        connection, serviceName: serviceName, managedWrap: wrap, credential: credential,
        plans: plans, now: now)
      for space in spaces { try database.put(written.id, of: user, into: space) }
      try database.insert(claim, connection: written.id, user: user, now: now)
      return Added(connection: written, replaced: parting)
    }
    return (added.connection, added.replaced)
  }

  private struct Added: Sendable {
    let connection: ConnectionRecord
    let replaced: Parting?
  }

  public func connections(of user: UserID) async throws(AccountError) -> [ConnectionRecord] {
    try await snapshot { (database) throws(AccountError) in
      try database.every(
        """
        SELECT k.id, k.user_id, k.service, k.label, k.status, k.auth_type, k.key_storage_mode,
          k.networks, k.created_at, k.expires_at, k.needs_reauth_at, k.revocable_upstream,
          (SELECT max(u.last_used_at) FROM credential_use AS u WHERE u.connection_id = k.id)
        FROM connections AS k WHERE k.user_id = ? AND k.revoked_at IS NULL
        ORDER BY k.created_at, k.rowid
        """, [.text(user.text)]
      ) { (row) throws(AccountError) in try ConnectionRecord(row) }
    }
  }

  public func connection(
    _ id: ConnectionID, of user: UserID
  ) async throws(AccountError) -> ConnectionRecord {
    try await snapshot { (database) throws(AccountError) in try database.connection(id, of: user) }
  }

  public func changeConnection(
    _ id: ConnectionID, of user: UserID, label: String?, networks: NetworkPolicy??,
    now: UnixTime
  ) async throws(AccountError) -> ConnectionRecord {
    try await transaction { (database) throws(AccountError) in
      _ = try database.connection(id, of: user)
      if let label {
        try database.change(
          "UPDATE connections SET label = ? WHERE id = ?", [.text(label), .text(id.text)])
      }
      if let networks {
        try database.change(
          "UPDATE connections SET networks = ? WHERE id = ?",
          [.optional(networks?.storedText), .text(id.text)])
      }
      try database.note(.connectionChanged, at: now, user: user, connection: id)
      return try database.connection(id, of: user)
    }
  }

  public func changeMode(
    of id: ConnectionID, user: UserID, managedWrap: ManagedWrap?, now: UnixTime
  ) async throws(AccountError) -> ConnectionRecord {
    let mode = managedWrap == nil ? KeyStorageMode.zeroKnowledge : .managed
    return try await transaction { (database) throws(AccountError) in
      _ = try database.connection(id, of: user)
      let wrap = try current(
        managedWrap, at: .managedWrap(connection: id.text, owner: user.text))
      try database.change(
        """
        UPDATE connections SET key_storage_mode = ?, managed_wrap = ?, managed_fingerprint = ?
        WHERE id = ?
        """,
        [
          .text(mode.rawValue), .optional(wrap?.sealed), .optional(wrap?.fingerprint),
          .text(id.text),
        ])
      try database.note(.connectionModeChanged, at: now, user: user, connection: id)
      return try database.connection(id, of: user)
    }
  }

  public func managedWrap(
    _ id: ConnectionID, of user: UserID
  ) async throws(AccountError) -> ManagedWrap? {
    try await snapshot { (database) throws(AccountError) -> ManagedWrap? in
      _ = try database.connection(id, of: user)
      return try database.one(
        """
        SELECT managed_wrap, managed_fingerprint FROM connections
        WHERE id = ? AND managed_wrap IS NOT NULL
        """, [.text(id.text)]
      ) { (row) throws(AccountError) in
        ManagedWrap(sealed: try RowReading.blob(row, 0), fingerprint: try RowReading.text(row, 1))
      }
    }
  }

  public func activity(
    of connection: ConnectionID, user: UserID, countMax: Int64
  ) async throws(AccountError) -> [ActivityRecord] {
    try await snapshot { (database) throws(AccountError) in
      _ = try database.connection(connection, of: user)
      return try database.every(
        """
        SELECT at_ms, status, method_name, duration_ms, network FROM activity
        WHERE connection_id = ? ORDER BY at_ms DESC, id DESC LIMIT ?
        """, [.text(connection.text), .integer(countMax)]
      ) { (row) throws(AccountError) in
        ActivityRecord(
          atMilliseconds: try RowReading.integer(row, 0), status: try RowReading.integer(row, 1),
          methodName: row.isNull(2) ? nil : try RowReading.text(row, 2),
          durationMilliseconds: try RowReading.integer(row, 3),
          network: try RowReading.text(row, 4))
      }
    }
  }
}

extension Connection {
  /// Adds a connection with its first credential inside the caller's transaction.
  fileprivate func insert(
    _ connection: ConnectionRecord, serviceName: String, managedWrap: ManagedWrap?,
    credential: NewCredential, plans: PlanTerms?, now: UnixTime
  ) throws(AccountError) -> ConnectionRecord {
    let counts = try one(
      """
      SELECT count(*) FILTER (WHERE revoked_at IS NULL),
        count(*) FILTER (WHERE revoked_at IS NULL AND service = ?)
      FROM connections WHERE user_id = ?
      """, [.text(connection.service), .text(connection.userID.text)]
    ) { (row) throws(AccountError) in
      (try RowReading.integer(row, 0), try RowReading.integer(row, 1))
    }
    guard let counts, counts.0 < AccountLimits.connectionsMax else { throw .tooMany }
    if let plans {
      try admitConnection(of: connection.userID, plans, now: now)
      try reviewPlan(of: connection.userID, isNew: true)
    }
    var written = connection
    if written.label.isEmpty { written.label = "\(serviceName) \(counts.1 + 1)" }
    try change(
      """
      INSERT INTO connections (id, user_id, service, label, status, auth_type, key_storage_mode,
        networks, created_at, expires_at, managed_wrap, managed_fingerprint, revocable_upstream)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      """,
      [
        .text(written.id.text), .text(written.userID.text), .text(written.service),
        .text(written.label), .text(written.status.rawValue), .text(written.authType.rawValue),
        .text(written.keyStorageMode.rawValue), .optional(written.networks?.storedText),
        .integer(written.createdAt.seconds), .optional(written.expiresAt?.seconds),
        .optional(managedWrap?.sealed), .optional(managedWrap?.fingerprint),
        .integer(written.isRevocableUpstream ? 1 : 0),
      ])
    try insert(credential)
    try note(
      .connectionAdded, at: now, user: written.userID, connection: written.id,
      credential: credential.record.id)
    return written
  }

  /// One live connection of `user`; `notFound` otherwise.
  func connection(_ id: ConnectionID, of user: UserID) throws(AccountError) -> ConnectionRecord {
    let found = try one(
      """
      SELECT k.id, k.user_id, k.service, k.label, k.status, k.auth_type, k.key_storage_mode,
        k.networks, k.created_at, k.expires_at, k.needs_reauth_at, k.revocable_upstream,
        (SELECT max(u.last_used_at) FROM credential_use AS u WHERE u.connection_id = k.id)
      FROM connections AS k WHERE k.id = ? AND k.user_id = ? AND k.revoked_at IS NULL
      """, [.text(id.text), .text(user.text)]
    ) { (row) throws(AccountError) in try ConnectionRecord(row) }
    guard let found else { throw .notFound }
    return found
  }
}

extension ConnectionRecord {
  /// Thirteen columns, in the order of the two statements above.
  fileprivate init(_ row: borrowing Row) throws(AccountError) {
    guard let authType = AuthType(rawValue: try RowReading.text(row, 5)),
      let mode = KeyStorageMode(rawValue: try RowReading.text(row, 6))
    else { throw .recordMalformed }
    self.init(
      id: try RowReading.identifier(row, 0), userID: try RowReading.identifier(row, 1),
      service: try RowReading.text(row, 2), label: try RowReading.text(row, 3),
      status: try RowReading.status(row, 4), authType: authType, keyStorageMode: mode,
      networks: try RowReading.networks(row, 7),
      createdAt: UnixTime(seconds: try RowReading.integer(row, 8)),
      lastUsedAt: try RowReading.time(row, 12), expiresAt: try RowReading.time(row, 9),
      needsReauthAt: try RowReading.time(row, 10),
      isRevocableUpstream: try RowReading.integer(row, 11) == 1)
  }
}
