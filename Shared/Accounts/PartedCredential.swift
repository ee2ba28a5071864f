// Finds what is left of a credential whose connection was revoked before its provider could be told.
// Point reads over any connection to bindery.sqlite, for whoever is shown such a credential.

import Database
import Vault

/// A credential that opens nothing any more but the way to tell the provider.
public struct PartedCredential: Sendable, Equatable {
  public let connectionID: ConnectionID
  public let ownerID: UserID
  public let credentialID: CredentialID
  /// The data key, sealed under the credential's second half.
  public let wrap: [UInt8]

  /// The one with this lookup value (SHA-256 of the credential's first half), or nil.
  public static func find(
    _ lookup: Digest256, in database: Connection
  ) throws(AccountError) -> PartedCredential? {
    try database.one(
      """
      SELECT connection_id, user_id, credential_id, wrap FROM parted_wraps WHERE lookup = ?
      """, [.blob(lookup.bytes)]
    ) { (row) throws(AccountError) in
      PartedCredential(
        connectionID: try RowReading.identifier(row, 0), ownerID: try RowReading.identifier(row, 1),
        credentialID: try RowReading.identifier(row, 2), wrap: try RowReading.blob(row, 3))
    }
  }

  /// Whose a revoked connection was, and at which service, while its provider is to be told.
  public static func facts(
    of connection: String, in database: Connection
  ) throws(DatabaseError) -> (owner: String, service: String)? {
    try database.first(
      """
      SELECT user_id, service FROM upstream_revocations
      WHERE connection_id = ? AND state = 'pending'
      """, .text(connection)
    ) { (row) throws(DatabaseError) in (try row.text(0), try row.text(1)) }
  }

  /// Whether a revoked connection's provider was told, nil when nothing was to be told.
  public static func state(
    of connection: String, in database: Connection
  ) throws(DatabaseError) -> PartingState? {
    try database.first(
      "SELECT state FROM upstream_revocations WHERE connection_id = ?", .text(connection)
    ) { (row) throws(DatabaseError) in PartingState(rawValue: try row.text(0)) } ?? nil
  }
}

/// A revoked managed connection whose provider is to be told and whose data key auth can unwrap.
public struct PartedConnection: Sendable, Equatable {
  public let connection: ConnectionID
  public let service: String
  /// Where it stands among those that wait.
  public let place: Place

  /// Since when it waits, and the row.
  public struct Place: Sendable, Equatable {
    fileprivate let requestedAt: Int64
    fileprivate let row: Int64

    /// Before all.
    public static let start = Place(requestedAt: .min, row: .min)
  }

  /// Up to `limit` of them behind `place`, longest waiting first.
  public static func after(
    _ place: Place, limit: Int, in database: Connection
  ) throws(AccountError) -> [PartedConnection] {
    try database.every(
      """
      SELECT connection_id, service, requested_at, rowid FROM upstream_revocations
      WHERE state = 'pending' AND managed_wrap IS NOT NULL AND (requested_at, rowid) > (?, ?)
      ORDER BY requested_at, rowid LIMIT ?
      """, [.integer(place.requestedAt), .integer(place.row), .integer(Int64(limit))]
    ) { (row) throws(AccountError) in
      PartedConnection(
        connection: try RowReading.identifier(row, 0), service: try RowReading.text(row, 1),
        place: Place(
          requestedAt: try RowReading.integer(row, 2), row: try RowReading.integer(row, 3)))
    }
  }
}
