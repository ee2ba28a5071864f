// The statements that list and end grants, and those about clients that registered themselves and
// about the public signing keys.

import Clocks
import Database
import JOSE
import Vault

extension SQLiteAccounts {
  public func endGrant(
    _ grant: GrantID, because event: GrantEnd, now: UnixTime
  ) async throws(AccountError) -> Bool {
    try await transaction { (database) throws(AccountError) in
      let found = try database.one(
        "SELECT user_id, connection_id FROM oauth_grants WHERE id = ?", [.text(grant.text)]
      ) { (row) throws(AccountError) -> (UserID, ConnectionID) in
        (try RowReading.identifier(row, 0), try RowReading.identifier(row, 1))
      }
      guard let (user, connection) = found else { return false }
      try database.deleteGrant(grant)
      try database.note(event.audit, at: now, user: user, connection: connection)
      return true
    }
  }

  public func grants(
    of connection: ConnectionID, user: UserID, now: UnixTime
  ) async throws(AccountError) -> [GrantRecord] {
    try await snapshot { (database) throws(AccountError) in
      _ = try database.connection(connection, of: user)
      return try database.every(
        """
        SELECT g.id, g.user_id, g.connection_id, g.client_id, g.client_name, g.resource, g.scope,
          g.created_at, g.expires_at,
          (SELECT max(u.last_used_at) FROM credential_use AS u
           WHERE u.connection_id = g.connection_id AND u.credential_id = g.id)
        FROM oauth_grants AS g
        WHERE g.connection_id = ? AND g.expires_at > ? AND g.family_hash IS NOT NULL
        ORDER BY g.created_at, g.rowid
        """, [.text(connection.text), .integer(now.seconds)]
      ) { (row) throws(AccountError) in
        var grant = try GrantRecord(row)
        grant.lastUsedAt = try RowReading.time(row, 9)
        return grant
      }
    }
  }

  public func revokeGrant(
    _ grant: GrantID, of connection: ConnectionID, user: UserID, now: UnixTime
  ) async throws(AccountError) {
    try await transaction { (database) throws(AccountError) in
      _ = try database.connection(connection, of: user)
      let found = try database.one(
        "SELECT 1 FROM oauth_grants WHERE id = ? AND connection_id = ?",
        [.text(grant.text), .text(connection.text)]
      ) { (_) throws(AccountError) in true }
      guard found != nil else { throw .notFound }
      try database.deleteGrant(grant)
      try database.note(.grantRevoked, at: now, user: user, connection: connection)
    }
  }

  public func forgetEndedGrants(now: UnixTime) async throws(AccountError) {
    try await transaction { (database) throws(AccountError) in
      try database.forgetEndedGrants(now: now)
    }
  }
}

extension SQLiteAccounts: OAuthClientStore {
  public func addClient(_ client: StoredClient, now: UnixTime) async throws(AccountError) {
    try await transaction { (database) throws(AccountError) in
      try database.forgetEndedGrants(now: now)
      let count = try database.one("SELECT count(*) FROM oauth_clients", []) {
        (row) throws(AccountError) in try RowReading.integer(row, 0)
      }
      guard let count, count < GrantLife.clientsMax else { throw .tooMany }
      try database.change(
        """
        INSERT INTO oauth_clients (id, name, redirect_uris, authentication, secret_hash, created_at,
          expires_at)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        """,
        [
          .text(client.id), .text(client.name),
          .text(client.redirectURIs.joined(separator: "\n")),
          .text(client.authentication.rawValue), .optional(client.secretHash),
          .integer(now.seconds), .integer(now.seconds + GrantLife.idleClientSeconds),
        ])
    }
  }

  public func client(_ id: String, now: UnixTime) async throws(AccountError) -> StoredClient? {
    try await snapshot { (database) throws(AccountError) -> StoredClient? in
      try database.one(
        """
        SELECT id, name, redirect_uris, authentication, secret_hash FROM oauth_clients
        WHERE id = ? AND expires_at > ?
        """, [.text(id), .integer(now.seconds)]
      ) { (row) throws(AccountError) in
        let way = StoredClient.Authentication(rawValue: try RowReading.text(row, 3))
        let secret = row.isNull(4) ? nil : try RowReading.blob(row, 4)
        guard let way, let uris = try RowReading.lines(row, 2),
          (way == .none) == (secret == nil)
        else { throw .recordMalformed }
        return StoredClient(
          id: try RowReading.text(row, 0), name: try RowReading.text(row, 1), redirectURIs: uris,
          authentication: way, secretHash: secret)
      }
    }
  }
}

extension SQLiteAccounts: SigningKeyStore {
  public func publishKeys(
    _ keys: [(keyID: String, key: P256.PublicKey)], now: UnixTime
  ) async throws(AccountError) {
    try await transaction { (database) throws(AccountError) in
      let known = try database.every("SELECT key_id FROM signing_keys", []) {
        (row) throws(AccountError) in try RowReading.text(row, 0)
      }
      for id in known where !keys.contains(where: { $0.keyID.utf8.elementsEqual(id.utf8) }) {
        try database.change("DELETE FROM signing_keys WHERE key_id = ?", [.text(id)])
      }
      for (id, key) in keys where !known.contains(where: { $0.utf8.elementsEqual(id.utf8) }) {
        try database.change(
          "INSERT INTO signing_keys (key_id, x, y, added_at) VALUES (?, ?, ?, ?)",
          [.text(id), .blob(key.x), .blob(key.y), .integer(now.seconds)])
      }
    }
  }
}

extension Connection {
  /// Ends all grants of a connection inside the caller's transaction.
  func endGrants(of connection: ConnectionID) throws(AccountError) {
    try change(
      """
      DELETE FROM oauth_access_tokens WHERE grant_id IN (
        SELECT id FROM oauth_grants WHERE connection_id = ?)
      """, [.text(connection.text)])
    try change("DELETE FROM oauth_grants WHERE connection_id = ?", [.text(connection.text)])
  }

  fileprivate func deleteGrant(_ grant: GrantID) throws(AccountError) {
    try change("DELETE FROM oauth_access_tokens WHERE grant_id = ?", [.text(grant.text)])
    try change("DELETE FROM oauth_grants WHERE id = ?", [.text(grant.text)])
  }

  /// Forgets what has ended: grants, codes that nobody exchanged, access tokens, idle clients.
  func forgetEndedGrants(now: UnixTime) throws(AccountError) {
    let now = Value.integer(now.seconds)
    try change("DELETE FROM oauth_access_tokens WHERE expires_at <= ?", [now])
    try change(
      "DELETE FROM oauth_grants WHERE code_wrap IS NOT NULL AND code_expires_at <= ?", [now])
    try change("DELETE FROM oauth_grants WHERE expires_at <= ?", [now])
    try change("DELETE FROM oauth_clients WHERE expires_at <= ?", [now])
  }
}

extension GrantEnd {
  fileprivate var audit: AuditEvent {
    switch self {
    case .revoked: .grantRevoked
    case .codeMisused: .grantCodeMisused
    case .codeReused: .grantCodeReused
    case .tokenReused: .grantTokenReused
    }
  }
}
