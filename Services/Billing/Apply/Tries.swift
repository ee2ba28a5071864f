// When is something tried again that did not work? Waits double and are spread, so that what failed
// together is not tried together. Pure but for `next`: tries and chance come in.

import Clocks

/// Waiting times, doubling and spread by half.
enum Tries {
  /// An event that still fails then is parked: it waits for a person.
  static let eventTriesMax: Int64 = 8

  /// Seconds until the next try after `tries` of them.
  static func wait(after tries: Int64, secondsMax: Int64, chance: UInt64) -> Int64 {
    let ceiling = min(Int64(1) << min(max(tries - 1, 0), 30), secondsMax)
    let half = ceiling / 2
    return ceiling - half + Int64(chance % UInt64(half + 1))
  }

  /// When to try again.
  static func next(after tries: Int64, secondsMax: Int64, now: UnixTime) -> UnixTime {
    now.advanced(
      bySeconds: wait(after: tries, secondsMax: secondsMax, chance: Randomness.uint64()))
  }
}
