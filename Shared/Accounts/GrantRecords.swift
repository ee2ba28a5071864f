// The records of MCP clients and of what people granted to them, as auth sees them. Hashes and sealed
// values travel with them; no code, token or key does.

import Clocks
import Vault

/// The lives of what the authorization server gives.
public enum GrantLife {
  /// From consent to the exchange of the code.
  public static let codeSecondsMax: Int64 = 60
  /// Of an access token.
  public static let accessSecondsMax: Int64 = 900
  /// The absolute end of a grant, however often it is refreshed.
  public static let secondsMax: Int64 = 90 * 86_400
  /// How long the previous refresh token gives the same successor again.
  public static let graceSecondsMax: Int64 = 60
  /// Grants of one connection.
  public static let grantsMax: Int64 = 200
  /// Access tokens of one grant that live at once; none makes room for another.
  public static let accessTokensMax: Int64 = 1000
  /// A registered client that nobody got a grant for.
  public static let idleClientSeconds: Int64 = 86_400
  /// A registered client since its last grant.
  public static let usedClientSeconds: Int64 = 100 * 86_400
  /// Registered clients in all.
  public static let clientsMax: Int64 = 20_000
}

/// A client that registered itself.
public struct StoredClient: Sendable, Equatable {
  /// How a client proves itself.
  public enum Authentication: String, Sendable {
    case none, basic, post
  }

  public let id: String
  public let name: String
  public let redirectURIs: [String]
  public let authentication: Authentication
  /// SHA-256 of its secret.
  public let secretHash: [UInt8]?

  public init(
    id: String, name: String, redirectURIs: [String], authentication: Authentication,
    secretHash: [UInt8]?
  ) {
    precondition((authentication == .none) == (secretHash == nil))
    self.id = id
    self.name = name
    self.redirectURIs = redirectURIs
    self.authentication = authentication
    self.secretHash = secretHash
  }
}

/// What a person granted to a client, and to use which connection.
public struct GrantRecord: Sendable, Equatable {
  public let id: GrantID
  public let userID: UserID
  public let connectionID: ConnectionID
  public let clientID: String
  public let clientName: String
  public let resource: String
  public let scope: String
  public let createdAt: UnixTime
  public let expiresAt: UnixTime
  public var lastUsedAt: UnixTime?

  public init(
    id: GrantID, userID: UserID, connectionID: ConnectionID, clientID: String, clientName: String,
    resource: String, scope: String, createdAt: UnixTime, expiresAt: UnixTime,
    lastUsedAt: UnixTime? = nil
  ) {
    self.id = id
    self.userID = userID
    self.connectionID = connectionID
    self.clientID = clientID
    self.clientName = clientName
    self.resource = resource
    self.scope = scope
    self.createdAt = createdAt
    self.expiresAt = expiresAt
    self.lastUsedAt = lastUsedAt
  }
}

/// What a code is bound to.
public struct CodeRecord: Sendable, Equatable {
  public let hash: Digest256
  /// SHA-256 of the verifier (S256).
  public let challenge: [UInt8]
  public let redirectURI: String
  public let expiresAt: UnixTime
  /// The data key under the code; nil once it was exchanged.
  public let wrap: [UInt8]?

  public init(
    hash: Digest256, challenge: [UInt8], redirectURI: String, expiresAt: UnixTime, wrap: [UInt8]?
  ) {
    self.hash = hash
    self.challenge = challenge
    self.redirectURI = redirectURI
    self.expiresAt = expiresAt
    self.wrap = wrap
  }
}

/// A grant's refresh token as it is stored.
public struct RefreshRecord: Sendable, Equatable {
  public let family: Digest256
  public let current: Digest256
  /// The token before.
  public let previous: Digest256?
  /// With the previous token it gives the current one.
  public let salt: [UInt8]
  /// The data key under the current token.
  public let wrap: [UInt8]
  public let rotatedAt: UnixTime

  public init(
    family: Digest256, current: Digest256, previous: Digest256?, salt: [UInt8], wrap: [UInt8],
    rotatedAt: UnixTime
  ) {
    self.family = family
    self.current = current
    self.previous = previous
    self.salt = salt
    self.wrap = wrap
    self.rotatedAt = rotatedAt
  }
}

/// An access token as it is stored.
public struct AccessTokenRecord: Sendable, Equatable {
  public let lookup: Digest256
  /// The data key under the token.
  public let wrap: [UInt8]
  public let expiresAt: UnixTime

  public init(lookup: Digest256, wrap: [UInt8], expiresAt: UnixTime) {
    self.lookup = lookup
    self.wrap = wrap
    self.expiresAt = expiresAt
  }
}
