// What the keeper of tokens asks of connections: whose they are, which service they belong to, and
// whether they may still be used. Point reads and pages over any connection to bindery.sqlite.

import Database

/// A live connection as far as its tokens are concerned.
public struct ConnectionFacts: Sendable, Equatable {
  public let connection: String
  public let owner: String
  public let service: String
  /// Whether its data key is also wrapped under a master key.
  public let isManaged: Bool

  /// The connection called `id`, nil when it is revoked or not there.
  public static func of(
    _ id: String, in database: Connection
  ) throws(DatabaseError) -> ConnectionFacts? {
    precondition(database.file.kind == .bindery)
    return try database.first(
      """
      SELECT id, user_id, service, managed_wrap IS NOT NULL FROM connections
      WHERE id = ? AND revoked_at IS NULL
      """, .text(id)
    ) { (row) throws(DatabaseError) in try ConnectionFacts(row) }
  }

  /// Up to `limit` active connections by OAuth that can be refreshed without their holders, in
  /// order, after `last`.
  public static func managed(
    after last: String, limit: Int, in database: Connection
  ) throws(DatabaseError) -> [ConnectionFacts] {
    precondition(database.file.kind == .bindery)
    return try database.all(
      """
      SELECT id, user_id, service, 1 FROM connections
      WHERE id > ? AND managed_wrap IS NOT NULL AND status = 'active' AND auth_type = 'oauth'
      ORDER BY id LIMIT ?
      """, .text(last), .integer(Int64(limit))
    ) { (row) throws(DatabaseError) in try ConnectionFacts(row) }
  }

  private init(_ row: borrowing Row) throws(DatabaseError) {
    connection = try row.text(0)
    owner = try row.text(1)
    service = try row.text(2)
    isManaged = try row.integer(3) == 1
  }
}
