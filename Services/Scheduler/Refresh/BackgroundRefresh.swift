// Keeps the tokens of managed connections fresh: walks through them, finds those that are due, and
// refreshes them, the ones that end first before the others. Each data key comes from auth for one
// refresh. Zero-knowledge connections are not touched: nobody here can open them.

import Accounts
import Clocks
import Database
import Logging
import Providers
import RPC
import Synchronization
import Vault

/// The refresher that nobody asks.
final class BackgroundRefresh: Sendable {
  /// Between two walks at most.
  static let walkSeconds: Int64 = 30
  private static let pageMax = 256
  /// Background refreshes of one service under way.
  private static let atOnce = 16...256

  private let parts: Refresher.Parts
  private let refresher: Refresher
  private let auth: RPCClient
  /// Generations without a refresh token: nobody's data key is asked for again for them.
  private let unrefreshable = Mutex<[String: UInt64]>([:])
  private let counts = Mutex((managed: Int64(0), due: Int64(0)))

  init(parts: Refresher.Parts, refresher: Refresher, auth: RPCClient) {
    self.parts = parts
    self.refresher = refresher
    self.auth = auth
  }

  /// Managed connections, and those found due, at the last walk.
  var latest: (managed: Int64, due: Int64) { counts.withLock { $0 } }

  /// Tokens that wait for a background refresh.
  private struct Due: Sendable {
    let facts: ConnectionFacts
    let generation: UInt64
    let endsAt: UnixTime?
    let at: UnixTime
  }

  /// Walks for ever.
  func run() async {
    while true {
      var wait = Self.walkSeconds
      do throws(DatabaseError) {
        let (due, next) = try await walk(at: .now)
        let isDone = await refresh(due)
        if !isDone { wait = 1 }
        if let next { wait = min(max(next.seconds - UnixTime.now.seconds, 1), wait) }
      } catch {
        parts.log.warning("refresh_walk_failed", ["reason": .literal(error.label)])
      }
      await parts.pause(.seconds(wait))
    }
  }

  /// The due tokens, those that end first in front, and when the next ones are due.
  private func walk(
    at now: UnixTime
  ) async throws(DatabaseError) -> (due: [Due], next: UnixTime?) {
    var last = ""
    var due: [Due] = []
    var next: UnixTime?
    var managed: Int64 = 0
    while true {
      let after = last
      let page = try await parts.bindery.run { (database) throws(DatabaseError) in
        try ConnectionFacts.managed(after: after, limit: Self.pageMax, in: database)
      }
      guard let end = page.last else { break }
      let gates = parts.gates
      let found = try await parts.tokens.run { (database) throws(DatabaseError) in
        var found: [Due] = []
        for facts in page {
          guard
            let standing = try RefreshLedger(database).standing(of: facts.connection),
            let at = DueDate.next(
              connection: facts.connection, standing, rules: gates.rules(of: facts.service))
          else { continue }
          found.append(
            Due(
              facts: facts, generation: standing.generation, endsAt: standing.expiresAt, at: at))
        }
        return found
      }
      managed += Int64(page.count)
      due += unrefreshable.withLock { known in
        found.filter { $0.at <= now && known[$0.facts.connection] != $0.generation }
      }
      let later = found.filter { $0.at > now }.map(\.at).min()
      if let later { next = next.map { min($0, later) } ?? later }
      last = end.connection
    }
    due.sort { ($0.endsAt ?? $0.at) < ($1.endsAt ?? $1.at) }
    let totals = (managed: managed, due: Int64(due.count))
    counts.withLock { $0 = totals }
    return (due, next)
  }

  /// Each service by itself, so that a slow one holds up no other. Whether all had their turn.
  private func refresh(_ due: [Due]) async -> Bool {
    // Then another walk: what has become due since may end before what is left.
    let end = Instant.now.advanced(bySeconds: Int(Self.walkSeconds))
    return await withTaskGroup(of: Bool.self) { group in
      for items in Dictionary(grouping: due, by: \.facts.service).values {
        group.addTask { await self.refresh(items, until: end) }
      }
      return await group.reduce(true) { $0 && $1 }
    }
  }

  private func refresh(_ due: [Due], until end: Instant) async -> Bool {
    guard let service = due.first?.facts.service else { return true }
    // A second's worth: enough to reach the rate at a provider that takes a second to answer.
    let rate = parts.gates.rules(of: service).maxPerSecond
    let atOnce = min(max(rate, Self.atOnce.lowerBound), Self.atOnce.upperBound)
    return await withTaskGroup(of: Void.self) { group in
      for (index, item) in due.enumerated() {
        guard Instant.now < end else { return false }
        if index >= atOnce { await group.next() }
        group.addTask { await self.refresh(item) }
      }
      return true
    }
  }

  private func refresh(_ item: Due) async {
    // No data key is unwrapped to be told that the provider is in trouble.
    guard await parts.gates.gate(of: item.facts.service).isOpen else { return }
    let answer: UnwrapCall.Response
    do throws(RPCError) {
      answer = try await auth.call(UnwrapCall.self, .init(connectionID: item.facts.connection))
    } catch { return }  // auth is away or the connection is: the next walk sees
    guard let key = DataKey(base64URL: answer.dataKey) else { return }
    let outcome = await refresher.refresh(
      item.facts.connection, generation: item.generation, key: key, wasRefused: false,
      urgency: .background)
    guard outcome.outcome == .unrefreshable else { return }
    unrefreshable.withLock { $0[item.facts.connection] = item.generation }
  }
}
