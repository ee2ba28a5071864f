// What the authorization server asks of the records. Every change that must happen once names what it
// was decided on, and says whether it was still so: of two that come together one wins.

import Clocks
import JOSE
import Vault

/// Clients that registered themselves.
public protocol OAuthClientStore: Sendable {
  /// Keeps a client for `idleClientSeconds`, and forgets those that nobody uses.
  /// - Throws: `tooMany`.
  func addClient(_ client: StoredClient, now: UnixTime) async throws(AccountError)
  /// The client with this id, or nil.
  func client(_ id: String, now: UnixTime) async throws(AccountError) -> StoredClient?
}

/// What people granted to clients.
public protocol GrantStore: Sendable {
  /// Keeps a grant that waits for its code to be exchanged.
  /// - Throws: `notFound` when the connection is not the person's, `tooMany`.
  func addGrant(_ grant: GrantRecord, code: CodeRecord, now: UnixTime) async throws(AccountError)
  /// The grant with this code, exchanged or not; nil when it has ended.
  func grant(
    code: Digest256, now: UnixTime
  ) async throws(AccountError) -> (grant: GrantRecord, code: CodeRecord)?
  /// Exchanges a code; false when it was exchanged before, and nothing changed.
  func spendCode(
    of grant: GrantID, for refresh: RefreshRecord, access: AccessTokenRecord, now: UnixTime
  ) async throws(AccountError) -> Bool
  /// The grant that a refresh token belongs to, by its family.
  func grant(
    family: Digest256, now: UnixTime
  ) async throws(AccountError) -> (grant: GrantRecord, refresh: RefreshRecord)?
  /// Puts the next refresh token in the place of `old`; false when another did, and nothing changed.
  func rotate(
    _ grant: GrantID, from old: Digest256, to refresh: RefreshRecord, access: AccessTokenRecord,
    now: UnixTime
  ) async throws(AccountError) -> Bool
  /// Adds an access token while `current` is the refresh token; false when it is not.
  func addAccessToken(
    _ access: AccessTokenRecord, to grant: GrantID, while current: Digest256, now: UnixTime
  ) async throws(AccountError) -> Bool
  /// The grant of an access token that lives.
  func grant(
    accessToken: Digest256, now: UnixTime
  ) async throws(AccountError) -> (grant: GrantRecord, expiresAt: UnixTime)?
  /// Ends one access token.
  func removeAccessToken(_ lookup: Digest256) async throws(AccountError)
  /// Ends a grant with all its tokens; false when it had ended.
  func endGrant(
    _ grant: GrantID, because event: GrantEnd, now: UnixTime
  ) async throws(AccountError) -> Bool
  /// The grants of a connection that were taken up, oldest first.
  func grants(
    of connection: ConnectionID, user: UserID, now: UnixTime
  ) async throws(AccountError) -> [GrantRecord]
  /// Ends one grant of a connection.
  /// - Throws: `notFound`.
  func revokeGrant(
    _ grant: GrantID, of connection: ConnectionID, user: UserID, now: UnixTime
  ) async throws(AccountError)
  /// Forgets grants, codes, tokens and clients that have ended.
  func forgetEndedGrants(now: UnixTime) async throws(AccountError)
}

/// Why a grant ended.
public enum GrantEnd: Sendable {
  /// Its owner or its client wanted it.
  case revoked
  /// A wrong verifier, redirect address or resource was shown with its code.
  case codeMisused
  /// Its code was shown a second time.
  case codeReused
  /// An outlived refresh token was shown.
  case tokenReused
}

/// The public halves of the signing keys, for other processes.
public protocol SigningKeyStore: Sendable {
  /// Publishes these keys and forgets all others.
  func publishKeys(
    _ keys: [(keyID: String, key: P256.PublicKey)], now: UnixTime
  ) async throws(AccountError)
}
