// The statements about spaces, what is in them, and their keys. Every one names the owner in its
// WHERE. A space holds live connections of its owner; revoking one takes it out (SQLiteAccounts+
// Parting), and one that takes another's place takes its places in spaces, too.

import Clocks
import Database
import Vault

extension SQLiteAccounts: SpaceStore {
  public func spaces(of user: UserID) async throws(AccountError) -> [Space] {
    try await snapshot { (database) throws(AccountError) in
      var spaces = try database.every(
        """
        SELECT id, user_id, name, created_at FROM spaces WHERE user_id = ?
        ORDER BY created_at, rowid
        """, [.text(user.text)]
      ) { (row) throws(AccountError) in try Space(row) }
      for index in spaces.indices {
        spaces[index].connections = try database.connections(in: spaces[index].id)
      }
      return spaces
    }
  }

  public func space(_ id: SpaceID, of user: UserID) async throws(AccountError) -> Space {
    try await snapshot { (database) throws(AccountError) in try database.space(id, of: user) }
  }

  public func addSpace(_ space: Space) async throws(AccountError) {
    try await transaction { (database) throws(AccountError) in
      let count = try database.one(
        "SELECT count(*) FROM spaces WHERE user_id = ?", [.text(space.userID.text)]
      ) { (row) throws(AccountError) in try RowReading.integer(row, 0) }
      guard let count, count < KeyLimits.spacesMax else { throw .tooMany }
      try database.change(
        "INSERT INTO spaces (id, user_id, name, created_at) VALUES (?, ?, ?, ?)",
        [
          .text(space.id.text), .text(space.userID.text), .text(space.name),
          .integer(space.createdAt.seconds),
        ])
      for connection in space.connections {
        try database.put(connection, of: space.userID, into: space.id)
      }
      try database.note(.spaceAdded, at: space.createdAt, user: space.userID)
    }
  }

  public func changeSpace(
    _ id: SpaceID, of user: UserID, name: String?, connections: [ConnectionID]?, now: UnixTime
  ) async throws(AccountError) -> (space: Space, left: [ConnectionID]) {
    let changed = try await transaction { (database) throws(AccountError) -> Changed in
      let before = try database.space(id, of: user)
      if let name {
        try database.change(
          "UPDATE spaces SET name = ? WHERE id = ?", [.text(name), .text(id.text)])
      }
      if let connections {
        try database.change(
          "DELETE FROM space_connections WHERE space_id = ?", [.text(id.text)])
        for connection in connections { try database.put(connection, of: user, into: id) }
      }
      try database.note(.spaceChanged, at: now, user: user)
      let after = try database.space(id, of: user)
      let stay = Set(after.connections)
      return Changed(space: after, left: before.connections.filter { !stay.contains($0) })
    }
    return (changed.space, changed.left)
  }

  private struct Changed: Sendable {
    let space: Space
    let left: [ConnectionID]
  }

  public func removeSpace(
    _ id: SpaceID, of user: UserID, now: UnixTime
  ) async throws(AccountError) -> [ConnectionID] {
    try await transaction { (database) throws(AccountError) in
      let space = try database.space(id, of: user)
      try database.change("DELETE FROM spaces WHERE id = ?", [.text(id.text)])
      try database.note(.spaceRemoved, at: now, user: user)
      return space.connections
    }
  }

  public func space(
    _ id: SpaceID, holds connection: ConnectionID
  ) async throws(AccountError) -> Bool {
    try await snapshot { (database) throws(AccountError) in
      try database.one(
        "SELECT 1 FROM space_connections WHERE space_id = ? AND connection_id = ?",
        [.text(id.text), .text(connection.text)]
      ) { (_) throws(AccountError) in true } ?? false
    }
  }

  public func keys(
    of space: SpaceID, user: UserID
  ) async throws(AccountError) -> [ProgramKeyRecord] {
    try await snapshot { (database) throws(AccountError) in
      _ = try database.space(space, of: user)
      return try database.every(
        """
        SELECT id, name, created_at, expires_at, (SELECT max(at) FROM (
            SELECT last_used_at AS at UNION ALL
            SELECT u.last_used_at FROM credential_use AS u
            WHERE u.credential_id = space_api_keys.id)), may_read, may_use, may_write
        FROM space_api_keys WHERE space_id = ? ORDER BY created_at, rowid
        """, [.text(space.text)]
      ) { (row) throws(AccountError) in
        try ProgramKeyRecord(row, permissions: try SpacePermissions(row, from: 5))
      }
    }
  }

  public func addKey(
    _ key: ProgramKeyRecord, hash: Digest256, of space: SpaceID, user: UserID
  ) async throws(AccountError) {
    try await transaction { (database) throws(AccountError) in
      _ = try database.space(space, of: user)
      let count = try database.one(
        "SELECT count(*) FROM space_api_keys WHERE space_id = ?", [.text(space.text)]
      ) { (row) throws(AccountError) in try RowReading.integer(row, 0) }
      guard let count, count < KeyLimits.keysMax else { throw .tooMany }
      let may = SpacePermissions.names.map { name -> Value in
        .integer(key.permissions?.contains(name.permission) == true ? 1 : 0)
      }
      try database.change(
        """
        INSERT INTO space_api_keys (id, space_id, name, key_hash, created_at, expires_at,
          may_read, may_use, may_write) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        [
          .text(key.id.text), .text(space.text), .text(key.name), .blob(hash.bytes),
          .integer(key.createdAt.seconds), .optional(key.expiresAt?.seconds),
        ] + may)
      try database.note(.spaceKeyAdded, at: key.createdAt, user: user, key: key.id)
    }
  }

  public func revokeKey(
    _ id: ProgramKeyID, of space: SpaceID, user: UserID, now: UnixTime
  ) async throws(AccountError) -> [ConnectionID] {
    try await transaction { (database) throws(AccountError) in
      let space = try database.space(space, of: user)
      let gone = try database.change(
        "DELETE FROM space_api_keys WHERE id = ? AND space_id = ?",
        [.text(id.text), .text(space.id.text)])
      guard gone == 1 else { throw .notFound }
      try database.note(.spaceKeyRevoked, at: now, user: user, key: id)
      return space.connections
    }
  }
}

extension Connection {
  /// One space of `user`; `notFound` otherwise.
  fileprivate func space(_ id: SpaceID, of user: UserID) throws(AccountError) -> Space {
    let found = try one(
      "SELECT id, user_id, name, created_at FROM spaces WHERE id = ? AND user_id = ?",
      [.text(id.text), .text(user.text)]
    ) { (row) throws(AccountError) in try Space(row) }
    guard var found else { throw .notFound }
    found.connections = try connections(in: id)
    return found
  }

  fileprivate func connections(in space: SpaceID) throws(AccountError) -> [ConnectionID] {
    try every(
      """
      SELECT k.id FROM space_connections AS m JOIN connections AS k ON k.id = m.connection_id
      WHERE m.space_id = ? AND k.revoked_at IS NULL ORDER BY k.created_at, k.rowid
      """, [.text(space.text)]
    ) { (row) throws(AccountError) in try RowReading.identifier(row, 0) }
  }

  /// The spaces that `connection` is in.
  func spaces(with connection: ConnectionID) throws(AccountError) -> [SpaceID] {
    try every(
      "SELECT space_id FROM space_connections WHERE connection_id = ?", [.text(connection.text)]
    ) { (row) throws(AccountError) in try RowReading.identifier(row, 0) }
  }

  /// Puts a live connection of `user` into one of their spaces, once; `notFound` for others.
  func put(
    _ connection: ConnectionID, of user: UserID, into space: SpaceID
  ) throws(AccountError) {
    _ = try self.connection(connection, of: user)
    try change(
      """
      INSERT INTO space_connections (space_id, connection_id)
      SELECT id, ? FROM spaces WHERE id = ? AND user_id = ? ON CONFLICT DO NOTHING
      """, [.text(connection.text), .text(space.text), .text(user.text)])
  }
}

extension Space {
  /// Four columns: id, user_id, name, created_at.
  fileprivate init(_ row: borrowing Row) throws(AccountError) {
    self.init(
      id: try RowReading.identifier(row, 0), userID: try RowReading.identifier(row, 1),
      name: try RowReading.text(row, 2),
      createdAt: UnixTime(seconds: try RowReading.integer(row, 3)), connections: [])
  }
}
