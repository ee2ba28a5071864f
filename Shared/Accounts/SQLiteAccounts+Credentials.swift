// The statements about credentials. A revoked one keeps its row without its wrap: the data key can
// never again be opened with it.

import Clocks
import Database

extension SQLiteAccounts {
  public func credentials(
    of connection: ConnectionID, user: UserID
  ) async throws(AccountError) -> [CredentialRecord] {
    try await snapshot { (database) throws(AccountError) in
      _ = try database.connection(connection, of: user)
      return try database.every(
        """
        SELECT c.id, c.connection_id, c.name, c.networks, c.tools, c.created_at, c.expires_at,
          (SELECT max(u.last_used_at) FROM credential_use AS u
           WHERE u.connection_id = c.connection_id AND u.credential_id = c.id)
        FROM credentials AS c WHERE c.connection_id = ? AND c.revoked_at IS NULL
        ORDER BY c.created_at, c.rowid
        """, [.text(connection.text)]
      ) { (row) throws(AccountError) in try CredentialRecord(row) }
    }
  }

  public func credentialWrap(
    lookup: [UInt8], of connection: ConnectionID, user: UserID, now: UnixTime
  ) async throws(AccountError) -> (id: CredentialID, wrap: [UInt8])? {
    let found = try await snapshot { (database) throws(AccountError) -> Wrap? in
      _ = try database.connection(connection, of: user)
      return try database.one(
        """
        SELECT id, wrap FROM credentials
        WHERE lookup = ? AND connection_id = ? AND revoked_at IS NULL
          AND (expires_at IS NULL OR expires_at > ?)
        """, [.blob(lookup), .text(connection.text), .integer(now.seconds)]
      ) { (row) throws(AccountError) in
        Wrap(id: try RowReading.identifier(row, 0), sealed: try RowReading.blob(row, 1))
      }
    }
    return found.map { ($0.id, $0.sealed) }
  }

  private struct Wrap: Sendable {
    let id: CredentialID
    let sealed: [UInt8]
  }

  public func addCredential(
    _ credential: NewCredential, user: UserID
  ) async throws(AccountError) {
    let record = credential.record
    try await transaction { (database) throws(AccountError) in
      _ = try database.connection(record.connectionID, of: user)
      let count = try database.one(
        "SELECT count(*) FROM credentials WHERE connection_id = ? AND revoked_at IS NULL",
        [.text(record.connectionID.text)]
      ) { (row) throws(AccountError) in try RowReading.integer(row, 0) }
      guard let count, count < AccountLimits.credentialsMax else { throw .tooMany }
      try database.insert(credential)
      try database.note(
        .credentialAdded, at: record.createdAt, user: user, connection: record.connectionID,
        credential: record.id)
    }
  }

  public func revokeCredential(
    _ id: CredentialID, of connection: ConnectionID, user: UserID, now: UnixTime
  ) async throws(AccountError) {
    try await transaction { (database) throws(AccountError) in
      _ = try database.connection(connection, of: user)
      let changed = try database.change(
        """
        UPDATE credentials SET revoked_at = ?, wrap = NULL
        WHERE id = ? AND connection_id = ? AND revoked_at IS NULL
        """, [.integer(now.seconds), .text(id.text), .text(connection.text)])
      guard changed == 1 else { throw .notFound }
      try database.note(
        .credentialRevoked, at: now, user: user, connection: connection, credential: id)
    }
  }
}

extension Connection {
  /// Adds a credential inside the caller's transaction.
  func insert(_ credential: NewCredential) throws(AccountError) {
    let record = credential.record
    try change(
      """
      INSERT INTO credentials (id, connection_id, name, lookup, wrap, networks, tools, created_at,
        expires_at)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
      """,
      [
        .text(record.id.text), .text(record.connectionID.text), .text(record.name),
        .blob(credential.lookup), .blob(credential.wrap), .optional(record.networks?.storedText),
        .optional(record.tools?.joined(separator: "\n")), .integer(record.createdAt.seconds),
        .optional(record.expiresAt?.seconds),
      ])
  }
}

extension CredentialRecord {
  /// Eight columns, in the order of the statement above.
  fileprivate init(_ row: borrowing Row) throws(AccountError) {
    self.init(
      id: try RowReading.identifier(row, 0), connectionID: try RowReading.identifier(row, 1),
      name: try RowReading.text(row, 2), networks: try RowReading.networks(row, 3),
      tools: try RowReading.lines(row, 4),
      createdAt: UnixTime(seconds: try RowReading.integer(row, 5)),
      expiresAt: try RowReading.time(row, 6), lastUsedAt: try RowReading.time(row, 7))
  }
}
