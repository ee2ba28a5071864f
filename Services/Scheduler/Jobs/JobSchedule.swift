// When does a job run next? Pure: names, intervals and the time come in. Jobs of one interval are
// spread by a hash of their names, so that they do not all run at once, and the same every day.

import Clocks

/// The times of one job.
struct JobSchedule {
  /// A job that failed is tried again after this, or after its interval if that is shorter.
  static let retrySecondsMax: Int64 = 600
  /// A job that never ran begins within this after the start.
  static let firstSecondsMax: Int64 = 10

  let name: String
  let intervalSeconds: Int64

  /// What is added to the interval: up to a tenth of it.
  var jitterSeconds: Int64 { Int64(hash % UInt64(intervalSeconds / 10 + 1)) }

  /// FNV-1a, which is the same in every process and on every machine.
  private var hash: UInt64 {
    name.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
  }

  /// When to run for the first time in this process. A stored time holds over a restart; one that is
  /// farther away than any this schedule makes comes from a clock that was wrong.
  func first(stored: UnixTime?, now: UnixTime) -> UnixTime {
    if let stored {
      let last = now.advanced(bySeconds: intervalSeconds + jitterSeconds)
      return min(stored, last)
    }
    let isFrequent = intervalSeconds <= 60
    return now.advanced(
      bySeconds: isFrequent ? 0 : Int64(hash % UInt64(Self.firstSecondsMax + 1)))
  }

  /// When to run after a run that ended at `end`.
  func next(after end: UnixTime, failed: Bool) -> UnixTime {
    guard failed else { return end.advanced(bySeconds: intervalSeconds + jitterSeconds) }
    return end.advanced(bySeconds: min(intervalSeconds, Self.retrySecondsMax))
  }
}
