// The records of people, connections and credentials as the rest of the system sees them. They
// carry no secret and nothing sealed: wraps travel separately, to where they are opened.

import Clocks

/// A person with an account.
package struct User: Sendable, Equatable {
  package let id: UserID
  package let email: String
  package let createdAt: UnixTime

  package init(id: UserID, email: String, createdAt: UnixTime) {
    self.id = id
    self.email = email
    self.createdAt = createdAt
  }
}

/// Whether a connection may be used.
package enum ConnectionStatus: String, Sendable {
  case active, suspended, error, revoked
}

/// How a person proved themselves to the service.
package enum AuthType: String, Sendable {
  case apiKey = "api_key"
  case oauth
}

/// Who can open a connection's data key.
package enum KeyStorageMode: String, Sendable {
  /// Only whoever holds a credential.
  case zeroKnowledge = "zero_knowledge"
  /// Also this installation, with a master key.
  case managed
}

/// A data key sealed under a master key, and which one.
package struct ManagedWrap: Sendable, Equatable {
  package let sealed: [UInt8]
  /// The master key's fingerprint, 16 hexadecimal digits.
  package let fingerprint: String

  package init(sealed: [UInt8], fingerprint: String) {
    self.sealed = sealed
    self.fingerprint = fingerprint
  }
}

/// One service that one person connected.
package struct ConnectionRecord: Sendable, Equatable {
  package let id: ConnectionID
  package let userID: UserID
  package let service: String
  package var label: String
  package var status: ConnectionStatus
  package let authType: AuthType
  package let keyStorageMode: KeyStorageMode
  package var networks: NetworkPolicy?
  package let createdAt: UnixTime
  package var lastUsedAt: UnixTime?
  package var expiresAt: UnixTime?
  package var needsReauthAt: UnixTime?

  package init(
    id: ConnectionID, userID: UserID, service: String, label: String,
    status: ConnectionStatus = .active, authType: AuthType, keyStorageMode: KeyStorageMode,
    networks: NetworkPolicy? = nil, createdAt: UnixTime, lastUsedAt: UnixTime? = nil,
    expiresAt: UnixTime? = nil, needsReauthAt: UnixTime? = nil
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
  }
}

/// One secret URL and API key of a connection, without the secret.
package struct CredentialRecord: Sendable, Equatable {
  package let id: CredentialID
  package let connectionID: ConnectionID
  package let name: String
  package let networks: NetworkPolicy?
  /// The only tools it may call; nil for all.
  package let tools: [String]?
  package let createdAt: UnixTime
  package let expiresAt: UnixTime?
  package var lastUsedAt: UnixTime?

  package init(
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
package struct NewCredential: Sendable {
  package let record: CredentialRecord
  /// SHA-256 of the credential's first half.
  package let lookup: [UInt8]
  /// The connection's data key, sealed under the second half.
  package let wrap: [UInt8]

  package init(record: CredentialRecord, lookup: [UInt8], wrap: [UInt8]) {
    precondition(lookup.count == 32 && !wrap.isEmpty)
    self.record = record
    self.lookup = lookup
    self.wrap = wrap
  }
}

/// What the edge noted about one request; metadata alone.
package struct ActivityRecord: Sendable, Equatable {
  package let atMilliseconds: Int64
  package let status: Int64
  package let methodName: String?
  package let durationMilliseconds: Int64
  package let network: String

  package init(
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
