// The keys that programs hold, and spaces: some connections of a person, for one program. The records
// carry no secret; of a key itself only a hash is stored, and nobody is shown that.

import Clocks

/// A program's key, without the key.
public struct ProgramKeyRecord: Sendable, Equatable {
  public let id: ProgramKeyID
  public let name: String
  /// What it may do; nil for a person's key, which may what the person may.
  public let permissions: SpacePermissions?
  public let createdAt: UnixTime
  public let expiresAt: UnixTime?
  public var lastUsedAt: UnixTime?

  public init(
    id: ProgramKeyID, name: String, permissions: SpacePermissions? = nil, createdAt: UnixTime,
    expiresAt: UnixTime? = nil, lastUsedAt: UnixTime? = nil
  ) {
    self.id = id
    self.name = name
    self.permissions = permissions
    self.createdAt = createdAt
    self.expiresAt = expiresAt
    self.lastUsedAt = lastUsedAt
  }
}

/// What a space's key may do with the space's connections.
public struct SpacePermissions: OptionSet, Sendable {
  public let rawValue: Int
  public init(rawValue: Int) { self.rawValue = rawValue }

  /// See them.
  public static let read = SpacePermissions(rawValue: 1)
  /// Reach their services.
  public static let use = SpacePermissions(rawValue: 2)
  /// Add, change and end them.
  public static let write = SpacePermissions(rawValue: 4)

  /// Each permission with its name, in the order of answers.
  public static let names: [(name: String, permission: SpacePermissions)] = [
    ("connections:read", .read), ("connections:use", .use), ("connections:write", .write),
  ]

  /// The names of those that are in it.
  public var list: [String] { Self.names.filter { contains($0.permission) }.map(\.name) }
}

/// Some connections of a person.
public struct Space: Sendable, Equatable {
  public let id: SpaceID
  public let userID: UserID
  public var name: String
  public let createdAt: UnixTime
  /// The live connections in it, oldest first.
  public var connections: [ConnectionID]

  public init(
    id: SpaceID, userID: UserID, name: String, createdAt: UnixTime, connections: [ConnectionID]
  ) {
    self.id = id
    self.userID = userID
    self.name = name
    self.createdAt = createdAt
    self.connections = connections
  }
}

/// Whom a key that was shown stands for.
public struct KeyHolder: Sendable, Equatable {
  public let key: ProgramKeyID
  /// The person, or the owner of the space.
  public let user: User
  /// The space and what the key may do in it; nil for a person's key.
  public let space: (id: SpaceID, permissions: SpacePermissions)?

  /// A person's key, or a space's.
  public init(
    key: ProgramKeyID, user: User, space: (id: SpaceID, permissions: SpacePermissions)?
  ) {
    self.key = key
    self.user = user
    self.space = space
  }

  /// The space and its permissions count, too.
  public static func == (left: KeyHolder, right: KeyHolder) -> Bool {
    left.key == right.key && left.user == right.user && left.space?.id == right.space?.id
      && left.space?.permissions == right.space?.permissions
  }
}
