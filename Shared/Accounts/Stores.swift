// What services ask of the records, whichever engine keeps them. No service knows SQL; a second
// engine implements these protocols. Every operation is one transaction of its own and takes the
// time as an argument.

import Clocks

/// A password as it is stored: scrypt with its parameters.
public struct StoredPassword: Sendable, Equatable {
  public let costN: UInt64
  public let costR: UInt64
  public let costP: UInt64
  public let salt: [UInt8]
  public let hash: [UInt8]

  public init(costN: UInt64, costR: UInt64, costP: UInt64, salt: [UInt8], hash: [UInt8]) {
    self.costN = costN
    self.costR = costR
    self.costP = costP
    self.salt = salt
    self.hash = hash
  }
}

/// The life of what a person forgot.
public enum ResetLife {
  /// From asking for a new password until it must be set.
  public static let secondsMax: Int64 = 3600
}

/// People with accounts.
public protocol UserStore: Sendable {
  /// Adds a person and a first session.
  /// - Throws: `emailTaken`, `usersMaxReached`.
  func addUser(
    email: EmailAddress, password: StoredPassword, usersMax: Int64?, now: UnixTime
  ) async throws(AccountError) -> (user: User, tokens: SessionTokens)
  /// The person who signs in with this address, and their password.
  func user(
    email: EmailAddress
  ) async throws(AccountError) -> (user: User, password: StoredPassword)?
  /// The person; `notFound` when there is none.
  func user(_ id: UserID) async throws(AccountError) -> User
  /// A person and their password; nil when there is none.
  func password(
    of user: UserID
  ) async throws(AccountError) -> (user: User, password: StoredPassword)?
  /// Begins a session of somebody whose password was found right, unless it changed since it was
  /// read: nil then. `upgrade` takes its place.
  func signIn(
    _ user: UserID, password: StoredPassword, upgrade: StoredPassword?, now: UnixTime
  ) async throws(AccountError) -> SessionTokens?
  /// Notes that somebody did not know the password, of an account or of none.
  func noteFailedSignIn(of user: UserID?, now: UnixTime) async throws(AccountError)
  /// Writes down that somebody asked for a new password.
  func askForReset(of user: UserID, now: UnixTime) async throws(AccountError)
  /// Who asked for a new password, and until when they may set it; nil when nobody did lately.
  func resetAsked(
    of user: UserID, now: UnixTime
  ) async throws(AccountError) -> (password: StoredPassword, until: UnixTime)?
  /// Replaces a password that its owner forgot, and ends their sign-ins and what those began; false
  /// when it changed since `old` was read.
  func resetPassword(
    of user: UserID, old: StoredPassword, new: StoredPassword, now: UnixTime
  ) async throws(AccountError) -> Bool
}

/// Sign-ins.
public protocol SessionStore: Sendable {
  /// Begins a session of `user` that ends after so many seconds.
  func openSession(
    of user: UserID, seconds: Int64, now: UnixTime
  ) async throws(AccountError) -> SessionTokens
  /// Who shows this cookie; nil for nobody.
  func session(
    cookie: String, now: UnixTime
  ) async throws(AccountError) -> (user: User, session: SessionID)?
  /// Whose session this is, while it lasts.
  func session(_ id: SessionID, now: UnixTime) async throws(AccountError) -> User?
  /// Rotates a refresh token. Showing an outlived token ends its session.
  func refreshSession(
    _ refreshToken: String, now: UnixTime
  ) async throws(AccountError) -> (user: User, session: SessionID, refreshToken: String)?
  /// Ends a session.
  func closeSession(_ id: SessionID, now: UnixTime) async throws(AccountError)
}

/// Connections and their credentials. Every call names the owner; someone else's is `notFound`.
public protocol ConnectionStore: Sendable {
  /// Adds a connection together with its first credential. An empty label becomes
  /// "{serviceName} {n}". Returns the record as it was written.
  /// - Parameter space: the space that it comes into; nil for none.
  func addConnection(
    _ connection: ConnectionRecord, serviceName: String, managedWrap: ManagedWrap?,
    credential: NewCredential, into space: SpaceID?
  ) async throws(AccountError) -> ConnectionRecord
  /// Adds a connection that its owner claims later. One that it replaces gives it its label, its
  /// networks and its place in the list, and ends in the same moment; it does not count against
  /// the limit.
  /// - Throws: `tooMany`, `notFound` when the connection to replace is gone.
  func addConnection(
    _ connection: ConnectionRecord, serviceName: String, managedWrap: ManagedWrap?,
    credential: NewCredential, claim: NewClaim, replacing: ConnectionID?
  ) async throws(AccountError) -> (connection: ConnectionRecord, replaced: Parting?)
  /// The person's connections, oldest first.
  func connections(of user: UserID) async throws(AccountError) -> [ConnectionRecord]
  /// One connection.
  func connection(
    _ id: ConnectionID, of user: UserID
  ) async throws(AccountError) -> ConnectionRecord
  /// Changes the label, the networks, or both.
  func changeConnection(
    _ id: ConnectionID, of user: UserID, label: String?, networks: NetworkPolicy??, now: UnixTime
  ) async throws(AccountError) -> ConnectionRecord
  /// Makes a connection managed, with this wrap, or zero-knowledge, without one.
  func changeMode(
    of id: ConnectionID, user: UserID, managedWrap: ManagedWrap?, now: UnixTime
  ) async throws(AccountError) -> ConnectionRecord
  /// Ends a connection and all its credentials, and destroys every wrap of its data key, but for
  /// what telling the provider takes.
  func revokeConnection(
    _ id: ConnectionID, of user: UserID, now: UnixTime
  ) async throws(AccountError) -> Parting
  /// The data key's wrap under a master key; nil for a zero-knowledge connection.
  func managedWrap(
    _ id: ConnectionID, of user: UserID
  ) async throws(AccountError) -> ManagedWrap?

  /// The live credentials of a connection, oldest first.
  func credentials(
    of connection: ConnectionID, user: UserID
  ) async throws(AccountError) -> [CredentialRecord]
  /// The wrap that a live, unexpired credential of this connection opens.
  func credentialWrap(
    lookup: [UInt8], of connection: ConnectionID, user: UserID, now: UnixTime
  ) async throws(AccountError) -> (id: CredentialID, wrap: [UInt8])?
  /// Adds a credential to a live connection.
  func addCredential(
    _ credential: NewCredential, user: UserID
  ) async throws(AccountError)
  /// Ends one credential and destroys its wrap.
  func revokeCredential(
    _ id: CredentialID, of connection: ConnectionID, user: UserID, now: UnixTime
  ) async throws(AccountError)

  /// The newest requests of a connection, newest first.
  func activity(
    of connection: ConnectionID, user: UserID, countMax: Int64
  ) async throws(AccountError) -> [ActivityRecord]
}

extension ConnectionStore {
  /// Adds a connection that comes into no space.
  public func addConnection(
    _ connection: ConnectionRecord, serviceName: String, managedWrap: ManagedWrap?,
    credential: NewCredential
  ) async throws(AccountError) -> ConnectionRecord {
    try await addConnection(
      connection, serviceName: serviceName, managedWrap: managedWrap, credential: credential,
      into: nil)
  }
}
