// The statements about grants and their tokens. What may happen once is one UPDATE whose WHERE names
// the state it was decided on. A grant that ends is deleted, and its tokens with it: a stolen
// database has no trace of their wraps.

import Clocks
import Database
import JOSE
import Vault

extension SQLiteAccounts: GrantStore {
  public func addGrant(
    _ grant: GrantRecord, code: CodeRecord, now: UnixTime
  ) async throws(AccountError) {
    guard let wrap = code.wrap else { preconditionFailure("a fresh code has a wrap") }
    try await transaction { (database) throws(AccountError) in
      try database.forgetEndedGrants(now: now)
      _ = try database.connection(grant.connectionID, of: grant.userID)
      let count = try database.one(
        "SELECT count(*) FROM oauth_grants WHERE connection_id = ?",
        [.text(grant.connectionID.text)]
      ) { (row) throws(AccountError) in try RowReading.integer(row, 0) }
      guard let count, count < GrantLife.grantsMax else { throw .tooMany }
      try database.change(
        """
        INSERT INTO oauth_grants (id, user_id, connection_id, client_id, client_name, resource,
          scope, created_at, expires_at, redirect_uri, code_hash, code_challenge, code_expires_at,
          code_wrap)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        [
          .text(grant.id.text), .text(grant.userID.text), .text(grant.connectionID.text),
          .text(grant.clientID), .text(grant.clientName), .text(grant.resource),
          .text(grant.scope), .integer(grant.createdAt.seconds), .integer(grant.expiresAt.seconds),
          .text(code.redirectURI), .blob(code.hash.bytes), .blob(code.challenge),
          .integer(code.expiresAt.seconds), .blob(wrap),
        ])
      try database.change(
        "UPDATE oauth_clients SET expires_at = ? WHERE id = ?",
        [.integer(now.seconds + GrantLife.usedClientSeconds), .text(grant.clientID)])
      try database.note(
        .grantAdded, at: now, user: grant.userID, connection: grant.connectionID)
    }
  }

  public func grant(
    code: Digest256, now: UnixTime
  ) async throws(AccountError) -> (grant: GrantRecord, code: CodeRecord)? {
    let found = try await snapshot { (database) throws(AccountError) -> WithCode? in
      try database.one(
        """
        SELECT g.id, g.user_id, g.connection_id, g.client_id, g.client_name, g.resource, g.scope,
          g.created_at, g.expires_at, g.code_hash, g.code_challenge, g.redirect_uri,
          g.code_expires_at, g.code_wrap
        FROM oauth_grants AS g WHERE g.code_hash = ? AND g.expires_at > ?
        """, [.blob(code.bytes), .integer(now.seconds)]
      ) { (row) throws(AccountError) in
        WithCode(
          grant: try GrantRecord(row),
          code: CodeRecord(
            hash: try RowReading.digest(row, 9), challenge: try RowReading.blob(row, 10),
            redirectURI: try RowReading.text(row, 11),
            expiresAt: UnixTime(seconds: try RowReading.integer(row, 12)),
            wrap: row.isNull(13) ? nil : try RowReading.blob(row, 13)))
      }
    }
    return found.map { ($0.grant, $0.code) }
  }

  private struct WithCode: Sendable {
    let grant: GrantRecord
    let code: CodeRecord
  }

  public func spendCode(
    of grant: GrantID, for refresh: RefreshRecord, access: AccessTokenRecord, now: UnixTime
  ) async throws(AccountError) -> Bool {
    try await transaction { (database) throws(AccountError) in
      let changed = try database.change(
        """
        UPDATE oauth_grants SET code_wrap = NULL, family_hash = ?, refresh_hash = ?,
          successor_salt = ?, refresh_wrap = ?, rotated_at = ?
        WHERE id = ? AND code_wrap IS NOT NULL AND code_expires_at > ?
        """,
        [
          .blob(refresh.family.bytes), .blob(refresh.current.bytes), .blob(refresh.salt),
          .blob(refresh.wrap), .integer(now.seconds), .text(grant.text), .integer(now.seconds),
        ])
      guard changed == 1 else { return false }
      try database.insert(access, of: grant, now: now)
      return true
    }
  }

  public func grant(
    family: Digest256, now: UnixTime
  ) async throws(AccountError) -> (grant: GrantRecord, refresh: RefreshRecord)? {
    let found = try await snapshot { (database) throws(AccountError) -> WithRefresh? in
      try database.one(
        """
        SELECT g.id, g.user_id, g.connection_id, g.client_id, g.client_name, g.resource, g.scope,
          g.created_at, g.expires_at, g.family_hash, g.refresh_hash, g.previous_hash,
          g.successor_salt, g.refresh_wrap, g.rotated_at
        FROM oauth_grants AS g WHERE g.family_hash = ? AND g.expires_at > ?
        """, [.blob(family.bytes), .integer(now.seconds)]
      ) { (row) throws(AccountError) in
        WithRefresh(
          grant: try GrantRecord(row),
          refresh: RefreshRecord(
            family: try RowReading.digest(row, 9), current: try RowReading.digest(row, 10),
            previous: row.isNull(11) ? nil : try RowReading.digest(row, 11),
            salt: try RowReading.blob(row, 12), wrap: try RowReading.blob(row, 13),
            rotatedAt: UnixTime(seconds: try RowReading.integer(row, 14))))
      }
    }
    return found.map { ($0.grant, $0.refresh) }
  }

  private struct WithRefresh: Sendable {
    let grant: GrantRecord
    let refresh: RefreshRecord
  }

  public func rotate(
    _ grant: GrantID, from old: Digest256, to refresh: RefreshRecord, access: AccessTokenRecord,
    now: UnixTime
  ) async throws(AccountError) -> Bool {
    try await transaction { (database) throws(AccountError) in
      let changed = try database.change(
        """
        UPDATE oauth_grants SET refresh_hash = ?, previous_hash = ?, successor_salt = ?,
          refresh_wrap = ?, rotated_at = ?
        WHERE id = ? AND refresh_hash = ?
        """,
        [
          .blob(refresh.current.bytes), .blob(old.bytes), .blob(refresh.salt),
          .blob(refresh.wrap), .integer(now.seconds), .text(grant.text), .blob(old.bytes),
        ])
      guard changed == 1 else { return false }
      try database.insert(access, of: grant, now: now)
      return true
    }
  }

  public func addAccessToken(
    _ access: AccessTokenRecord, to grant: GrantID, while current: Digest256, now: UnixTime
  ) async throws(AccountError) -> Bool {
    try await transaction { (database) throws(AccountError) in
      let stands = try database.one(
        "SELECT 1 FROM oauth_grants WHERE id = ? AND refresh_hash = ?",
        [.text(grant.text), .blob(current.bytes)]
      ) { (_) throws(AccountError) in true }
      guard stands != nil else { return false }
      try database.insert(access, of: grant, now: now)
      return true
    }
  }

  public func grant(
    accessToken: Digest256, now: UnixTime
  ) async throws(AccountError) -> (grant: GrantRecord, expiresAt: UnixTime)? {
    let found = try await snapshot { (database) throws(AccountError) -> WithEnd? in
      try database.one(
        """
        SELECT g.id, g.user_id, g.connection_id, g.client_id, g.client_name, g.resource, g.scope,
          g.created_at, g.expires_at, t.expires_at
        FROM oauth_access_tokens AS t JOIN oauth_grants AS g ON g.id = t.grant_id
        WHERE t.lookup = ? AND t.expires_at > ?
        """, [.blob(accessToken.bytes), .integer(now.seconds)]
      ) { (row) throws(AccountError) in
        WithEnd(
          grant: try GrantRecord(row),
          expiresAt: UnixTime(seconds: try RowReading.integer(row, 9)))
      }
    }
    return found.map { ($0.grant, $0.expiresAt) }
  }

  private struct WithEnd: Sendable {
    let grant: GrantRecord
    let expiresAt: UnixTime
  }

  public func removeAccessToken(_ lookup: Digest256) async throws(AccountError) {
    _ = try await transaction { (database) throws(AccountError) in
      try database.change(
        "DELETE FROM oauth_access_tokens WHERE lookup = ?", [.blob(lookup.bytes)])
    }
  }
}

extension Connection {
  /// Adds an access token inside the caller's transaction.
  /// - Throws: `tooMany`.
  fileprivate func insert(
    _ access: AccessTokenRecord, of grant: GrantID, now: UnixTime
  ) throws(AccountError) {
    try change(
      "DELETE FROM oauth_access_tokens WHERE expires_at <= ?", [.integer(now.seconds)])
    let count = try one(
      "SELECT count(*) FROM oauth_access_tokens WHERE grant_id = ?", [.text(grant.text)]
    ) { (row) throws(AccountError) in try RowReading.integer(row, 0) }
    guard let count, count < GrantLife.accessTokensMax else { throw .tooMany }
    try change(
      "INSERT INTO oauth_access_tokens (lookup, grant_id, wrap, expires_at) VALUES (?, ?, ?, ?)",
      [
        .blob(access.lookup.bytes), .text(grant.text), .blob(access.wrap),
        .integer(access.expiresAt.seconds),
      ])
  }
}

extension GrantRecord {
  /// Nine columns, in the order of the statements of this file and of `SQLiteAccounts+GrantEnds`.
  init(_ row: borrowing Row) throws(AccountError) {
    self.init(
      id: try RowReading.identifier(row, 0), userID: try RowReading.identifier(row, 1),
      connectionID: try RowReading.identifier(row, 2), clientID: try RowReading.text(row, 3),
      clientName: try RowReading.text(row, 4), resource: try RowReading.text(row, 5),
      scope: try RowReading.text(row, 6),
      createdAt: UnixTime(seconds: try RowReading.integer(row, 7)),
      expiresAt: UnixTime(seconds: try RowReading.integer(row, 8)))
  }
}
