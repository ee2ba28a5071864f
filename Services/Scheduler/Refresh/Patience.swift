// After a failure, when may the same tokens be tried again? Pure: the failure, how many came before
// it, and chance come in. Trouble that may have cost us an answer is tried again soon, because the
// provider may still accept the old refresh token for a while.

import OAuth

/// Waiting times after failed refreshes.
enum Patience {
  /// Seconds to wait after `failure`, of which `earlier` came before in a row.
  /// - Parameter chance: Any random word; waits are spread by a quarter.
  static func seconds(after failure: TokenFailure, earlier: Int, chance: UInt64) -> Int64 {
    let doublings = min(earlier, 16)
    let seconds: Int64
    switch failure {
    case .invalidGrant: return 0  // only the person can mend it
    case .unavailable(let told), .throttled(let told):
      seconds = max(Int64(told ?? 0), min(1 << Int64(doublings), 60))
    case .broken: seconds = min(1 << Int64(doublings), 60)
    case .invalidClient: seconds = min(5 << Int64(doublings), 60)
    case .refused: seconds = min(30 << Int64(doublings), 300)
    }
    return seconds + Int64(chance % UInt64(max(seconds / 4, 1)))
  }

  /// Whether the provider, not this one grant, is in trouble.
  static func isTrouble(_ failure: TokenFailure) -> Bool {
    switch failure {
    case .invalidGrant, .refused: false
    case .invalidClient, .throttled, .unavailable, .broken: true
    }
  }
}
