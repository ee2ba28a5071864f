// Clerk's public keys, fetched when they are needed. A name that is not known makes one fetch at most
// every half minute, whoever asks; known keys are used while a newer set is fetched, and for a day
// when Clerk can not be reached.

import Clocks
import HTTPClient
import HTTPCodec
import JOSE
import Logging
import OAuth
import Synchronization

/// A cache of Clerk's key set.
final class ClerkKeys: Sendable {
  /// After this a newer set is fetched behind the answer.
  static let freshFor = Duration.seconds(600)
  /// After this keys are believed no more.
  static let goodFor = Duration.seconds(86_400)
  /// Between two fetches.
  static let pause = Duration.seconds(30)
  private static let patience = Duration.seconds(5)
  private static let bytesMax = 64 * 1024

  private struct State {
    var set: RSAKeySet?
    var fetchedAt: Instant?
    var triedAt: Instant?
    var fetch: Task<Void, Never>?
  }

  private let url: WebURL
  private let fetching: any Fetching
  private let log: Log
  private let now: @Sendable () -> Instant
  private let state = Mutex(State())

  init(
    url: WebURL, fetching: any Fetching, log: Log, now: @escaping @Sendable () -> Instant = { .now }
  ) {
    self.url = url
    self.fetching = fetching
    self.log = log
    self.now = now
  }

  /// What is known of a name.
  enum Finding {
    case key(RSA.PublicKey)
    /// Clerk has no such key.
    case unknown
    /// Clerk could not be asked, and what was known is too old.
    case unreachable
  }

  /// The key called `keyID`.
  func find(_ keyID: String) async -> Finding {
    let (known, fetch) = state.withLock { state -> (RSA.PublicKey?, Task<Void, Never>?) in
      let known = usable(state)?[keyID]
      let age = state.fetchedAt.map { $0.duration(to: now()) }
      let isFresh = known != nil && (age.map { $0 < Self.freshFor } ?? false)
      return (known, isFresh ? nil : beginFetch(&state))
    }
    if let known { return .key(known) }
    await fetch?.value
    return state.withLock { state in
      guard let set = usable(state) else { return .unreachable }
      return set[keyID].map { .key($0) } ?? .unknown
    }
  }

  private func usable(_ state: borrowing State) -> RSAKeySet? {
    guard let fetchedAt = state.fetchedAt, fetchedAt.duration(to: now()) < Self.goodFor else {
      return nil
    }
    return state.set
  }

  /// The fetch under way, or a new one; nil when the last try was just now.
  private func beginFetch(_ state: inout State) -> Task<Void, Never>? {
    if let fetch = state.fetch { return fetch }
    if let triedAt = state.triedAt, triedAt.duration(to: now()) < Self.pause { return nil }
    state.triedAt = now()
    let fetch = Task { await self.fetch() }
    state.fetch = fetch
    return fetch
  }

  private func fetch() async {
    var set: RSAKeySet?
    let request = ClientRequest(
      method: .get, origin: Origin(url), target: url.target,
      fields: [("accept", Array("application/json".utf8))])
    do throws(ClientError) {
      let answer = try await fetching.fetch(
        request, policy: .operatorNamed, deadline: .now.advanced(by: Self.patience),
        bodyBytesMax: Self.bytesMax)
      if answer.status == 200, !answer.isPartial { set = try? RSAKeySet(parsing: answer.body) }
    } catch { set = nil }
    if set == nil { log.warning("clerk_keys_not_fetched") }
    state.withLock { state in
      state.fetch = nil
      guard let set else { return }
      state.set = set
      state.fetchedAt = now()
    }
  }
}
