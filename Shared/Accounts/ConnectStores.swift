// What connecting by OAuth asks of the records, whichever engine keeps them: authorizations under
// way, claims of fresh credentials, our clients at authorization servers, and what is kept of a
// connection until its provider was told that it ended. Nothing here opens a seal.

import Clocks
import Vault

/// How long things wait for a person.
public enum ConnectLife {
  /// From sending a person to a provider until they are back.
  public static let authorizationSecondsMax: Int64 = 600
  /// From making a credential until its owner picks it up.
  public static let claimSecondsMax: Int64 = 300
  /// How long a revoked connection's tokens may wait for being revoked at their provider.
  public static let partingSecondsMax: Int64 = 30 * 86_400
  /// Authorizations of one person that may be under way.
  public static let authorizationsMax: Int64 = 100
}

/// What finds an authorization under way: the state, and the cookie of the browser it began in.
public struct AuthorizationKey: Sendable, Equatable {
  public let state: Digest256
  public let browser: Digest256

  /// The hashes of both.
  public init(state: Digest256, browser: Digest256) {
    self.state = state
    self.browser = browser
  }
}

/// An authorization that waits for a person to come back from a provider.
public struct PendingAuthorization: Sendable, Equatable {
  public let userID: UserID
  public let service: String
  public let keyStorageMode: KeyStorageMode
  /// The connection that ends when the new one stands.
  public let replaces: ConnectionID?
  /// The page that the person comes back to.
  public let returnTo: String
  /// What only the state opens.
  public let sealed: [UInt8]

  public init(
    userID: UserID, service: String, keyStorageMode: KeyStorageMode, replaces: ConnectionID?,
    returnTo: String, sealed: [UInt8]
  ) {
    self.userID = userID
    self.service = service
    self.keyStorageMode = keyStorageMode
    self.replaces = replaces
    self.returnTo = returnTo
    self.sealed = sealed
  }
}

/// A fresh credential that waits for its owner.
public struct NewClaim: Sendable, Equatable {
  public let token: Digest256
  /// What only the claim token opens.
  public let sealed: [UInt8]

  public init(token: Digest256, sealed: [UInt8]) {
    self.token = token
    self.sealed = sealed
  }
}

/// Authorizations under way and the claims that they end in.
public protocol AuthorizationStore: Sendable {
  /// Keeps an authorization.
  /// - Throws: `tooMany` when the person has as many under way as one may have.
  func addAuthorization(
    _ pending: PendingAuthorization, key: AuthorizationKey, now: UnixTime
  ) async throws(AccountError)
  /// Takes an authorization away: once, in time, and for the browser that it began in; else nil.
  func takeAuthorization(
    _ key: AuthorizationKey, now: UnixTime
  ) async throws(AccountError) -> PendingAuthorization?
  /// Takes a claim away, once and in time.
  /// - Throws: `notOwner`, and the claim stays; `notFound`.
  func takeClaim(
    _ token: Digest256, of user: UserID, now: UnixTime
  ) async throws(AccountError) -> (connection: ConnectionRecord, sealed: [UInt8])
  /// Deletes what waited too long, and gives up telling providers after `partingSecondsMax`.
  func forgetExpired(now: UnixTime) async throws(AccountError)
}

/// What a client at an authorization server is registered under.
public struct RegistrationPlace: Sendable, Hashable {
  public let issuer: String
  public let redirectURI: String

  public init(issuer: String, redirectURI: String) {
    self.issuer = issuer
    self.redirectURI = redirectURI
  }
}

/// Our client at an authorization server, as it is stored.
public struct StoredRegistration: Sendable, Equatable {
  public let clientID: String
  /// `none`, `basic` or `post`.
  public let authentication: String
  /// The client's secret, sealed under a master key.
  public let secret: ManagedWrap?
  public let managementURI: String?
  public let expiresAt: UnixTime?

  public init(
    clientID: String, authentication: String, secret: ManagedWrap?, managementURI: String?,
    expiresAt: UnixTime?
  ) {
    self.clientID = clientID
    self.authentication = authentication
    self.secret = secret
    self.managementURI = managementURI
    self.expiresAt = expiresAt
  }
}

/// Our clients at authorization servers.
public protocol RegistrationStore: Sendable {
  /// The client at `place`, or nil.
  func registration(at place: RegistrationPlace) async throws(AccountError) -> StoredRegistration?
  /// Keeps a client, in place of an earlier one.
  func keepRegistration(
    _ registration: StoredRegistration, at place: RegistrationPlace, now: UnixTime
  ) async throws(AccountError)
  /// Forgets a client that its server does not know any more; a later one stays.
  func dropRegistration(
    of clientID: String, at place: RegistrationPlace
  ) async throws(AccountError)
}

/// How a connection that ended is parted from its provider.
public enum Parting: Sendable, Equatable {
  /// There is nobody to tell, or no way: its tokens may be destroyed at once.
  case silent
  /// The provider is to be told; a managed connection's wrap was kept for it.
  case pending(ManagedWrap?)
}

/// How far the revocation at a provider is.
public enum PartingState: String, Sendable {
  case pending, revoked, unsupported
}

/// What is kept of ended connections until their providers were told.
public protocol PartingStore: Sendable {
  /// The wrap under a master key of a managed connection that is alive, or that ended and waits
  /// for its provider to be told; and whose it is.
  func openableWrap(
    of connection: ConnectionID
  ) async throws(AccountError) -> (owner: UserID, wrap: ManagedWrap)?
  /// What is left of the grant that a refresh token belonged to, by its family; nil when nothing is.
  func partedGrant(family: Digest256) async throws(AccountError) -> PartedGrant?
  /// The provider was told, or cannot be: forgets the wraps. `pending` changes nothing.
  func settleParting(
    of connection: ConnectionID, as state: PartingState, now: UnixTime
  ) async throws(AccountError)
}
