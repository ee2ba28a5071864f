// Which token blobs belong to nobody any more? Pure: presence and time come in as arguments. A
// blob of a revoked connection goes at once. A blob without a row waits a little, because a
// connection's blob is written before its row: the row may be on its way. A blob that is needed to
// tell its provider stays until that is done, or was waited for long enough.

import Accounts
import Clocks

/// Remembers blobs that were seen without a row.
struct OrphanLedger {
  /// How long a blob may be without a row before it counts as left behind.
  static let graceMax = Duration.seconds(30)
  /// Bound on what is remembered; past it further blobs wait for a later sweep.
  static let entriesMax = 100_000

  private var firstSeen: [String: Instant] = [:]
  private var seenNow: Set<String> = []

  /// Forgets, at the end of a sweep, whatever it did not meet.
  mutating func endSweep() {
    firstSeen = firstSeen.filter { seenNow.contains($0.key) }
    seenNow = []
  }

  /// Whether the blob of `connection` must go.
  mutating func condemns(
    _ connection: String, _ presence: ConnectionPresence, at now: Instant, on day: UnixTime
  ) -> Bool {
    switch presence {
    case .live: return false
    case .parting(let since): return day.seconds - since.seconds >= ConnectLife.partingSecondsMax
    case .revoked: return true
    case .absent:
      guard let since = firstSeen[connection] else {
        if firstSeen.count < OrphanLedger.entriesMax {
          firstSeen[connection] = now
          seenNow.insert(connection)
        }
        return false
      }
      seenNow.insert(connection)
      return since.duration(to: now) >= OrphanLedger.graceMax
    }
  }
}
