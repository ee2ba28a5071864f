// What the token store keeps of warnings: what a forecast needs of a connection's tokens, and the marks
// that its owner was told. A mark changes nothing else of a refresh's state.

import Clocks
import Database

/// The future of stored tokens.
public struct TokenProspect: Sendable, Equatable {
  public let generation: Int64
  /// Whether the tokens are others than those that came with the consent.
  public let wasRefreshed: Bool
  /// When the refresh token ends, if the provider said.
  public let endsAt: UnixTime?
  /// Since when the provider wants the person's consent anew, for the tokens stored now.
  public let needsReauthAt: UnixTime?
  public let warnedAt: UnixTime?
  public let remindedAt: UnixTime?
}

/// Marks of what was told, over one connection to tokens.sqlite.
public struct ForecastMarks {
  private let database: Connection

  /// The marks behind `database`, which has tokens.sqlite open.
  public init(_ database: Connection) {
    precondition(database.file.kind == .tokens)
    self.database = database
  }

  /// What is known of a connection's tokens; nil when it has none.
  public func prospect(of connection: String) throws(DatabaseError) -> TokenProspect? {
    try database.first(
      """
      SELECT b.generation, s.refresh_expires_at,
        CASE WHEN s.generation = b.generation THEN s.needs_reauth_at END, s.warned_at, s.reminded_at,
        s.refreshed_at IS NOT NULL
      FROM token_blobs AS b LEFT JOIN refresh_state AS s ON s.connection_id = b.connection_id
      WHERE b.connection_id = ?
      """, .text(connection)
    ) { (row) throws(DatabaseError) in
      func time(_ seconds: Int64?) -> UnixTime? { seconds.map { UnixTime(seconds: $0) } }
      return TokenProspect(
        generation: try row.integer(0), wasRefreshed: try row.integer(5) == 1,
        endsAt: time(try row.optionalInteger(1)),
        needsReauthAt: time(try row.optionalInteger(2)),
        warnedAt: time(try row.optionalInteger(3)), remindedAt: time(try row.optionalInteger(4)))
    }
  }

  /// Notes that the owner was warned.
  public func markWarned(_ connection: String, at now: UnixTime) throws(DatabaseError) {
    try database.execute(
      """
      INSERT INTO refresh_state (connection_id, generation, warned_at)
      SELECT connection_id, generation, ?2 FROM token_blobs WHERE connection_id = ?1
      ON CONFLICT (connection_id) DO UPDATE SET warned_at = excluded.warned_at
      """, .text(connection), .integer(now.seconds))
  }

  /// Notes that the owner was reminded of the year.
  public func markReminded(_ connection: String, at now: UnixTime) throws(DatabaseError) {
    try database.execute(
      """
      INSERT INTO refresh_state (connection_id, generation, reminded_at)
      SELECT connection_id, generation, ?2 FROM token_blobs WHERE connection_id = ?1
      ON CONFLICT (connection_id) DO UPDATE SET reminded_at = excluded.reminded_at
      """, .text(connection), .integer(now.seconds))
  }
}
