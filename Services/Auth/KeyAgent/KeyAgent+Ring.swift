// What the holder of the master keys tells about them, by fingerprint, and how a value comes from one
// of them under the active one. Keys and what they open stay inside.

import Accounts
import Vault

/// A page of rows, re-wrapped where they opened.
struct RewrappedPage: Sendable {
  let rows: [RewrappedRow]
  /// The ids of rows that do not open.
  let unreadable: [String]
}

extension KeyAgent: MasterSealing {
  /// The fingerprints of the keys in the order of the setting; the last one is active.
  var fingerprints: [String] { ring?.keys.map(\.fingerprint.description) ?? [] }

  /// The fingerprint of the key under which new values are sealed.
  var activeFingerprint: String? { ring?.active.fingerprint.description }

  /// Holds the key with this fingerprint no longer; the active one stays.
  func retire(_ fingerprint: String) {
    currentRing.withLock { ring in
      guard let named = KeyFingerprint(fingerprint), let rest = ring?.without(named) else { return }
      ring = rest
    }
  }

  /// `rows` under the active key; nil when that is not `target` any more.
  func rewrap(
    _ rows: [SealedRow], of column: MasterSealedColumn, under target: String
  ) -> RewrappedPage? {
    guard let ring, ring.active.fingerprint.description == target else { return nil }
    let engine = SealEngine()
    var done: [RewrappedRow] = []
    var unreadable: [String] = []
    for row in rows {
      do throws(SealError) {
        let sealed = try engine.rewrap(row.sealed, with: ring, context: column.context(of: row))
        done.append(RewrappedRow(row: row, sealed: sealed))
      } catch { unreadable.append(row.id) }
    }
    return RewrappedPage(rows: done, unreadable: unreadable)
  }

  func current(_ sealed: ManagedWrap, at place: SealContext) -> ManagedWrap? {
    guard let ring else { return nil }
    let active = ring.active.fingerprint.description
    guard sealed.fingerprint != active else { return sealed }
    guard let fresh = try? SealEngine().rewrap(sealed.sealed, with: ring, context: place) else {
      return nil
    }
    return ManagedWrap(sealed: fresh, fingerprint: active)
  }
}
