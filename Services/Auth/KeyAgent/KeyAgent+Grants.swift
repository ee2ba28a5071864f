// Carries a connection's data key along a grant: from what the person shows at consent under the
// code, from the code under the first refresh token, from each refresh token under the next, and each
// time under an access token. The key is in the clear for the length of one call, and what is stored
// opens with what the client holds alone.

import Accounts
import Bytes
import Clocks
import JOSE
import Vault

extension KeyAgent {
  /// A code and what is stored of it.
  struct NewCode: Sendable {
    let text: String
    let hash: Digest256
    let wrap: [UInt8]
  }

  /// A code under which the data key that `source` opens is sealed.
  func makeCode(
    from source: Source, grant: GrantID, connection: ConnectionID, owner: UserID
  ) throws(Refusal) -> NewCode {
    let engine = SealEngine()
    let key = try open(source, connection, owner, engine)
    let secret = CredentialSecret.random()
    let wrap = engine.wrap(
      key, under: secret,
      context: .codeWrap(grant: grant.text, connection: connection.text, owner: owner.text))
    return NewCode(text: secret.makeText(), hash: secret.lookup, wrap: wrap)
  }

  /// What a client gets for a code or a refresh token, and what is stored of it.
  struct Issued: Sendable {
    let accessToken: String
    let access: AccessTokenRecord
    let refreshToken: String
    /// Nil when the stored one stays.
    let refresh: RefreshRecord?
  }

  /// The first tokens of a grant, from its code; nil when the code does not open.
  func exchange(
    _ code: borrowing CredentialSecret, wrap: [UInt8], of grant: GrantRecord,
    minting mint: AccessTokenMint, now: UnixTime
  ) -> Issued? {
    let engine = SealEngine()
    let place = SealContext.codeWrap(
      grant: grant.id.text, connection: grant.connectionID.text, owner: grant.userID.text)
    guard let key = try? engine.unwrap(PlacedValue(wrap, at: place), with: code) else { return nil }
    let refresh = GrantRefreshToken.random()
    let record = RefreshRecord(
      family: refresh.familyHash, current: refresh.secret.lookup, previous: nil,
      salt: Randomness.bytes(count: 32),
      wrap: engine.wrap(key, under: refresh.secret, context: grant.refreshPlace), rotatedAt: now)
    let access = mint.make(for: grant, key, engine, now: now)
    return Issued(
      accessToken: access.text, access: access.record, refreshToken: refresh.makeText(),
      refresh: record)
  }

  /// The next tokens of a grant, from its current refresh token; nil when it does not open.
  func rotate(
    _ shown: borrowing GrantRefreshToken, _ stored: RefreshRecord, of grant: GrantRecord,
    minting mint: AccessTokenMint, now: UnixTime
  ) -> Issued? {
    let engine = SealEngine()
    let held = PlacedValue(stored.wrap, at: grant.refreshPlace)
    guard let key = try? engine.unwrap(held, with: shown.secret) else { return nil }
    let salt = Randomness.bytes(count: 32)
    let next = shown.successor(salt: salt)
    let record = RefreshRecord(
      family: stored.family, current: next.secret.lookup, previous: stored.current, salt: salt,
      wrap: engine.wrap(key, under: next.secret, context: grant.refreshPlace), rotatedAt: now)
    let access = mint.make(for: grant, key, engine, now: now)
    return Issued(
      accessToken: access.text, access: access.record, refreshToken: next.makeText(),
      refresh: record)
  }

  /// The successor of the previous refresh token once more, with a fresh access token; nil when it
  /// does not open.
  func repeatRotation(
    _ shown: borrowing GrantRefreshToken, _ stored: RefreshRecord, of grant: GrantRecord,
    minting mint: AccessTokenMint, now: UnixTime
  ) -> Issued? {
    let engine = SealEngine()
    let next = shown.successor(salt: stored.salt)
    let held = PlacedValue(stored.wrap, at: grant.refreshPlace)
    guard let key = try? engine.unwrap(held, with: next.secret) else { return nil }
    let access = mint.make(for: grant, key, engine, now: now)
    return Issued(
      accessToken: access.text, access: access.record, refreshToken: next.makeText(),
      refresh: nil)
  }
}

extension KeyAgent {
  /// The data key of a connection that ended, as text, for telling its provider; nil when `shown` is
  /// not the refresh token that opens it.
  func revealDataKey(_ parted: PartedGrant, to shown: borrowing GrantRefreshToken) -> String? {
    let place = SealContext.refreshWrap(
      grant: parted.grantID.text, connection: parted.connectionID.text, owner: parted.ownerID.text)
    guard shown.secret.lookup == parted.current else { return nil }
    return try? SealEngine().unwrap(PlacedValue(parted.wrap, at: place), with: shown.secret)
      .base64URL
  }
}

extension GrantRecord {
  fileprivate var refreshPlace: SealContext {
    .refreshWrap(grant: id.text, connection: connectionID.text, owner: userID.text)
  }
}

/// Writes access tokens (RFC 9068).
struct AccessTokenMint: Sendable {
  let keys: CurrentSigningKeys
  let issuer: String

  fileprivate func make(
    for grant: GrantRecord, _ key: borrowing DataKey, _ engine: SealEngine, now: UnixTime
  ) -> (text: String, record: AccessTokenRecord) {
    let end = min(now.seconds + GrantLife.accessSecondsMax, grant.expiresAt.seconds)
    let expiry = UnixTime(seconds: end)
    var text = keys.value.sign(
      Claims(
        issuer: issuer, subject: grant.userID.text, audience: grant.resource, issuedAt: now,
        expiry: expiry, session: grant.id.text,
        access: .init(clientID: grant.clientID, scope: grant.scope)), type: .access)
    var record: AccessTokenRecord?
    text.withUTF8 {
      let secret = CredentialSecret(
        accessToken: UnsafeRawBufferPointer($0), hashing: engine.hashing)
      let wrap = engine.wrap(
        key, under: secret,
        context: .accessTokenWrap(
          grant: grant.id.text, connection: grant.connectionID.text, owner: grant.userID.text))
      record = AccessTokenRecord(lookup: secret.lookup, wrap: wrap, expiresAt: expiry)
    }
    guard let record else { preconditionFailure("the closure runs once") }
    return (text, record)
  }
}
