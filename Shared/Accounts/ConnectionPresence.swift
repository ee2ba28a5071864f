// Answers whether connections are still there, for whoever keeps something that belongs to them
// in another file (the token blobs). Point reads over any connection to bindery.sqlite.

import Clocks
import Database

/// How much is left of a connection.
public enum ConnectionPresence: Sendable, Equatable {
  /// Its row is there and not revoked.
  case live
  /// Revoked, and its provider is to be told since then: its tokens are still needed for that, at
  /// most `ConnectLife.partingSecondsMax`.
  case parting(since: UnixTime)
  /// Revoked; what belongs to it must go.
  case revoked
  /// No row: not written yet, or erased with its account.
  case absent

  /// Whether and how the connection called `id` is there.
  public static func of(
    _ id: String, in database: Connection
  ) throws(DatabaseError) -> ConnectionPresence {
    precondition(database.file.kind == .bindery)
    let found = try database.first(
      """
      SELECT k.revoked_at IS NOT NULL, r.requested_at FROM connections AS k
      LEFT JOIN upstream_revocations AS r ON r.connection_id = k.id AND r.state = 'pending'
      WHERE k.id = ?
      """, .text(id)
    ) { (row) throws(DatabaseError) in (try row.integer(0) == 1, try row.optionalInteger(1)) }
    switch found {
    case nil: return .absent
    case (false, _)?: return .live
    case (true, let since?)?: return .parting(since: UnixTime(seconds: since))
    case (true, nil)?: return .revoked
    }
  }
}
