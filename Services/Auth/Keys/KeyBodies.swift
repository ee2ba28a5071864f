// The bodies that the routes of keys and spaces take, the rules of their fields, and how keys and
// spaces stand in answers.

import Accounts
import Clocks

/// POST /api/keys, POST /api/spaces/{id}/keys
struct KeyBody: Decodable {
  let name: String?
  let expiresIn: Int64?
  let permissions: [String]?

  private enum CodingKeys: String, CodingKey {
    case name, permissions
    case expiresIn = "expires_in"
  }

  static let none = KeyBody(name: nil, expiresIn: nil, permissions: nil)

  func record(
    permissions: SpacePermissions?, standardName: String, now: UnixTime
  ) throws(Refusal) -> ProgramKeyRecord {
    guard let name = PlainText.admit(name ?? standardName) else { throw .bodyInvalid(.name) }
    if let expiresIn, !CredentialBody.expiresInRange.contains(expiresIn) {
      throw .bodyInvalid(.expiresIn)
    }
    return ProgramKeyRecord(
      id: .random(), name: name, permissions: permissions, createdAt: now,
      expiresAt: expiresIn.map { now.advanced(bySeconds: $0) })
  }

  /// No list is no permission.
  func admittedPermissions() throws(Refusal) -> SpacePermissions {
    var admitted: SpacePermissions = []
    for text in permissions ?? [] {
      guard
        let found = SpacePermissions.names.first(where: {
          $0.name.utf8.elementsEqual(text.utf8)
        })
      else { throw .bodyInvalid(.permissions) }
      admitted.insert(found.permission)
    }
    return admitted
  }
}

/// DELETE /api/keys, DELETE /api/spaces/{id}/keys
struct KeyName: Decodable {
  let id: String
}

/// POST and PATCH of spaces
struct SpaceBody: Decodable {
  let name: String?
  let connections: [String]?

  static let connectionsMax = 1_000

  func admittedName() throws(Refusal) -> String? {
    guard let name else { return nil }
    guard let admitted = PlainText.admit(name) else { throw .bodyInvalid(.name) }
    return admitted
  }

  /// What is no identifier names nothing, as a stranger's does.
  func admittedConnections() throws(Refusal) -> [ConnectionID]? {
    guard let connections else { return nil }
    guard connections.count <= Self.connectionsMax else { throw .bodyInvalid(.connections) }
    var admitted: [ConnectionID] = []
    for text in connections {
      guard let id = ConnectionID(text) else { throw .notFound }
      admitted.append(id)
    }
    return admitted
  }
}

extension JSONText {
  init(_ key: ProgramKeyRecord, shown text: String? = nil) {
    var members: [(name: String, value: JSONText)] = [
      ("id", .string(key.id.text)), ("name", .string(key.name)),
    ]
    if let text { members.append(("key", .string(text))) }
    if let permissions = key.permissions {
      members.append(("permissions", .array(permissions.list.map { .string($0) })))
    }
    members += [
      ("created_at", Timestamp.json(key.createdAt)), ("expires_at", Timestamp.json(key.expiresAt)),
      ("last_used_at", Timestamp.json(key.lastUsedAt)),
    ]
    self = .object(members)
  }

  init(_ space: Space) {
    self = [
      "id": .string(space.id.text), "name": .string(space.name),
      "connections": .array(space.connections.map { .string($0.text) }),
      "created_at": Timestamp.json(space.createdAt),
    ]
  }
}
