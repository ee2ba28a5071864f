// Which columns hold values sealed under a master key? All of them, and nowhere else: what rotates
// keys, counts rows by key and decides whether a key may go walks this list. A column that names a
// fingerprint and is not here fails a test. Each entry brings its statements, because a table's
// name is never put into SQL while running.

import Vault

/// A column of values under master keys, each beside the fingerprint of its key.
public enum MasterSealedColumn: String, CaseIterable, Sendable {
  /// The data keys of managed connections.
  case connectionWrap = "connections.managed_wrap"
  /// The same of connections that were revoked and whose provider is still to be told.
  case partedWrap = "upstream_revocations.managed_wrap"
  /// The secrets of our clients at authorization servers.
  case registrationSecret = "oauth_registrations.secret"

  /// Where the fingerprint is, as `table.column`.
  public var fingerprintColumn: String {
    switch self {
    case .connectionWrap: "connections.managed_fingerprint"
    case .partedWrap: "upstream_revocations.managed_fingerprint"
    case .registrationSecret: "oauth_registrations.secret_fingerprint"
    }
  }

  /// Gives fingerprint and count of rows, for each fingerprint there is.
  var counting: StaticString {
    switch self {
    case .connectionWrap:
      """
      SELECT managed_fingerprint, count(*) FROM connections
      WHERE managed_fingerprint IS NOT NULL GROUP BY managed_fingerprint LIMIT 256
      """
    case .partedWrap:
      """
      SELECT managed_fingerprint, count(*) FROM upstream_revocations
      WHERE managed_fingerprint IS NOT NULL GROUP BY managed_fingerprint LIMIT 256
      """
    case .registrationSecret:
      """
      SELECT secret_fingerprint, count(*) FROM oauth_registrations
      WHERE secret_fingerprint IS NOT NULL GROUP BY secret_fingerprint LIMIT 256
      """
    }
  }

  /// Takes a fingerprint, a place and a number of rows; gives `SealedRow`s behind the place.
  var paging: StaticString {
    switch self {
    case .connectionWrap:
      """
      SELECT rowid, id, user_id, managed_wrap FROM connections
      WHERE managed_fingerprint = ? AND rowid > ? ORDER BY rowid LIMIT ?
      """
    case .partedWrap:
      """
      SELECT rowid, connection_id, user_id, managed_wrap FROM upstream_revocations
      WHERE managed_fingerprint = ? AND rowid > ? ORDER BY rowid LIMIT ?
      """
    case .registrationSecret:
      """
      SELECT rowid, issuer, redirect_uri, secret FROM oauth_registrations
      WHERE secret_fingerprint = ? AND rowid > ? ORDER BY rowid LIMIT ?
      """
    }
  }

  /// Takes the new value, its fingerprint, place and id of the row, and the value that it must still
  /// have: a row that was revoked or written meanwhile is left as it is.
  var replacing: StaticString {
    switch self {
    case .connectionWrap:
      """
      UPDATE connections SET managed_wrap = ?, managed_fingerprint = ?
      WHERE rowid = ? AND id = ? AND managed_wrap = ?
      """
    case .partedWrap:
      """
      UPDATE upstream_revocations SET managed_wrap = ?, managed_fingerprint = ?
      WHERE rowid = ? AND connection_id = ? AND managed_wrap = ?
      """
    case .registrationSecret:
      """
      UPDATE oauth_registrations SET secret = ?, secret_fingerprint = ?
      WHERE rowid = ? AND issuer = ? AND secret = ?
      """
    }
  }

  /// Where the value of `row` belongs.
  public func context(of row: SealedRow) -> SealContext {
    switch self {
    case .connectionWrap, .partedWrap: .managedWrap(connection: row.id, owner: row.owner)
    case .registrationSecret: .registrationSecret(issuer: row.id, redirectURI: row.owner)
    }
  }
}

/// One value under a master key.
public struct SealedRow: Sendable, Equatable {
  /// Orders the rows of a column.
  public let place: Int64
  /// The connection's id, or the issuer of a registration.
  public let id: String
  /// The person's id, or the redirect URI of a registration.
  public let owner: String
  public let sealed: [UInt8]
}

/// How many rows of a column are under one key.
public struct SealedCount: Sendable, Equatable {
  public let column: MasterSealedColumn
  public let fingerprint: String
  public let count: Int64
}
