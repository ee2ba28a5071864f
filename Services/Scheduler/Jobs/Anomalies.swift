// Does every connection have what it needs? Looks once a day through all of them for what no working
// system would leave behind, counts it and says it once. Nothing is repaired here: whatever is found
// wants a person's eye.

import Accounts
import Clocks
import Database
import Logging
import Metrics
import Providers
import Vault

/// What can be wrong with a connection.
enum Anomaly: Int, MetricLabel {
  /// The row is there, its tokens are not.
  case tokensMissing
  /// The tokens are in an envelope that can never be opened.
  case tokensUndecodable
  /// The state of refreshes belongs to a generation that was never stored.
  case generationUnknown
  /// Managed, and not refreshed for four times the service's interval.
  case refreshStale
  /// The row says that the connection does not work.
  case statusError

  var label: StaticString {
    switch self {
    case .tokensMissing: "tokens_missing"
    case .tokensUndecodable: "tokens_undecodable"
    case .generationUnknown: "generation_unknown"
    case .refreshStale: "refresh_stale"
    case .statusError: "status_error"
    }
  }
}

/// What is stored for a connection, as far as its soundness can be told without a key.
struct TokenSoundness: Sendable, Equatable {
  let generation: Int64
  let fault: EnvelopeFault?
  let updatedAt: UnixTime
  let stateGeneration: Int64?
  let needsReauth: Bool
}

/// The rules, and the walk that applies them.
struct AnomalySearch: Sendable {
  private static let pageMax = 256
  /// A refresh may be late by this factor before it counts as missing.
  static let staleFactor: Int64 = 4
  /// A connection's blob and row are written one after the other: a fresh one is not judged.
  static let settleSeconds: Int64 = 60

  let bindery: DatabaseThread
  let tokens: DatabaseThread
  let catalogue: @Sendable () -> Catalogue
  let found: Family<Gauge, Anomaly>
  let log: Log

  init(
    bindery: DatabaseThread, tokens: DatabaseThread, catalogue: @escaping @Sendable () -> Catalogue,
    metrics: MetricRegistry, log: Log
  ) {
    self.bindery = bindery
    self.tokens = tokens
    self.catalogue = catalogue
    self.log = log
    found = metrics.gauges(
      "bindery_scheduler_anomalies", "Connections in which the last search found something wrong.",
      label: "anomaly", by: Anomaly.self)
  }

  /// What is wrong with one connection. Pure.
  static func anomalies(
    of connection: OwnedConnection, _ soundness: TokenSoundness?, intervalSeconds: Int?,
    at now: UnixTime
  ) -> [Anomaly] {
    var all: [Anomaly] = []
    if connection.status == .error { all.append(.statusError) }
    guard let soundness else {
      let isSettled = connection.createdAt.advanced(bySeconds: settleSeconds) <= now
      return isSettled ? all + [.tokensMissing] : all
    }
    if soundness.fault != nil { all.append(.tokensUndecodable) }
    if let state = soundness.stateGeneration, state > soundness.generation {
      all.append(.generationUnknown)
    }
    if connection.isManaged, connection.authType == .oauth, connection.status == .active,
      !soundness.needsReauth, let interval = intervalSeconds,
      soundness.updatedAt.advanced(bySeconds: staleFactor * Int64(interval)) < now
    {
      all.append(.refreshStale)
    }
    return all
  }

  /// Looks at every connection once.
  func look(at now: UnixTime) async throws(DatabaseError) -> JobReport {
    var last = ""
    var counts = [Int64](repeating: 0, count: Anomaly.allCases.count)
    while true {
      let after = last
      let page = try await bindery.run { (database) throws(DatabaseError) -> Page in
        let page = try OwnedConnection.page(after: after, limit: Self.pageMax, in: database)
        return Page(connections: page.connections, last: page.last)
      }
      guard let end = page.last else { break }
      let ids = page.connections.map(\.id)
      let stored = try await tokens.run { (database) throws(DatabaseError) in
        var stored: [TokenSoundness?] = []
        for id in ids { stored.append(try Self.soundness(of: id, in: database)) }
        return stored
      }
      let catalogue = catalogue()
      for (connection, soundness) in zip(page.connections, stored) {
        let interval = catalogue[connection.service]?.refresh.backgroundIntervalSeconds
        for anomaly in Self.anomalies(
          of: connection, soundness, intervalSeconds: interval, at: now)
        {
          counts[anomaly.rawValue] += 1
          log.warning(
            "anomaly",
            ["kind": .literal(anomaly.label), "connection": .idPrefix(connection.id)])
        }
      }
      last = end
    }
    for anomaly in Anomaly.allCases { found[anomaly].set(counts[anomaly.rawValue]) }
    return JobReport(
      counts: Anomaly.allCases.map { ($0.label, counts[$0.rawValue]) },
      hasFindings: counts.contains { $0 > 0 })
  }

  private struct Page: Sendable {
    let connections: [OwnedConnection]
    let last: String?
  }

  private static func soundness(
    of id: String, in database: Connection
  ) throws(DatabaseError) -> TokenSoundness? {
    guard let blob = try TokenStore(database).blob(of: id) else { return nil }
    let state = try RefreshLedger(database).state(of: id)
    let generation = Int64(bitPattern: blob.generation)
    let stateGeneration = state.map { Int64(bitPattern: $0.generation) }
    return TokenSoundness(
      generation: generation, fault: EnvelopeFault.ofBlob(blob.sealed),
      updatedAt: blob.updatedAt ?? UnixTime(seconds: 0), stateGeneration: stateGeneration,
      needsReauth: stateGeneration == generation && state?.needsReauthAt != nil)
  }
}

extension Job {
  /// Once a day, so that nothing is said twice within one.
  static func anomalies(_ search: AnomalySearch) -> Job {
    Job(name: .anomalies, intervalSeconds: 86_400) { (now) throws(JobFailure) in
      do throws(DatabaseError) { return try await search.look(at: now) } catch {
        throw .database(error)
      }
    }
  }
}
