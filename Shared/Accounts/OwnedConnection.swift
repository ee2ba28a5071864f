// Live connections page by page with whose they are, for whoever looks after all of them: forecasts and
// the search for anomalies. Reads only, over any connection to bindery.sqlite.

import Clocks
import Database

/// A live connection with its owner's address.
public struct OwnedConnection: Sendable, Equatable {
  public let id: String
  /// The id of its owner.
  public let owner: String
  public let email: String
  public let service: String
  public let label: String
  public let status: ConnectionStatus
  public let authType: AuthType
  public let isManaged: Bool
  public let createdAt: UnixTime
  /// The first end of its refresh token, as it was known when it was connected.
  public let expiresAt: UnixTime?

  /// Up to `limit` of them in order, after `last`. A row that this code would not have written is
  /// left out: `malformed` counts it.
  public static func page(
    after last: String, limit: Int, in database: Connection
  ) throws(DatabaseError) -> (connections: [OwnedConnection], last: String?, malformed: Int) {
    precondition(database.file.kind == .bindery)
    var end: String?
    var malformed = 0
    let found = try database.all(
      """
      SELECT k.id, u.email, k.service, k.label, k.status, k.auth_type, k.key_storage_mode,
        k.created_at, k.expires_at, u.id
      FROM connections AS k JOIN users AS u ON u.id = k.user_id
      WHERE k.id > ? AND k.revoked_at IS NULL ORDER BY k.id LIMIT ?
      """, .text(last), .integer(Int64(limit))
    ) { (row) throws(DatabaseError) -> OwnedConnection? in
      end = try row.text(0)
      guard let status = ConnectionStatus(rawValue: try row.text(4)),
        let authType = AuthType(rawValue: try row.text(5))
      else {
        malformed += 1
        return nil
      }
      return OwnedConnection(
        id: try row.text(0), owner: try row.text(9), email: try row.text(1),
        service: try row.text(2),
        label: try row.text(3), status: status, authType: authType,
        isManaged: try row.text(6) == KeyStorageMode.managed.rawValue,
        createdAt: UnixTime(seconds: try row.integer(7)),
        expiresAt: try row.optionalInteger(8).map { UnixTime(seconds: $0) })
    }
    return (found.compactMap { $0 }, end, malformed)
  }
}
