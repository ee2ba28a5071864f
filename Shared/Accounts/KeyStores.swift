// What services ask of programs' keys and of spaces, whichever engine keeps them. Every call names the
// owner; what belongs to someone else is `notFound`. Calls that take a reach away say from which
// connections, so that the edge can be told to look again.

import Clocks
import Vault

/// Bounds of what one person may keep: against floods, not for sale.
public enum KeyLimits {
  /// Keys of one person, and of one space.
  public static let keysMax: Int64 = 100
  /// Spaces of one person.
  public static let spacesMax: Int64 = 100
  /// How old the noted last use of a key may get before it is written again.
  public static let useSecondsMax: Int64 = 60
}

/// Programs' keys.
public protocol KeyStore: Sendable {
  /// Whom the key stands for, while it lives; notes that it was used.
  func holder(of key: PresentedKey, now: UnixTime) async throws(AccountError) -> KeyHolder?
  /// The data key's wrap of a managed connection that the key may use; nil when it may not.
  func managedWrap(
    of connection: ConnectionID, reachedBy key: PresentedKey, now: UnixTime
  ) async throws(AccountError) -> (owner: UserID, wrap: ManagedWrap)?

  /// The person's keys, oldest first.
  func keys(of user: UserID) async throws(AccountError) -> [ProgramKeyRecord]
  /// Adds a key of the person.
  /// - Throws: `tooMany`.
  func addKey(
    _ key: ProgramKeyRecord, hash: Digest256, of user: UserID
  ) async throws(AccountError)
  /// Ends a key; returns the connections that it reached.
  func revokeKey(
    _ id: ProgramKeyID, of user: UserID, now: UnixTime
  ) async throws(AccountError) -> [ConnectionID]
}

/// Spaces, what is in them, and their keys.
public protocol SpaceStore: Sendable {
  /// The person's spaces, oldest first.
  func spaces(of user: UserID) async throws(AccountError) -> [Space]
  /// One space.
  func space(_ id: SpaceID, of user: UserID) async throws(AccountError) -> Space
  /// Adds a space.
  /// - Throws: `tooMany`, `notFound` when a connection is not the person's.
  func addSpace(_ space: Space) async throws(AccountError)
  /// Changes the name, the connections, or both. Returns the space as it is then, and the
  /// connections that are in it no longer.
  func changeSpace(
    _ id: SpaceID, of user: UserID, name: String?, connections: [ConnectionID]?, now: UnixTime
  ) async throws(AccountError) -> (space: Space, left: [ConnectionID])
  /// Ends a space and its keys; its connections stay. Returns those.
  func removeSpace(
    _ id: SpaceID, of user: UserID, now: UnixTime
  ) async throws(AccountError) -> [ConnectionID]
  /// Whether the live connection is in the space.
  func space(_ id: SpaceID, holds connection: ConnectionID) async throws(AccountError) -> Bool

  /// The space's keys, oldest first.
  func keys(of space: SpaceID, user: UserID) async throws(AccountError) -> [ProgramKeyRecord]
  /// Adds a key of the space.
  /// - Throws: `tooMany`.
  func addKey(
    _ key: ProgramKeyRecord, hash: Digest256, of space: SpaceID, user: UserID
  ) async throws(AccountError)
  /// Ends a key of the space; returns the connections that it reached.
  func revokeKey(
    _ id: ProgramKeyID, of space: SpaceID, user: UserID, now: UnixTime
  ) async throws(AccountError) -> [ConnectionID]
}
