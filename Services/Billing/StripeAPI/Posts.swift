// The idempotency keys of changes that are asked of Stripe. A key is on disk before the request is
// sent, and stays until its answer is known: after a crash the same wish is the same request.

import Bytes
import Clocks
import Database
import JOSE

/// The table `stripe_posts`.
struct Posts: Sendable {
  /// Stripe forgets keys after a day; what was asked before that is not known any more.
  static let keySecondsMax: Int64 = 23 * 3600

  let database: DatabaseThread

  /// The key for a wish: that of the same wish when its answer never came, else a new one.
  func key(for purpose: String, sending request: String) async throws(DatabaseError) -> String {
    let now = UnixTime.now
    let fresh = Base64URL.encode(Randomness.bytes(count: 24))
    let digest = SHA256Digest.of(request)
    return try await database.run { (connection) throws(DatabaseError) in
      try connection.transaction { () throws(DatabaseError) in
        try connection.execute(
          """
          INSERT INTO stripe_posts (purpose, key, digest, created_at) VALUES (?1, ?2, ?3, ?4)
          ON CONFLICT (purpose) DO UPDATE SET key = ?2, digest = ?3, created_at = ?4
          WHERE digest <> ?3 OR created_at < ?5
          """, .text(purpose), .text(fresh), .blob(digest), .integer(now.seconds),
          .integer(now.seconds - Self.keySecondsMax))
        return try connection.first(
          "SELECT key FROM stripe_posts WHERE purpose = ?", .text(purpose)
        ) {
          (row) throws(DatabaseError) in try row.text(0)
        } ?? fresh
      }
    }
  }

  /// The answer is known. A failure to note it costs nothing: Stripe answers the same again.
  func settle(_ purpose: String, _ key: String) async {
    try? await database.run { (connection) throws(DatabaseError) in
      try connection.execute(
        "DELETE FROM stripe_posts WHERE purpose = ? AND key = ?", .text(purpose), .text(key))
    }
  }
}
