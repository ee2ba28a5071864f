// What is kept of a re-wrapping under a new master key, and what auth asks of the records while it
// goes on. Fingerprints only: no key and nothing in the clear comes near the database.

import Clocks
import Vault

/// One re-wrapping of everything under one master key.
public struct KeyRotation: Sendable, Equatable {
  /// How far it is.
  public enum State: String, CaseIterable, Sendable {
    case running, paused, completed, failed
  }

  /// Why it failed.
  public enum Reason: String, Sendable {
    /// Rows are left that no key here opens.
    case rowsUnreadable = "rows_unreadable"
    /// The master key that it went to is not the active one any more.
    case targetNotActive = "target_not_active"
    /// Another one began.
    case superseded
  }

  public let id: RotationID
  /// The fingerprint of the master key that all rows come under.
  public let target: String
  public let state: State
  /// Rows under other keys when it began.
  public let total: Int64
  /// Rows that were re-wrapped.
  public let done: Int64
  /// Rows that do not open.
  public let failed: Int64
  /// Rows a second at most; nil: no limit.
  public let rate: Int64?
  public let startedAt: UnixTime
  public let updatedAt: UnixTime
  public let finishedAt: UnixTime?
  public let reason: String?

  /// Whether it goes on or will.
  public var isOpen: Bool { state == .running || state == .paused }
}

/// A row and its value under the active key.
public struct RewrappedRow: Sendable {
  public let row: SealedRow
  public let sealed: [UInt8]

  public init(row: SealedRow, sealed: [UInt8]) {
    self.row = row
    self.sealed = sealed
  }
}

/// Rotations, and the rows that they walk.
public protocol RotationStore: Sendable {
  /// How many rows are under which key.
  func sealedCounts() async throws(AccountError) -> [SealedCount]
  /// The newest rotation.
  func rotation() async throws(AccountError) -> KeyRotation?
  /// Begins to bring everything under `target`, or lets an open rotation to it go on at this rate.
  /// An open one to another key ends.
  func startRotation(
    to target: String, rate: Int64?, now: UnixTime
  ) async throws(AccountError) -> KeyRotation
  /// Holds the open rotation or lets it go on; a rate that is given replaces its own.
  /// - Throws: `notFound` when none is open.
  func holdRotation(
    _ isHeld: Bool, rate: Int64?, now: UnixTime
  ) async throws(AccountError) -> KeyRotation
  /// Ends an open rotation that can not go on.
  func failRotation(
    _ id: RotationID, because reason: KeyRotation.Reason, now: UnixTime
  ) async throws(AccountError)
  /// Notes that the rows are walked from the beginning.
  func beginPass(_ id: RotationID, now: UnixTime) async throws(AccountError)
  /// The next rows of a column under a key.
  func sealedRows(
    _ column: MasterSealedColumn, under fingerprint: String, after place: Int64, countMax: Int64
  ) async throws(AccountError) -> [SealedRow]
  /// Replaces values that are still what they were, and notes it in the same transaction. Nothing is
  /// replaced once the rotation is not running.
  /// - Returns: how many were replaced, and the rotation now.
  func replace(
    _ rows: [RewrappedRow], in column: MasterSealedColumn, unreadable: Int64,
    rotation id: RotationID, now: UnixTime
  ) async throws(AccountError) -> (replaced: Int64, rotation: KeyRotation)
  /// Ends a running rotation if no more rows than `unreadable` are under other keys.
  /// - Returns: the rotation now; still running when rows are left.
  func finishRotation(
    _ id: RotationID, unreadable: Int64, now: UnixTime
  ) async throws(AccountError) -> KeyRotation
  /// Runs `body`, which must be short, with the counts of rows; no row is written meanwhile.
  func whileNothingIsWritten<Result: Sendable>(
    _ body: @escaping @Sendable ([SealedCount]) -> Result
  ) async throws(AccountError) -> Result
}

/// Who holds the master keys, asked inside the transaction that stores what they sealed: a request
/// may have sealed under a key that ceased to be the active one before its row was written.
public protocol MasterSealing: Sendable {
  /// The same value in the same place under the key that is active now; nil when it does not open.
  func current(_ sealed: ManagedWrap, at place: SealContext) -> ManagedWrap?
}
