// What is written down around an exchange of a refresh token: the intent before anything is sent,
// then, in one transaction, either the new blob or why there is none. A crash leaves the intent; the
// next try then knows that the answer may have been lost. Rows of tokens.sqlite; no key is here.

import Clocks
import Database

/// How the tokens of a connection fared, as far as that holds for a generation.
public struct RefreshState: Sendable, Equatable {
  public let generation: UInt64
  /// The last success.
  public let refreshedAt: UnixTime?
  /// When the refresh token ends, if the provider said.
  public let refreshExpiresAt: UnixTime?
  /// Since when the provider refuses the refresh token.
  public let needsReauthAt: UnixTime?
  /// Failures in a row.
  public let failures: Int
  /// No try before.
  public let nextTryAt: UnixTime?

  /// A state of these parts.
  public init(
    generation: UInt64, refreshedAt: UnixTime?, refreshExpiresAt: UnixTime?,
    needsReauthAt: UnixTime?, failures: Int, nextTryAt: UnixTime?
  ) {
    self.generation = generation
    self.refreshedAt = refreshedAt
    self.refreshExpiresAt = refreshExpiresAt
    self.needsReauthAt = needsReauthAt
    self.failures = failures
    self.nextTryAt = nextTryAt
  }
}

/// The tokens of a connection as far as their dates go; all of it holds for their generation.
public struct TokenStanding: Sendable, Equatable {
  public let generation: UInt64
  /// When the access token ends; nil for one that does not.
  public let expiresAt: UnixTime?
  public let writtenAt: UnixTime
  /// Whether the provider refuses the refresh token.
  public let needsReauth: Bool
  /// No try before.
  public let nextTryAt: UnixTime?
  /// Whether an intent is open: an answer may have been lost.
  public let isOpen: Bool

  /// A standing of these parts.
  public init(
    generation: UInt64, expiresAt: UnixTime?, writtenAt: UnixTime, needsReauth: Bool = false,
    nextTryAt: UnixTime? = nil, isOpen: Bool = false
  ) {
    self.generation = generation
    self.expiresAt = expiresAt
    self.writtenAt = writtenAt
    self.needsReauth = needsReauth
    self.nextTryAt = nextTryAt
    self.isOpen = isOpen
  }
}

/// Why an exchange brought nothing.
public struct RefreshFailure: Sendable {
  /// One word of ours.
  public let reason: String
  /// Whether only the person's consent helps.
  public let needsReauth: Bool
  /// No try before.
  public let nextTryAt: UnixTime?

  /// A failure.
  public init(reason: StaticString, needsReauth: Bool, nextTryAt: UnixTime?) {
    self.reason = "\(reason)"
    self.needsReauth = needsReauth
    self.nextTryAt = nextTryAt
  }
}

/// The journal and the state of refreshes, over one connection to tokens.sqlite.
public struct RefreshLedger {
  private let database: Connection

  /// The ledger behind `database`, which has tokens.sqlite open.
  public init(_ database: Connection) {
    precondition(database.file.kind == .tokens)
    self.database = database
  }

  /// The state of a connection, nil while nothing was written.
  public func state(of connection: String) throws(DatabaseError) -> RefreshState? {
    try database.first(
      """
      SELECT generation, refreshed_at, refresh_expires_at, needs_reauth_at, failures, next_try_at
      FROM refresh_state WHERE connection_id = ?
      """, .text(connection)
    ) { (row) throws(DatabaseError) in
      RefreshState(
        generation: UInt64(bitPattern: try row.integer(0)),
        refreshedAt: try row.optionalInteger(1).map { UnixTime(seconds: $0) },
        refreshExpiresAt: try row.optionalInteger(2).map { UnixTime(seconds: $0) },
        needsReauthAt: try row.optionalInteger(3).map { UnixTime(seconds: $0) },
        failures: Int(clamping: try row.integer(4)),
        nextTryAt: try row.optionalInteger(5).map { UnixTime(seconds: $0) })
    }
  }

  /// Writes the intent to send the refresh token of `generation`; gives the number of this attempt.
  /// More than 1 says that earlier answers may have been lost.
  /// - Throws: `generationMoved` when the store does not hold that generation.
  public func begin(
    _ connection: String, generation: UInt64, atMilliseconds now: Int64
  ) throws(TokenStoreError) -> Int {
    let attempt: Int64?
    do throws(DatabaseError) {
      attempt = try database.first(
        """
        INSERT INTO refresh_journal (connection_id, generation, attempt, started_at_ms)
        SELECT connection_id, generation, 1, ?3 FROM token_blobs
        WHERE connection_id = ?1 AND generation = ?2
        ON CONFLICT (connection_id) DO UPDATE SET
          attempt = CASE WHEN generation = excluded.generation THEN attempt + 1 ELSE 1 END,
          generation = excluded.generation, started_at_ms = excluded.started_at_ms
        RETURNING attempt
        """, .text(connection), .integer(Int64(bitPattern: generation)), .integer(now)
      ) { (row) throws(DatabaseError) in try row.integer(0) }
    } catch { throw .database(error) }
    guard let attempt else { throw .generationMoved }
    return Int(clamping: attempt)
  }

  /// Stores the next generation and closes the intent.
  /// - Throws: `generationMoved` when the stored generation is not the one before or the blob is
  ///   gone; nothing is written then but the end of the intent.
  public func commit(
    _ blob: TokenBlob, of connection: String, refreshExpiresAt: UnixTime?, at now: UnixTime
  ) throws(TokenStoreError) {
    let moved = try database.transaction { () throws(TokenStoreError) -> Bool in
      try close(connection, generation: blob.generation - 1)
      do throws(TokenStoreError) {
        try TokenStore(database).replace(with: blob, of: connection, at: now)
      } catch .generationMoved { return true }
      do throws(DatabaseError) {
        try database.execute(
          """
          INSERT INTO refresh_state (connection_id, generation, refreshed_at, refresh_expires_at)
          VALUES (?, ?, ?, ?)
          ON CONFLICT (connection_id) DO UPDATE SET generation = excluded.generation,
            refreshed_at = excluded.refreshed_at,
            refresh_expires_at = excluded.refresh_expires_at,
            needs_reauth_at = NULL, failure = NULL, failures = 0, next_try_at = NULL,
            warned_at = CASE WHEN refresh_expires_at IS excluded.refresh_expires_at
              THEN warned_at END
          """, .text(connection), .integer(Int64(bitPattern: blob.generation)),
          .integer(now.seconds), .optional(refreshExpiresAt?.seconds))
      } catch { throw .database(error) }
      return false
    }
    if moved { throw .generationMoved }
  }

  /// Writes down why the exchange of `generation` brought nothing and closes the intent. A state of
  /// another generation, or of a blob that is gone, is not written.
  public func fail(
    _ connection: String, generation: UInt64, _ failure: RefreshFailure, at now: UnixTime
  ) throws(TokenStoreError) {
    try database.transaction { () throws(TokenStoreError) in
      try close(connection, generation: generation)
      do throws(DatabaseError) {
        try database.execute(
          """
          INSERT INTO refresh_state (connection_id, generation, needs_reauth_at, failure, failures,
            next_try_at)
          SELECT connection_id, generation, ?3, ?4, 1, ?5 FROM token_blobs
          WHERE connection_id = ?1 AND generation = ?2
          ON CONFLICT (connection_id) DO UPDATE SET
            needs_reauth_at = CASE WHEN generation = excluded.generation
              THEN ifnull(needs_reauth_at, excluded.needs_reauth_at)
              ELSE excluded.needs_reauth_at END,
            failures = CASE WHEN generation = excluded.generation THEN failures + 1 ELSE 1 END,
            generation = excluded.generation, failure = excluded.failure,
            next_try_at = excluded.next_try_at
          """, .text(connection), .integer(Int64(bitPattern: generation)),
          failure.needsReauth ? .integer(now.seconds) : .null, .text(failure.reason),
          .optional(failure.nextTryAt?.seconds))
      } catch { throw .database(error) }
    }
  }

  /// Intents that are open now: how many, and those of a generation that moved are closed.
  public func openIntents() throws(TokenStoreError) -> Int64 {
    try database.transaction { () throws(TokenStoreError) in
      do throws(DatabaseError) {
        try database.execute(
          """
          DELETE FROM refresh_journal WHERE NOT EXISTS (SELECT 1 FROM token_blobs AS b
            WHERE b.connection_id = refresh_journal.connection_id
              AND b.generation = refresh_journal.generation)
          """)
        return try database.first("SELECT count(*) FROM refresh_journal") {
          (row) throws(DatabaseError) in try row.integer(0)
        } ?? 0
      } catch { throw .database(error) }
    }
  }

  /// How the tokens of a connection stand now, read without them; nil when it has none.
  public func standing(of connection: String) throws(DatabaseError) -> TokenStanding? {
    try database.first(
      """
      SELECT b.generation, b.expires_at, b.updated_at, s.needs_reauth_at IS NOT NULL,
        s.next_try_at, j.generation IS NOT NULL
      FROM token_blobs AS b
        LEFT JOIN refresh_state AS s
          ON s.connection_id = b.connection_id AND s.generation = b.generation
        LEFT JOIN refresh_journal AS j
          ON j.connection_id = b.connection_id AND j.generation = b.generation
      WHERE b.connection_id = ?
      """, .text(connection)
    ) { (row) throws(DatabaseError) in
      TokenStanding(
        generation: UInt64(bitPattern: try row.integer(0)),
        expiresAt: try row.optionalInteger(1).map { UnixTime(seconds: $0) },
        writtenAt: UnixTime(seconds: try row.integer(2)),
        needsReauth: try row.integer(3) == 1,
        nextTryAt: try row.optionalInteger(4).map { UnixTime(seconds: $0) },
        isOpen: try row.integer(5) == 1)
    }
  }

  private func close(_ connection: String, generation: UInt64) throws(TokenStoreError) {
    do throws(DatabaseError) {
      try database.execute(
        "DELETE FROM refresh_journal WHERE connection_id = ? AND generation <= ?",
        .text(connection), .integer(Int64(bitPattern: generation)))
    } catch { throw .database(error) }
  }
}
