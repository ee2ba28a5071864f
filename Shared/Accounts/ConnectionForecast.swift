// What the token store knows of a connection's future: when its grant ends, and whether the
// provider refuses it. Point reads over any connection to tokens.sqlite.

import Clocks
import Database

/// How long an OAuth connection will last.
public struct ConnectionForecast: Sendable, Equatable {
  /// When the refresh token ends, if the provider said.
  public let endsAt: UnixTime?
  /// Since when the provider wants the person's consent anew.
  public let needsReauthAt: UnixTime?

  /// What is known of the connection called `id`; nil when it was never refreshed. A refusal counts
  /// only for the tokens that are stored now.
  public static func of(
    _ id: ConnectionID, in tokens: Connection
  ) throws(AccountError) -> ConnectionForecast? {
    precondition(tokens.file.kind == .tokens)
    return try tokens.one(
      """
      SELECT s.refresh_expires_at, CASE WHEN s.generation = b.generation THEN s.needs_reauth_at END
      FROM refresh_state AS s JOIN token_blobs AS b ON b.connection_id = s.connection_id
      WHERE s.connection_id = ?
      """, [.text(id.text)]
    ) { (row) throws(AccountError) in
      ConnectionForecast(
        endsAt: try RowReading.time(row, 0), needsReauthAt: try RowReading.time(row, 1))
    }
  }
}
