// What was discovered of each service, for a while: a person who connects must not wait for five
// documents, and a service must not be asked them by each. However many ask, one search runs.

import Clocks
import Providers
import Synchronization

/// Discoveries by service.
public final class DiscoveryCache: Sendable {
  /// For how long a find is believed.
  public static let goodFor = Duration.seconds(600)
  /// For how long nobody asks again after a failure.
  public static let badFor = Duration.seconds(30)

  private typealias Outcome = Result<DiscoveredService, DiscoveryFailure>

  private struct Entry {
    let provider: Provider
    let search: Task<Outcome, Never>
    /// Nil while the search runs, which has its own end.
    var until: Instant?
  }

  private let discovery: Discovery
  private let now: @Sendable () -> Instant
  private let entries = Mutex<[String: Entry]>([:])

  /// An empty cache in front of `discovery`.
  public init(_ discovery: Discovery, now: @escaping @Sendable () -> Instant = { .now }) {
    self.discovery = discovery
    self.now = now
  }

  /// As `Discovery.find`, at most every ten minutes for one service as the catalogue has it.
  /// - Throws: `DiscoveryFailure`.
  public func find(_ provider: Provider) async throws(DiscoveryFailure) -> DiscoveredService {
    let search = turn(provider)
    let outcome = await search.value
    if case .success = outcome {
      keep(provider, search, for: Self.goodFor)
    } else {
      keep(provider, search, for: Self.badFor)
    }
    return try outcome.get()
  }

  /// Drops what is known of a service, when its server turned out to have changed.
  public func forget(_ id: String) { entries.withLock { _ = $0.removeValue(forKey: id) } }

  private func turn(_ provider: Provider) -> Task<Outcome, Never> {
    let now = now()
    return entries.withLock { entries in
      if let entry = entries[provider.id], entry.provider == provider,
        entry.until.map({ $0 > now }) ?? true
      {
        return entry.search
      }
      let search = Task { [discovery] in await discovery.walk(provider).result }
      entries[provider.id] = Entry(provider: provider, search: search)
      return search
    }
  }

  private func keep(
    _ provider: Provider, _ search: Task<Outcome, Never>, for time: Duration
  ) {
    let until = now().advanced(by: time)
    entries.withLock { entries in
      guard let entry = entries[provider.id], entry.search == search, entry.until == nil else {
        return
      }
      entries[provider.id]?.until = until
    }
  }
}
