// Which blobs a sweep condemns, and when: the revoked at once, the rowless after a while, the
// living never.

import Accounts
import Clocks
import Testing

@testable import bindery_scheduler

@Suite("Orphan ledger") struct OrphanLedgerTests {
  static let start = Instant(nanoseconds: 1_000_000_000)
  static let day = UnixTime(seconds: 1_800_000_000)

  /// The verdict at so many seconds after the start.
  static func judge(
    _ ledger: inout OrphanLedger, _ presence: ConnectionPresence, after seconds: Int,
    _ connection: String = "a"
  ) -> Bool {
    ledger.condemns(
      connection, presence, at: start.advanced(by: .seconds(seconds)),
      on: day.advanced(bySeconds: Int64(seconds)))
  }

  @Test("condemns the blob of a revoked connection at once") func revoked() {
    var ledger = OrphanLedger()
    let condemned = Self.judge(&ledger, .revoked, after: 0)
    #expect(condemned)
  }

  @Test("never condemns the blob of a live connection") func live() {
    var ledger = OrphanLedger()
    let verdicts = [0, 31, 86_400].map { Self.judge(&ledger, .live, after: $0) }
    #expect(verdicts == [false, false, false])
  }

  @Test("keeps what is needed to tell a provider, for thirty days") func parting() {
    var ledger = OrphanLedger()
    let month = 30 * 86_400
    let verdicts = [0, 31, month - 1, month].map { seconds in
      defer { ledger.endSweep() }
      return Self.judge(&ledger, .parting(since: Self.day), after: seconds)
    }
    #expect(verdicts == [false, false, false, true])
  }

  @Test("gives a blob without a row thirty seconds") func absent() {
    var ledger = OrphanLedger()
    let verdicts = [0, 29, 30].map { seconds in
      defer { ledger.endSweep() }
      return Self.judge(&ledger, .absent, after: seconds)
    }
    #expect(verdicts == [false, false, true])
  }

  @Test("starts over when the row came in between, or the blob went") func startsOver() {
    var ledger = OrphanLedger()
    _ = Self.judge(&ledger, .absent, after: 0, "a")
    _ = Self.judge(&ledger, .absent, after: 0, "b")
    ledger.endSweep()
    _ = Self.judge(&ledger, .live, after: 10, "a")
    ledger.endSweep()
    let verdicts = ["a", "b"].map { Self.judge(&ledger, .absent, after: 40, $0) }
    #expect(verdicts == [false, false])
  }
}
