// The statements about programs' keys. A key is found by SHA-256 of its whole text; ending one
// deletes its row. Its last use is noted once a minute at most, so that reading costs no write.

import Clocks
import Database
import Vault

extension SQLiteAccounts: KeyStore {
  public func holder(
    of key: PresentedKey, now: UnixTime
  ) async throws(AccountError) -> KeyHolder? {
    let found = try await snapshot { (database) throws(AccountError) in
      try database.holder(of: key, now: now)
    }
    guard let found else { return nil }
    if now.seconds - (found.lastUsedAt?.seconds ?? 0) >= KeyLimits.useSecondsMax {
      try await transaction { (database) throws(AccountError) in
        try database.noteUse(of: key, now: now)
      }
    }
    return found.holder
  }

  public func managedWrap(
    of connection: ConnectionID, reachedBy key: PresentedKey, now: UnixTime
  ) async throws(AccountError) -> (owner: UserID, wrap: ManagedWrap)? {
    let found = try await snapshot { (database) throws(AccountError) in
      try database.wrap(of: connection, reachedBy: key, now: now)
    }
    return found.map { ($0.owner, $0.wrap) }
  }

  public func keys(of user: UserID) async throws(AccountError) -> [ProgramKeyRecord] {
    try await snapshot { (database) throws(AccountError) in
      try database.every(
        """
        SELECT id, name, created_at, expires_at, (SELECT max(at) FROM (
            SELECT last_used_at AS at UNION ALL
            SELECT u.last_used_at FROM credential_use AS u WHERE u.credential_id = user_keys.id))
        FROM user_keys WHERE user_id = ? ORDER BY created_at, rowid
        """, [.text(user.text)]
      ) { (row) throws(AccountError) in try ProgramKeyRecord(row, permissions: nil) }
    }
  }

  public func addKey(
    _ key: ProgramKeyRecord, hash: Digest256, of user: UserID
  ) async throws(AccountError) {
    try await transaction { (database) throws(AccountError) in
      let count = try database.one(
        "SELECT count(*) FROM user_keys WHERE user_id = ?", [.text(user.text)]
      ) { (row) throws(AccountError) in try RowReading.integer(row, 0) }
      guard let count, count < KeyLimits.keysMax else { throw .tooMany }
      try database.change(
        """
        INSERT INTO user_keys (id, user_id, name, key_hash, created_at, expires_at)
        VALUES (?, ?, ?, ?, ?, ?)
        """,
        [
          .text(key.id.text), .text(user.text), .text(key.name), .blob(hash.bytes),
          .integer(key.createdAt.seconds), .optional(key.expiresAt?.seconds),
        ])
      try database.note(.userKeyAdded, at: key.createdAt, user: user, key: key.id)
    }
  }

  public func revokeKey(
    _ id: ProgramKeyID, of user: UserID, now: UnixTime
  ) async throws(AccountError) -> [ConnectionID] {
    try await transaction { (database) throws(AccountError) in
      let gone = try database.change(
        "DELETE FROM user_keys WHERE id = ? AND user_id = ?", [.text(id.text), .text(user.text)])
      guard gone == 1 else { throw .notFound }
      try database.note(.userKeyRevoked, at: now, user: user, key: id)
      return try database.every(
        "SELECT id FROM connections WHERE user_id = ? AND managed_wrap IS NOT NULL",
        [.text(user.text)]
      ) { (row) throws(AccountError) in try RowReading.identifier(row, 0) }
    }
  }
}

/// Whose key it is, and when that was last noted.
private struct FoundKey: Sendable {
  let holder: KeyHolder
  let lastUsedAt: UnixTime?
}

/// A wrap under a master key, and whose it is.
private struct ReachedWrap: Sendable {
  let owner: UserID
  let wrap: ManagedWrap

  init(_ row: borrowing Row) throws(AccountError) {
    owner = try RowReading.identifier(row, 0)
    wrap = ManagedWrap(
      sealed: try RowReading.blob(row, 1), fingerprint: try RowReading.text(row, 2))
  }
}

extension Connection {
  fileprivate func holder(
    of key: PresentedKey, now: UnixTime
  ) throws(AccountError) -> FoundKey? {
    let values = [Value.blob(key.hash.bytes), .integer(now.seconds)]
    switch key.kind {
    case .user:
      return try one(
        """
        SELECT u.id, u.email, u.created_at, k.id, k.last_used_at
        FROM user_keys AS k JOIN users AS u ON u.id = k.user_id
        WHERE k.key_hash = ? AND (k.expires_at IS NULL OR k.expires_at > ?)
        """, values
      ) { (row) throws(AccountError) in
        FoundKey(
          holder: KeyHolder(
            key: try RowReading.identifier(row, 3), user: try User(row), space: nil),
          lastUsedAt: try RowReading.time(row, 4))
      }
    case .space:
      return try one(
        """
        SELECT u.id, u.email, u.created_at, k.id, k.last_used_at, s.id, k.may_read, k.may_use,
          k.may_write
        FROM space_api_keys AS k JOIN spaces AS s ON s.id = k.space_id
          JOIN users AS u ON u.id = s.user_id
        WHERE k.key_hash = ? AND (k.expires_at IS NULL OR k.expires_at > ?)
        """, values
      ) { (row) throws(AccountError) in
        FoundKey(
          holder: KeyHolder(
            key: try RowReading.identifier(row, 3), user: try User(row),
            space: (try RowReading.identifier(row, 5), try SpacePermissions(row, from: 6))),
          lastUsedAt: try RowReading.time(row, 4))
      }
    }
  }

  fileprivate func noteUse(of key: PresentedKey, now: UnixTime) throws(AccountError) {
    let values = [Value.integer(now.seconds), .blob(key.hash.bytes)]
    switch key.kind {
    case .user: try change("UPDATE user_keys SET last_used_at = ? WHERE key_hash = ?", values)
    case .space:
      try change("UPDATE space_api_keys SET last_used_at = ? WHERE key_hash = ?", values)
    }
  }

  fileprivate func wrap(
    of connection: ConnectionID, reachedBy key: PresentedKey, now: UnixTime
  ) throws(AccountError) -> ReachedWrap? {
    let values = [
      Value.blob(key.hash.bytes), .integer(now.seconds), .text(connection.text),
    ]
    switch key.kind {
    case .user:
      return try one(
        """
        SELECT c.user_id, c.managed_wrap, c.managed_fingerprint
        FROM user_keys AS k JOIN connections AS c ON c.user_id = k.user_id
        WHERE k.key_hash = ? AND (k.expires_at IS NULL OR k.expires_at > ?) AND c.id = ?
          AND c.managed_wrap IS NOT NULL
        """, values
      ) { (row) throws(AccountError) in try ReachedWrap(row) }
    case .space:
      return try one(
        """
        SELECT c.user_id, c.managed_wrap, c.managed_fingerprint
        FROM space_api_keys AS k JOIN spaces AS s ON s.id = k.space_id
          JOIN space_connections AS m ON m.space_id = s.id
          JOIN connections AS c ON c.id = m.connection_id AND c.user_id = s.user_id
        WHERE k.key_hash = ? AND (k.expires_at IS NULL OR k.expires_at > ?) AND c.id = ?
          AND k.may_use = 1 AND c.managed_wrap IS NOT NULL
        """, values
      ) { (row) throws(AccountError) in try ReachedWrap(row) }
    }
  }

  /// Notes what was done with a program's key, whose id stands where a credential's would.
  func note(
    _ event: AuditEvent, at now: UnixTime, user: UserID, key: ProgramKeyID
  ) throws(AccountError) {
    try note(event, at: now, user: user, credential: CredentialID(key.text))
  }
}

extension ProgramKeyRecord {
  /// Five columns: id, name, created_at, expires_at, last use.
  init(_ row: borrowing Row, permissions: SpacePermissions?) throws(AccountError) {
    self.init(
      id: try RowReading.identifier(row, 0), name: try RowReading.text(row, 1),
      permissions: permissions, createdAt: UnixTime(seconds: try RowReading.integer(row, 2)),
      expiresAt: try RowReading.time(row, 3), lastUsedAt: try RowReading.time(row, 4))
  }
}

extension SpacePermissions {
  /// Three columns: may_read, may_use, may_write.
  init(_ row: borrowing Row, from index: Int32) throws(AccountError) {
    self = []
    for (offset, (_, permission)) in Self.names.enumerated()
    where try RowReading.integer(row, index + Int32(offset)) == 1 { insert(permission) }
  }
}
