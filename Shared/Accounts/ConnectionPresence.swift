// Answers whether connections are still there, for whoever keeps something that belongs to them
// in another file (the token blobs). Point reads over any connection to bindery.sqlite.

import Database

/// How much is left of a connection.
public enum ConnectionPresence: Sendable, Equatable {
  /// Its row is there and not revoked.
  case live
  /// Revoked; what belongs to it must go.
  case revoked
  /// No row: not written yet, or erased with its account.
  case absent

  /// Whether and how the connection called `id` is there.
  public static func of(
    _ id: String, in database: Connection
  ) throws(DatabaseError) -> ConnectionPresence {
    precondition(database.file.kind == .bindery)
    let revoked = try database.first(
      "SELECT revoked_at IS NOT NULL FROM connections WHERE id = ?", .text(id)
    ) { (row) throws(DatabaseError) in try row.integer(0) == 1 }
    guard let revoked else { return .absent }
    return revoked ? .revoked : .live
  }
}
