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

  /// Up to `limit` revoked managed connections, longest waiting first, whose providers are to be
  /// told and whose data keys auth can unwrap.
  public static func managedConnections(
    in database: Connection, limit: Int
  ) throws(AccountError) -> [ConnectionID] {
    try database.every(
      """
      SELECT connection_id FROM upstream_revocations
      WHERE state = 'pending' AND managed_wrap IS NOT NULL ORDER BY requested_at LIMIT ?
      """, [.integer(Int64(limit))]
    ) { (row) throws(AccountError) in try RowReading.identifier(row, 0) }
  }
}
