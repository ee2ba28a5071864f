// The records of people, connections and credentials as the rest of the system sees them. They
// carry no secret and nothing sealed: wraps travel separately, to where they are opened.

import Clocks

/// A person with an account.
public struct User: Sendable, Equatable {
  public let id: UserID
  public let email: String
  public let createdAt: UnixTime

  public init(id: UserID, email: String, createdAt: UnixTime) {
    self.id = id
    self.email = email
    self.createdAt = createdAt
  }
}

/// Whether a connection may be used.
public enum ConnectionStatus: String, Sendable {
  case active, suspended, error, revoked
}

/// How a person proved themselves to the service.
public enum AuthType: String, Sendable {
  case apiKey = "api_key"
  case oauth
}

/// Who can open a connection's data key.
public enum KeyStorageMode: String, Sendable {
  /// Only whoever holds a credential.
  case zeroKnowledge = "zero_knowledge"
  /// Also this installation, with a master key.
  case managed
}

/// A data key sealed under a master key, and which one.
public struct ManagedWrap: Sendable, Equatable {
  public let sealed: [UInt8]
  /// The master key's fingerprint, 16 hexadecimal digits.
  public let fingerprint: String

  public init(sealed: [UInt8], fingerprint: String) {
    self.sealed = sealed
    self.fingerprint = fingerprint
  }
}

/// One service that one person connected.
public struct ConnectionRecord: Sendable, Equatable {
  public let id: ConnectionID
  public let userID: UserID
  public let service: String
  public var label: String
  public var status: ConnectionStatus
  public let authType: AuthType
  public let keyStorageMode: KeyStorageMode
  public var networks: NetworkPolicy?
  public private(set) var createdAt: UnixTime
  public var lastUsedAt: UnixTime?
  public var expiresAt: UnixTime?
  public var needsReauthAt: UnixTime?
  /// Whether its provider can be told that it ended.
  public let isRevocableUpstream: Bool

  public init(
    id: ConnectionID, userID: UserID, service: String, label: String,
    status: ConnectionStatus = .active, authType: AuthType, keyStorageMode: KeyStorageMode,
    networks: NetworkPolicy? = nil, createdAt: UnixTime, lastUsedAt: UnixTime? = nil,
    expiresAt: UnixTime? = nil, needsReauthAt: UnixTime? = nil, isRevocableUpstream: Bool = false
  ) {
    self.id = id
    self.userID = userID
    self.service = service
    self.label = label
    self.status = status
    self.authType = authType
    self.keyStorageMode = keyStorageMode
    self.networks = networks
    self.createdAt = createdAt
    self.lastUsedAt = lastUsedAt
    self.expiresAt = expiresAt
    self.needsReauthAt = needsReauthAt
    self.isRevocableUpstream = isRevocableUpstream
  }

  /// Stands for its owner where `old` stood: under its name, with its limits, at its place.
  mutating func takeOver(from old: ConnectionRecord) {
    label = old.label
    networks = old.networks
    createdAt = old.createdAt
  }
}

/// One secret URL and API key of a connection, without the secret.
public struct CredentialRecord: Sendable, Equatable {
  public let id: CredentialID
  public let connectionID: ConnectionID
  public let name: String
  public let networks: NetworkPolicy?
  /// The only tools it may call; nil for all.
  public let tools: [String]?
  public let createdAt: UnixTime
  public let expiresAt: UnixTime?
  public var lastUsedAt: UnixTime?

  public init(
    id: CredentialID, connectionID: ConnectionID, name: String, networks: NetworkPolicy? = nil,
    tools: [String]? = nil, createdAt: UnixTime, expiresAt: UnixTime? = nil,
    lastUsedAt: UnixTime? = nil
  ) {
    self.id = id
    self.connectionID = connectionID
    self.name = name
    self.networks = networks
    self.tools = tools
    self.createdAt = createdAt
    self.expiresAt = expiresAt
    self.lastUsedAt = lastUsedAt
  }
}

/// A credential about to be written: the record and what opens with it.
public struct NewCredential: Sendable {
  public let record: CredentialRecord
  /// SHA-256 of the credential's first half.
  public let lookup: [UInt8]
  /// The connection's data key, sealed under the second half.
  public let wrap: [UInt8]

  public init(record: CredentialRecord, lookup: [UInt8], wrap: [UInt8]) {
    precondition(lookup.count == 32 && !wrap.isEmpty)
    self.record = record
    self.lookup = lookup
    self.wrap = wrap
  }
}

/// What the edge noted about one request; metadata alone.
public struct ActivityRecord: Sendable, Equatable {
  public let atMilliseconds: Int64
  public let status: Int64
  public let methodName: String?
  public let durationMilliseconds: Int64
  public let network: String

  public init(
    atMilliseconds: Int64, status: Int64, methodName: String?, durationMilliseconds: Int64,
    network: String
  ) {
    self.atMilliseconds = atMilliseconds
    self.status = status
    self.methodName = methodName
    self.durationMilliseconds = durationMilliseconds
    self.network = network
  }
}
