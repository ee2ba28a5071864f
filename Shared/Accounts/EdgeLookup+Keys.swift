// Answers the edge's questions about programs' keys: which connection does this key reach, and does
// it still? Point reads as for credentials. A key opens nothing by itself: the data key comes from
// auth, which holds the master keys, and is wrapped in the edge's memory under the key that was shown.

import Clocks
import Database
import Vault

/// What a key reaches at a service.
public enum KeyReach: Sendable {
  /// No such key, or it ended.
  case unknown
  /// A space's key without `connections:use`.
  case mayNotUse
  /// There is no connection of this service, or not the one that was named.
  case nothing
  /// There are only connections that nobody but the holder of a credential can open.
  case zeroKnowledge
  /// This one: the oldest that is active, or else the oldest.
  case managed(ReachedConnection)
}

/// A managed connection that a key reaches.
public struct ReachedConnection: Sendable, Equatable {
  public let id: ConnectionID
  public let owner: UserID
  public let key: ProgramKeyID
}

extension EdgeLookup {
  /// What `key` reaches at `service`: the connection `named`, or the one that stands for all.
  public func reach(
    of key: PresentedKey, service: String, named: ConnectionID?, now: UnixTime
  ) throws(AccountError) -> KeyReach {
    let rights = [Value.blob(key.hash.bytes), .integer(now.seconds)]
    let choice = [
      Value.blob(key.hash.bytes), .text(service), .optional(named?.text),
    ]
    let mayUse: Bool?
    let found: KeyReach?
    switch key.kind {
    case .user:
      mayUse = try connection.one(
        """
        SELECT 1 FROM user_keys WHERE key_hash = ? AND (expires_at IS NULL OR expires_at > ?)
        """, rights, read: Self.flag)
      found = try connection.one(
        """
        SELECT c.id, c.user_id, k.id, c.managed_wrap IS NOT NULL
        FROM user_keys AS k JOIN connections AS c ON c.user_id = k.user_id
        WHERE k.key_hash = ?1 AND c.service = ?2 AND (?3 IS NULL OR c.id = ?3)
          AND c.revoked_at IS NULL
        ORDER BY c.managed_wrap IS NULL, c.status <> 'active', c.created_at, c.rowid LIMIT 1
        """, choice, read: Self.reach)
    case .space:
      mayUse = try connection.one(
        """
        SELECT may_use FROM space_api_keys
        WHERE key_hash = ? AND (expires_at IS NULL OR expires_at > ?)
        """, rights, read: Self.flag)
      found = try connection.one(
        """
        SELECT c.id, c.user_id, k.id, c.managed_wrap IS NOT NULL
        FROM space_api_keys AS k JOIN spaces AS s ON s.id = k.space_id
          JOIN space_connections AS m ON m.space_id = s.id
          JOIN connections AS c ON c.id = m.connection_id AND c.user_id = s.user_id
        WHERE k.key_hash = ?1 AND c.service = ?2 AND (?3 IS NULL OR c.id = ?3)
          AND c.revoked_at IS NULL
        ORDER BY c.managed_wrap IS NULL, c.status <> 'active', c.created_at, c.rowid LIMIT 1
        """, choice, read: Self.reach)
    }
    guard let mayUse else { return .unknown }
    return mayUse ? found ?? .nothing : .mayNotUse
  }

  private static func flag(_ row: borrowing Row) throws(AccountError) -> Bool {
    try RowReading.integer(row, 0) == 1
  }

  private static func reach(_ row: borrowing Row) throws(AccountError) -> KeyReach {
    guard try flag(row, 3) else { return .zeroKnowledge }
    return .managed(
      ReachedConnection(
        id: try RowReading.identifier(row, 0), owner: try RowReading.identifier(row, 1),
        key: try RowReading.identifier(row, 2)))
  }

  private static func flag(_ row: borrowing Row, _ index: Int32) throws(AccountError) -> Bool {
    try RowReading.integer(row, index) == 1
  }

  /// The managed connection as `key` may use it; nil when it may not, or not any more.
  /// - Parameter wrap: the data key, sealed under the key that was shown; stored nowhere.
  public func find(
    _ id: ConnectionID, reachedBy key: PresentedKey, wrap: [UInt8]
  ) throws(AccountError) -> EdgeCredential? {
    let found = try epochs.marking { () throws(AccountError) -> (Fields, ConnectionID)? in
      guard let fields = try read(id, reachedBy: key) else { return nil }
      return (fields, fields.connectionID)
    }
    guard let found else { return nil }
    return found.value.credential(.secret, wrap: wrap, mark: found.mark)
  }

  private func read(
    _ id: ConnectionID, reachedBy key: PresentedKey
  ) throws(AccountError) -> Fields? {
    let values = [Value.blob(key.hash.bytes), .text(id.text)]
    switch key.kind {
    case .user:
      return try connection.one(
        """
        SELECT k.id, c.id, c.user_id, c.service, c.status, c.needs_reauth_at, x'', c.networks,
          NULL, NULL, k.expires_at, c.auth_type, p.ends_at, b.caught_up_at
        FROM user_keys AS k JOIN connections AS c ON c.user_id = k.user_id
          LEFT JOIN plans AS p ON p.user_id = c.user_id LEFT JOIN billing_contact AS b
        WHERE k.key_hash = ? AND c.id = ? AND c.managed_wrap IS NOT NULL
        """, values
      ) { (row) throws(AccountError) in try Fields(row, meaning) }
    case .space:
      return try connection.one(
        """
        SELECT k.id, c.id, c.user_id, c.service, c.status, c.needs_reauth_at, x'', c.networks,
          NULL, NULL, k.expires_at, c.auth_type, p.ends_at, b.caught_up_at
        FROM space_api_keys AS k JOIN spaces AS s ON s.id = k.space_id
          JOIN space_connections AS m ON m.space_id = s.id
          JOIN connections AS c ON c.id = m.connection_id AND c.user_id = s.user_id
          LEFT JOIN plans AS p ON p.user_id = c.user_id LEFT JOIN billing_contact AS b
        WHERE k.key_hash = ? AND c.id = ? AND k.may_use = 1 AND c.managed_wrap IS NOT NULL
        """, values
      ) { (row) throws(AccountError) in try Fields(row, meaning) }
    }
  }
}
