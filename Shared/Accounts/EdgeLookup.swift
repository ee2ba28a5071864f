// Answers the edge's one question: what does this credential open? A point read through prepared
// statements, on the calling thread. Revoked and unknown are the same answer. No Foundation, no
// JSON, no write; nothing here opens a seal.

import Clocks
import Database
import JOSE
import Posix
import Vault

/// What a client may show to use a connection.
public enum EdgeCredentialKind: Sendable {
  /// A secret URL or API key.
  case secret
  /// An access token of a grant.
  case accessToken
}

/// What the edge needs to know about a credential that it was shown.
public struct EdgeCredential: Sendable {
  public let kind: EdgeCredentialKind
  /// Of an access token its grant, under which its use is noted.
  public let credentialID: CredentialID
  public let connectionID: ConnectionID
  public let ownerID: UserID
  public let service: String
  /// Whether its tokens came by OAuth and may be renewed.
  public let isOAuth: Bool
  /// Never `revoked`: that is no answer at all.
  public let status: ConnectionStatus
  /// Whether the provider wants the person's consent anew.
  public let needsReauth: Bool
  /// The data key, sealed under the credential's second half.
  public let wrap: [UInt8]
  /// From where the connection may be used; nil for anywhere.
  public let connectionNetworks: NetworkPolicy?
  /// From where the credential may be used; nil for anywhere.
  public let credentialNetworks: NetworkPolicy?
  /// The only tools it may call; nil for all.
  public let tools: [String]?
  /// When the credential ends; compare on every request.
  public let expiresAt: UnixTime?
  /// From when on its owner's plan allows nothing; nil: the clock ends nothing. Compare on every
  /// request, when there are plans.
  public let planEndsAt: UnixTime?
  /// Which record this is of; see `RevocationEpochs.isCurrent`.
  public let mark: EpochMark

  /// Whether a caller at `address` may use it.
  public func admits(_ address: IPAddress) -> Bool {
    connectionNetworks?.admits(address) ?? true && credentialNetworks?.admits(address) ?? true
  }
}

/// Point reads for the edge. One instance for each event loop: it belongs to the thread that made
/// its connection.
public final class EdgeLookup {
  /// Bytes of the lookup value, SHA-256 of a credential's first half.
  public static let lookupBytes = 32

  let connection: Connection
  let epochs: RevocationEpochs
  let meaning: Meaning

  /// What stored values stand for here.
  struct Meaning {
    let named: NamedNetworks
    let hasPlans: Bool
  }

  /// Reads through `connection`, opened read-only on the calling thread.
  /// - Parameters:
  ///   - named: what the names in network policies stand for.
  ///   - hasPlans: whether plans end anything.
  public init(
    _ connection: Connection, epochs: RevocationEpochs, named: NamedNetworks = .standard,
    hasPlans: Bool = false
  ) {
    self.connection = connection
    self.epochs = epochs
    meaning = Meaning(named: named, hasPlans: hasPlans)
  }

  /// The live credential of a kind with this lookup value, nil when there is none.
  /// - Parameter lookup: 32 bytes.
  public func find(
    _ lookup: UnsafeRawBufferPointer, _ kind: EdgeCredentialKind = .secret
  ) throws(AccountError) -> EdgeCredential? {
    precondition(lookup.count == Self.lookupBytes)
    let found = try epochs.marking { () throws(AccountError) -> (Fields, ConnectionID)? in
      guard let fields = try read(lookup, kind) else { return nil }
      return (fields, fields.connectionID)
    }
    guard let found else { return nil }
    return found.value.credential(kind, wrap: found.value.wrap, mark: found.mark)
  }

  /// The public signing key with this name, nil when auth has none.
  public func signingKey(_ id: String) throws(AccountError) -> P256.PublicKey? {
    let found = try connection.one("SELECT x, y FROM signing_keys WHERE key_id = ?", [.text(id)]) {
      (row) throws(AccountError) in (try RowReading.blob(row, 0), try RowReading.blob(row, 1))
    }
    guard let (x, y) = found else { return nil }
    do throws(JOSEError) { return try P256.PublicKey(x: x, y: y) } catch {
      throw .recordMalformed
    }
  }

  /// What is left of a credential whose connection was revoked before its provider was told.
  public func parted(_ lookup: Digest256) throws(AccountError) -> PartedCredential? {
    try PartedCredential.find(lookup, in: connection)
  }

  /// Whether `credential`, found earlier, still stands: one load, or a read when that says so.
  public func stillStands(
    _ credential: EdgeCredential, lookup: UnsafeRawBufferPointer
  ) throws(AccountError) -> Bool {
    epochs.isCurrent(credential.mark) ? true : try read(lookup, credential.kind) != nil
  }

  private func read(
    _ lookup: UnsafeRawBufferPointer, _ kind: EdgeCredentialKind
  ) throws(AccountError) -> Fields? {
    switch kind {
    case .secret: try readSecret(lookup)
    case .accessToken: try readAccessToken(lookup)
    }
  }

  private func readAccessToken(
    _ lookup: UnsafeRawBufferPointer
  ) throws(AccountError) -> Fields? {
    try connection.withStatement(
      """
      SELECT g.id, k.id, k.user_id, k.service, k.status, k.needs_reauth_at, t.wrap, k.networks,
        NULL, NULL, t.expires_at, k.auth_type, p.ends_at, b.caught_up_at
      FROM oauth_access_tokens AS t JOIN oauth_grants AS g ON g.id = t.grant_id
      JOIN connections AS k ON k.id = g.connection_id
      LEFT JOIN plans AS p ON p.user_id = k.user_id LEFT JOIN billing_contact AS b
      WHERE t.lookup = ? AND k.revoked_at IS NULL
      """
    ) { (statement) throws(AccountError) -> Fields? in
      try fields(statement, lookup)
    }
  }

  private func readSecret(_ lookup: UnsafeRawBufferPointer) throws(AccountError) -> Fields? {
    try connection.withStatement(
      """
      SELECT c.id, k.id, k.user_id, k.service, k.status, k.needs_reauth_at, c.wrap, k.networks,
        c.networks, c.tools, c.expires_at, k.auth_type, p.ends_at, b.caught_up_at
      FROM credentials AS c JOIN connections AS k ON k.id = c.connection_id
      LEFT JOIN plans AS p ON p.user_id = k.user_id LEFT JOIN billing_contact AS b
      WHERE c.lookup = ? AND c.revoked_at IS NULL AND k.revoked_at IS NULL
      """
    ) { (statement) throws(AccountError) -> Fields? in
      try fields(statement, lookup)
    }
  }

  private func fields(
    _ statement: Statement, _ lookup: UnsafeRawBufferPointer
  ) throws(AccountError) -> Fields? {
    do throws(DatabaseError) {
      try statement.bind(1, borrowing: lookup)
      guard try statement.step() else { return nil }
    } catch { throw .database(error) }
    return try Fields(statement.row, meaning)
  }

  /// One row, checked.
  struct Fields {
    let credentialID: CredentialID
    let connectionID: ConnectionID
    let ownerID: UserID
    let service: String
    let isOAuth: Bool
    let status: ConnectionStatus
    let needsReauth: Bool
    let wrap: [UInt8]
    let connectionNetworks: NetworkPolicy?
    let credentialNetworks: NetworkPolicy?
    let tools: [String]?
    let expiresAt: UnixTime?
    let planEndsAt: UnixTime?

    init(_ row: borrowing Row, _ meaning: Meaning) throws(AccountError) {
      credentialID = try RowReading.identifier(row, 0)
      connectionID = try RowReading.identifier(row, 1)
      ownerID = try RowReading.identifier(row, 2)
      service = try RowReading.text(row, 3)
      status = try RowReading.status(row, 4)
      needsReauth = !row.isNull(5)
      wrap = try RowReading.blob(row, 6)
      connectionNetworks = try RowReading.networks(row, 7, named: meaning.named)
      credentialNetworks = try RowReading.networks(row, 8, named: meaning.named)
      tools = try RowReading.lines(row, 9)
      expiresAt = try RowReading.time(row, 10)
      isOAuth = try RowReading.text(row, 11) == AuthType.oauth.rawValue
      // What is remembered is read again long before billing's silence counts, so the last word as
      // it is now will do.
      let word = try RowReading.time(row, 13)
      let end = meaning.hasPlans ? try RowReading.time(row, 12) : nil
      planEndsAt = end.map { end in
        word.map { BillingContact.deferred(end, caughtUpAt: $0) } ?? end
      }
    }

    func credential(
      _ kind: EdgeCredentialKind, wrap: [UInt8], mark: EpochMark
    ) -> EdgeCredential {
      EdgeCredential(
        kind: kind, credentialID: credentialID, connectionID: connectionID, ownerID: ownerID,
        service: service, isOAuth: isOAuth, status: status, needsReauth: needsReauth, wrap: wrap,
        connectionNetworks: connectionNetworks, credentialNetworks: credentialNetworks,
        tools: tools, expiresAt: expiresAt, planEndsAt: planEndsAt, mark: mark)
    }
  }
}
