// Keeps out who guesses: counts distinct bad credentials of each client network, blocks the network
// for a while that doubles each time, and limits requests per connection and hour when asked to.
// Bounded memory, monotonic time, shared by all loops behind one short lock.

import Bytes
import Clocks
import Posix
import Synchronization
import Vault

/// Who may not come in now.
final class Guard: Sendable {
  private static let clientsMax = 100_000
  private static let windowSeconds = 600
  private static let blockSeconds = 600
  private static let blockSecondsMax = 86_400

  private struct Client {
    var bad: Set<UInt64> = []
    var windowEnds: Instant
    var blockedUntil: Instant?
    var blocks = 0
  }

  private struct State {
    var clients: [IPAddress: Client] = [:]
    /// When the full table was last searched for entries to let go.
    var sweptAt = Instant(nanoseconds: 0)
    var hour: Int64 = 0
    var counts: [Digest256: Int] = [:]
  }

  private let state = Mutex(State())
  private let blocked = Atomic<Int>(0)
  private let badMax: Int
  private let perHourMax: Int?
  private let exempt: [CIDR]

  /// Blocks after `badMax` distinct bad credentials in ten minutes; `exempt` is never blocked.
  init(badMax: Int, perHourMax: Int?, exempt: [CIDR]) {
    self.badMax = badMax
    self.perHourMax = perHourMax
    self.exempt = exempt
  }

  /// Seconds until `client` may come again, nil when it may now.
  func secondsBlocked(_ client: IPAddress?, now: Instant) -> Int? {
    guard blocked.load(ordering: .relaxed) > 0, let client else { return nil }
    let network = client.clientNetwork
    return state.withLock { state in
      guard let until = state.clients[network]?.blockedUntil else { return nil }
      if until <= now {
        state.clients[network]?.blockedUntil = nil
        blocked.wrappingSubtract(1, ordering: .relaxed)
        return nil
      }
      return max(Int(now.duration(to: until).components.seconds), 1)
    }
  }

  /// Notes a bad credential of `client`; gives the length of the block that it earned.
  func noteBad(_ client: IPAddress?, credential: UInt64, now: Instant) -> Int? {
    guard let client, !exempt.contains(where: { $0.contains(client) }) else { return nil }
    let network = client.clientNetwork
    return state.withLock { state in
      if state.clients.count >= Self.clientsMax && state.clients[network] == nil {
        guard state.sweptAt.advanced(by: .seconds(1)) <= now else { return nil }
        state.sweptAt = now
        state.clients = state.clients.filter {
          $1.blockedUntil.map { $0 > now } ?? false || $1.windowEnds > now
        }
        if state.clients.count >= Self.clientsMax { return nil }
      }
      let fresh = now.advanced(by: .seconds(Self.windowSeconds))
      var entry = state.clients[network] ?? Client(windowEnds: fresh)
      if entry.windowEnds <= now {
        entry.bad.removeAll()
        entry.windowEnds = fresh
      }
      entry.bad.insert(credential)
      var earned: Int?
      if entry.bad.count >= badMax, entry.blockedUntil == nil {
        let seconds = min(Self.blockSeconds << min(entry.blocks, 8), Self.blockSecondsMax)
        entry.blocks += 1
        entry.bad.removeAll()
        entry.blockedUntil = now.advanced(by: .seconds(seconds))
        blocked.wrappingAdd(1, ordering: .relaxed)
        earned = seconds
      }
      state.clients[network] = entry
      return earned
    }
  }

  /// Takes over a block that was stored.
  func restore(_ client: IPAddress, seconds: Int, now: Instant) {
    state.withLock { state in
      guard state.clients[client]?.blockedUntil == nil else { return }
      state.clients[client] = Client(
        windowEnds: now, blockedUntil: now.advanced(by: .seconds(seconds)), blocks: 1)
      blocked.wrappingAdd(1, ordering: .relaxed)
    }
  }

  /// Counts a request of a connection; gives seconds to wait when the hour's limit is reached.
  func secondsOverHourlyLimit(
    _ connection: Digest256, now: @autoclosure () -> UnixTime
  ) -> Int? {
    guard let perHourMax else { return nil }
    let now = now()
    let hour = now.seconds / 3600
    return state.withLock { state in
      if state.hour != hour {
        state.hour = hour
        state.counts.removeAll(keepingCapacity: true)
      }
      state.counts[connection, default: 0] += 1
      let count = state.counts[connection, default: 0]
      return count > perHourMax ? Int(3600 - now.seconds % 3600) : nil
    }
  }
}
