// The rows of tokens.sqlite: one sealed blob a connection, with a generation that every write must
// name. Compare-and-swap keeps a slow writer (a key rotation, a second refresher) from putting an
// old refresh token back. Only sealed bytes pass through here; no key does.

import Clocks
import Database

/// A connection's sealed tokens as they are stored.
public struct TokenBlob: Sendable, Equatable {
  /// 1 for the first blob, one more with every write.
  public let generation: UInt64
  /// Sealed under the connection's data key, for this generation.
  public let sealed: [UInt8]
  /// When the access token ends; nil for one that does not.
  public let expiresAt: UnixTime?
  /// When it was written; nil for one that is not yet.
  public let updatedAt: UnixTime?

  /// A blob to store.
  public init(
    generation: UInt64, sealed: [UInt8], expiresAt: UnixTime?, updatedAt: UnixTime? = nil
  ) {
    self.generation = generation
    self.sealed = sealed
    self.expiresAt = expiresAt
    self.updatedAt = updatedAt
  }

  /// How long before its end an access token is renewed at most.
  public static let marginSecondsMax: Int64 = 300

  /// From when on the access token is to be renewed: the smaller of 300 s and a tenth of its life
  /// before its end; nil for one that does not end.
  public var dueAt: UnixTime? { Self.dueAt(expiresAt, writtenAt: updatedAt) }

  /// `dueAt` of tokens that end at `expiresAt` and were written at `writtenAt`.
  public static func dueAt(_ expiresAt: UnixTime?, writtenAt: UnixTime?) -> UnixTime? {
    guard let expiresAt else { return nil }
    let life = max(expiresAt.seconds - (writtenAt ?? expiresAt).seconds, 0)
    return expiresAt.advanced(bySeconds: -min(marginSecondsMax, life / 10))
  }
}

/// Why the token store did not do what it was asked.
public enum TokenStoreError: DatabaseErrorConvertible, Equatable, Sendable {
  /// Another write came first, or the row is gone; read it again.
  case generationMoved
  case database(DatabaseError)

  public init(_ error: DatabaseError) { self = .database(error) }
}

/// The token blobs of all connections, over one connection to tokens.sqlite.
public struct TokenStore {
  private let database: Connection

  /// The store behind `database`, which has tokens.sqlite open.
  public init(_ database: Connection) {
    precondition(database.file.kind == .tokens)
    self.database = database
  }

  /// The blob of a connection, or nil.
  public func blob(of connection: String) throws(DatabaseError) -> TokenBlob? {
    try database.first(
      "SELECT generation, sealed, expires_at, updated_at FROM token_blobs WHERE connection_id = ?",
      .text(connection)
    ) { (row) throws(DatabaseError) in
      TokenBlob(
        generation: UInt64(bitPattern: try row.integer(0)), sealed: try row.blob(1),
        expiresAt: try row.optionalInteger(2).map { UnixTime(seconds: $0) },
        updatedAt: UnixTime(seconds: try row.integer(3)))
    }
  }

  /// Lends generation, end and sealed bytes of a connection's blob without copying; nil when there
  /// is none.
  public func withBlob<Result, Failure: DatabaseErrorConvertible>(
    of connection: String,
    _ body: (_ generation: UInt64, _ expiresAt: UnixTime?, _ sealed: UnsafeRawBufferPointer)
      throws(Failure) -> Result
  ) throws(Failure) -> Result? {
    try database.withStatement(
      "SELECT generation, sealed, expires_at FROM token_blobs WHERE connection_id = ?"
    ) { (statement) throws(Failure) -> Result? in
      let generation: Int64
      let end: Int64?
      do throws(DatabaseError) {
        try statement.bind(1, .text(connection))
        guard try statement.step() else { return nil }
        generation = try statement.row.integer(0)
        end = try statement.row.optionalInteger(2)
      } catch {
        throw Failure(error)
      }
      return try statement.row.withBlob(1) { sealed throws(Failure) in
        try body(UInt64(bitPattern: generation), end.map { UnixTime(seconds: $0) }, sealed)
      }
    }
  }

  /// Stores the first blob of a connection, generation 1.
  /// - Throws: `generationMoved` when the connection has a blob already.
  public func insert(
    _ blob: TokenBlob, of connection: String, at now: UnixTime
  ) throws(TokenStoreError) {
    precondition(blob.generation == 1, "the first generation is 1")
    do {
      try database.execute(
        """
        INSERT INTO token_blobs (connection_id, generation, sealed, expires_at, updated_at)
        VALUES (?, 1, ?, ?, ?)
        """,
        .text(connection), .blob(blob.sealed), .optional(blob.expiresAt?.seconds),
        .integer(now.seconds))
    } catch .constraint(.unique) {
      throw .generationMoved
    } catch {
      throw .database(error)
    }
  }

  /// Replaces the blob of a connection by its next generation, if the stored one is the one before.
  /// - Throws: `generationMoved` when it is not; nothing is written then.
  public func replace(
    with blob: TokenBlob, of connection: String, at now: UnixTime
  ) throws(TokenStoreError) {
    precondition(blob.generation > 1, "a replacement follows a generation")
    do {
      try database.execute(
        """
        UPDATE token_blobs SET generation = ?, sealed = ?, expires_at = ?, updated_at = ?
        WHERE connection_id = ? AND generation = ?
        """,
        .integer(Int64(bitPattern: blob.generation)), .blob(blob.sealed),
        .optional(blob.expiresAt?.seconds), .integer(now.seconds), .text(connection),
        .integer(Int64(bitPattern: blob.generation) - 1))
    } catch {
      throw .database(error)
    }
    guard database.changes == 1 else { throw .generationMoved }
  }

  /// Deletes the blob of a connection, whatever its generation; false when there was none. The
  /// row's bytes are overwritten at once, those in the log within the checkpointer's cycle.
  @discardableResult
  public func shred(_ connection: String) throws(DatabaseError) -> Bool {
    try database.execute("DELETE FROM token_blobs WHERE connection_id = ?", .text(connection))
    let wasThere = database.changes == 1
    try database.execute("DELETE FROM refresh_journal WHERE connection_id = ?", .text(connection))
    try database.execute("DELETE FROM refresh_state WHERE connection_id = ?", .text(connection))
    return wasThere
  }

  /// Up to `limit` connections that have a blob, in order, after `last`: for the sweep of orphans.
  public func connections(
    after last: String, limit: Int
  ) throws(DatabaseError) -> [String] {
    try database.all(
      "SELECT connection_id FROM token_blobs WHERE connection_id > ? ORDER BY 1 LIMIT ?",
      .text(last), .integer(Int64(limit))
    ) { (row) throws(DatabaseError) in try row.text(0) }
  }
}
