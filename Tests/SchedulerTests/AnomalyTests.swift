// Each thing that can be wrong with a connection is found, and nothing that is right: as a table of
// rules, and by a walk over real databases.

import Accounts
import Clocks
import Database
import Logging
import Metrics
import Providers
import Testing
import Vault

@testable import bindery_scheduler

private let start: Int64 = 1_800_000_000
private let now = UnixTime(seconds: start + 10 * 86_400)

@Suite("Anomalies") struct AnomalyTests {
  static let envelopes: [([UInt8], EnvelopeFault?)] = [
    (TokenStage.envelope, nil), ([], .length), ([UInt8](TokenStage.envelope.dropLast()), .length),
    ([2] + TokenStage.envelope.dropFirst(), .version),
    ([1, 2] + TokenStage.envelope.dropFirst(2), .mode),
    ([1, 1] + TokenStage.envelope.dropFirst(2), .mode),
    ([1, 3, 9] + TokenStage.envelope.dropFirst(3), .fingerprint),
  ]

  @Test("an envelope is judged without a key", arguments: envelopes)
  func envelope(sealed: [UInt8], fault: EnvelopeFault?) {
    #expect(EnvelopeFault.ofBlob(sealed) == fault)
  }

  @Test("what a seal engine makes has no fault") func sealed() {
    let key = DataKey.random()
    let context = SealContext.tokenBlob(
      connection: TokenStage.id(1), owner: TokenStage.id(0), generation: 1)
    let bytes = [UInt8]([1, 2, 3]).withUnsafeBytes {
      SealEngine().seal($0, under: key, context: context)
    }
    #expect(EnvelopeFault.ofBlob(bytes) == nil)
  }

  @Test("every anomaly is found once and what is right is not") func walk() async throws {
    let stage = try await TokenStage()
    let old = UnixTime(seconds: start)
    let metrics = MetricRegistry()
    let search = AnomalySearch(
      bindery: stage.bindery, tokens: stage.tokens, catalogue: { .builtIn }, metrics: metrics,
      log: .discarding)
    let provider = try #require(
      Catalogue.builtIn.providers.first { $0.refresh.backgroundIntervalSeconds != nil })
    let service = provider.id
    let interval = Int64(try #require(provider.refresh.backgroundIntervalSeconds))
    let limit = UnixTime(seconds: now.seconds - 4 * interval)
    try await stage.connect(1, service: service, mode: "managed", updated: limit)
    try await stage.connect(
      2, service: service, mode: "managed", updated: limit.advanced(bySeconds: -1))
    try await stage.connect(3, service: service, mode: "zero_knowledge", updated: old)
    try await stage.connect(4, service: service, mode: "managed", auth: "api_key", updated: old)
    try await stage.connect(5, service: service, mode: "managed", consent: old, updated: old)
    try await stage.connect(6, mode: "zero_knowledge", sealed: nil)
    try await stage.connect(
      7, mode: "zero_knowledge", sealed: [UInt8](TokenStage.envelope.dropLast()))
    try await stage.connect(8, mode: "zero_knowledge", status: "error")
    try await stage.connect(9, mode: "zero_knowledge", end: now)
    try await stage.tokens.run { (database) throws(DatabaseError) in
      try database.execute(
        "UPDATE refresh_state SET generation = 2 WHERE connection_id = ?",
        .text(TokenStage.id(9)))
    }
    let report = try await search.look(at: now)
    #expect(report.hasFindings && report.counts.map(\.count) == [1, 1, 1, 1, 1])
    #expect(metrics.totals["bindery_scheduler_anomalies"] == 5)
    // Where the service asks for no refreshes in the background, none is missing.
    try await stage.connect(10, mode: "managed", updated: old)
    #expect(try await search.look(at: now).counts.map(\.count) == [1, 1, 1, 1, 1])
  }

  @Test("a healthy house has no findings; a connection just made is not judged") func healthy()
    async throws
  {
    let stage = try await TokenStage()
    let search = AnomalySearch(
      bindery: stage.bindery, tokens: stage.tokens, catalogue: { .builtIn },
      metrics: MetricRegistry(), log: .discarding)
    try await stage.connect(1, mode: "managed", updated: now)
    try await stage.connect(2, mode: "zero_knowledge", sealed: nil)
    let early = try await search.look(at: UnixTime(seconds: start + 59))
    #expect(!early.hasFindings)
    let late = try await search.look(at: UnixTime(seconds: start + 60))
    #expect(late.hasFindings)
  }
}
