// Slows down guessing: attempts are counted for an account from one network, for an account from
// anywhere, and for a network, before any password is looked at; a success gives its attempts back.
// Pure: the time is an argument. The memory is bounded; when it is full the oldest counts go.

import Clocks
import Posix

/// Counts of recent attempts to sign in.
struct SignInThrottle {
  /// Attempts in one window before the next is refused.
  struct Limits {
    var perAccountAndNetwork = 10
    var perAccount = 100
    var perNetwork = 300
    var windowSeconds: Int64 = 900
    var entriesMax = 65_536
  }

  private enum Key: Hashable {
    case accountFrom(String, IPAddress?)
    case account(String)
    case network(IPAddress?)
  }

  private struct Count {
    var attempts: Int
    var since: Instant
  }

  private let limits: Limits
  private var counts: [Key: Count] = [:]

  init(_ limits: Limits = Limits()) { self.limits = limits }

  /// How much is remembered.
  var entryCount: Int { counts.count }

  /// Counts an attempt; the seconds to wait when it is one too many.
  mutating func attempt(account: String, from client: IPAddress?, now: Instant) -> Int64? {
    let keys = keys(account, client)
    for (key, max) in keys {
      guard let count = live(key, now), count.attempts >= max else { continue }
      let end = count.since.advanced(by: .seconds(limits.windowSeconds))
      return Swift.max(1, now.duration(to: end).components.seconds + 1)
    }
    for (key, _) in keys {
      makeRoom(now)
      counts[key, default: Count(attempts: 0, since: now)].attempts += 1
    }
    return nil
  }

  /// Takes back the attempt that turned out to be right, and forgets the account's wrong ones from
  /// this network.
  mutating func succeed(account: String, from client: IPAddress?) {
    for (key, _) in keys(account, client) {
      if case .accountFrom = key {
        counts[key] = nil
      } else if let count = counts[key] {
        counts[key] =
          count.attempts > 1
          ? Count(attempts: count.attempts - 1, since: count.since) : nil
      }
    }
  }

  private func keys(_ account: String, _ client: IPAddress?) -> [(Key, Int)] {
    let network = client?.clientNetwork
    return [
      (.accountFrom(account, network), limits.perAccountAndNetwork),
      (.account(account), limits.perAccount), (.network(network), limits.perNetwork),
    ]
  }

  private mutating func live(_ key: Key, _ now: Instant) -> Count? {
    guard let count = counts[key] else { return nil }
    if count.since.advanced(by: .seconds(limits.windowSeconds)) <= now {
      counts[key] = nil
      return nil
    }
    return count
  }

  private mutating func makeRoom(_ now: Instant) {
    guard counts.count >= limits.entriesMax else { return }
    let start = now.advanced(by: .seconds(-limits.windowSeconds))
    counts = counts.filter { $0.value.since > start }
    if counts.count >= limits.entriesMax {
      // A flood of names: the older half goes, so that this work is rare.
      let middle = counts.values.map(\.since).sorted()[counts.count / 2]
      counts = counts.filter { $0.value.since > middle }
    }
  }
}
