// The shapes of connections, credentials and activity in answers (contract of the REST API). No
// secret is in any of them but the one answer that shows a fresh credential.

import Accounts

extension JSONText {
  init(_ connection: ConnectionRecord) {
    self = [
      "id": .string(connection.id.text), "service": .string(connection.service),
      "label": .string(connection.label), "status": .string(connection.status.rawValue),
      "auth_type": .string(connection.authType.rawValue),
      "key_storage_mode": .string(connection.keyStorageMode.rawValue),
      "networks": JSONText(connection.networks),
      "created_at": Timestamp.json(connection.createdAt),
      "last_used_at": Timestamp.json(connection.lastUsedAt),
      "expires_at": Timestamp.json(connection.expiresAt),
      "needs_reauth_at": Timestamp.json(connection.needsReauthAt),
    ]
  }

  init(_ credential: CredentialRecord) {
    self = [
      "id": .string(credential.id.text), "name": .string(credential.name),
      "networks": JSONText(credential.networks),
      "tools": credential.tools.map { .array($0.map { .string($0) }) } ?? .null,
      "created_at": Timestamp.json(credential.createdAt),
      "expires_at": Timestamp.json(credential.expiresAt),
      "last_used_at": Timestamp.json(credential.lastUsedAt),
    ]
  }

  /// What a program was granted, in the list of what opens a connection.
  init(_ grant: GrantRecord) {
    self = [
      "id": .string(grant.id.text), "name": .string(grant.clientName), "networks": nil,
      "tools": nil, "created_at": Timestamp.json(grant.createdAt),
      "expires_at": Timestamp.json(grant.expiresAt),
      "last_used_at": Timestamp.json(grant.lastUsedAt), "client_id": .string(grant.clientID),
    ]
  }

  init(_ activity: ActivityRecord) {
    self = [
      "at": .string(Timestamp.text(milliseconds: activity.atMilliseconds)),
      "status": .integer(activity.status), "method_name": .optional(activity.methodName),
      "duration_ms": .integer(activity.durationMilliseconds),
      "network": .string(activity.network),
    ]
  }

  init(_ networks: NetworkPolicy?) {
    self = networks.map { .array($0.entries.map { .string($0) }) } ?? .null
  }
}
