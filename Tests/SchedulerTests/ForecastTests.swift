// What owners are told and when: every rule as a table of moments, each thing once; then the same over
// real databases, with the mails that come of it.

import Accounts
import Clocks
import Database
import Logging
import Metrics
import Providers
import Synchronization
import TestFolders
import Testing
import Vault

@testable import bindery_scheduler

private let day: Int64 = 86_400
/// Far enough from 1970 that nothing becomes negative.
private let epoch: Int64 = 1_800_000_000

private func at(_ days: Double) -> UnixTime {
  UnixTime(seconds: epoch + Int64(days * Double(day)))
}

private func prospect(
  ends: Double? = nil, consent: Double? = nil, warned: Double? = nil, reminded: Double? = nil
) -> Prospect {
  Prospect(
    connection: "c", isManaged: true, createdAt: at(0), generation: 3, endsAt: ends.map(at),
    needsReauthAt: consent.map(at), warnedAt: warned.map(at), remindedAt: reminded.map(at))
}

@Suite("Forecast") struct ForecastTests {
  struct Row: Sendable, CustomTestStringConvertible {
    let why: String
    let prospect: Prospect
    let now: Double
    let expected: Notice?
    var testDescription: String { why }
  }

  static let rows: [Row] = [
    Row(why: "nothing is known", prospect: prospect(), now: 1, expected: nil),
    Row(why: "the end is far", prospect: prospect(ends: 90), now: 82.9, expected: nil),
    Row(
      why: "a week before", prospect: prospect(ends: 90), now: 83,
      expected: .ending(at(90), withinDays: 7)),
    Row(
      why: "a week before, told", prospect: prospect(ends: 90, warned: 83), now: 88, expected: nil),
    Row(
      why: "a day before, told a week before", prospect: prospect(ends: 90, warned: 83), now: 89,
      expected: .ending(at(90), withinDays: 1)),
    Row(
      why: "first seen on the last day", prospect: prospect(ends: 90), now: 89.5,
      expected: .ending(at(90), withinDays: 1)),
    Row(
      why: "the last day, told", prospect: prospect(ends: 90, warned: 89.5), now: 89.9,
      expected: nil
    ),
    Row(
      why: "told of an earlier end", prospect: prospect(ends: 180, warned: 89), now: 173,
      expected: .ending(at(180), withinDays: 7)),
    Row(why: "past its end", prospect: prospect(ends: 90), now: 90, expected: nil),
    Row(
      why: "the provider wants consent", prospect: prospect(consent: 10), now: 10,
      expected: .needsReauthorization),
    Row(
      why: "consent, though warned before", prospect: prospect(ends: 12, consent: 10, warned: 9),
      now: 10.1, expected: .needsReauthorization),
    Row(
      why: "consent, told", prospect: prospect(ends: 12, consent: 10, warned: 10.1), now: 11.5,
      expected: nil),
    Row(
      why: "consent, told, a year old", prospect: prospect(consent: 10, warned: 10.1), now: 340,
      expected: nil),
    Row(why: "not yet a year", prospect: prospect(), now: 334.9, expected: nil),
    Row(why: "335 days", prospect: prospect(), now: 335, expected: .yearly(1)),
    Row(why: "335 days, told", prospect: prospect(reminded: 335), now: 600, expected: nil),
    Row(
      why: "the next year", prospect: prospect(reminded: 335), now: 700, expected: .yearly(2)),
    Row(why: "after a long sleep", prospect: prospect(), now: 1100, expected: .yearly(3)),
    Row(
      why: "the end before the year", prospect: prospect(ends: 340), now: 336,
      expected: .ending(at(340), withinDays: 7)),
    Row(
      why: "the year after the end was told", prospect: prospect(ends: 340, warned: 335.5),
      now: 336,
      expected: .yearly(1)),
  ]

  @Test("tells each thing once and in time", arguments: rows) func notices(row: Row) {
    #expect(Forecast.notice(for: row.prospect, at: at(row.now)) == row.expected)
  }

  @Test("a connection that is told of everything once is told at most once per occasion")
  func replay() {
    var state = prospect(ends: 400)
    var told: [Notice] = []
    for hour in 0..<(420 * 24) {
      let now = at(Double(hour) / 24)
      guard let notice = Forecast.notice(for: state, at: now) else { continue }
      told.append(notice)
      if case .yearly = notice { state.remindedAt = now } else { state.warnedAt = now }
    }
    let end = at(400)
    #expect(
      told == [.yearly(1), .ending(end, withinDays: 7), .ending(end, withinDays: 1)])
  }

  @Test("counts as dying what ends in the window and can be saved") func dying() {
    let week = 7 * day
    #expect(Forecast.isDying(prospect(ends: 10), within: week, at: at(3)))
    #expect(!Forecast.isDying(prospect(ends: 10), within: week, at: at(2.9)))
    #expect(!Forecast.isDying(prospect(ends: 10), within: week, at: at(10)))
    #expect(!Forecast.isDying(prospect(), within: week, at: at(3)))
    #expect(!Forecast.isDying(prospect(ends: 10, consent: 4), within: week, at: at(5)))
  }
}

@Suite("Forecaster") struct ForecasterTests {
  private let stage: TokenStage
  private let forecaster: Forecaster
  private let metrics = MetricRegistry()

  init() async throws {
    stage = try await TokenStage()
    let mailer = Mailer(
      bindery: stage.bindery, carrier: SilentCarrier(), log: .discarding,
      dashboard: "https://bindery.example/dashboard", host: "bindery.example",
      resetToken: { _ in nil })
    forecaster = Forecaster(
      bindery: stage.bindery, tokens: stage.tokens, mailer: mailer, catalogue: { .builtIn },
      metrics: metrics, log: .discarding)
  }

  private func mails() async throws -> [String] {
    try await stage.bindery.run { (database) throws(DatabaseError) in
      try database.all("SELECT kind || ' ' || recipient FROM mail_queue ORDER BY kind") {
        (row) throws(DatabaseError) in try row.text(0)
      }
    }
  }

  private func bodies() async throws -> String {
    try await stage.bindery.run { (database) throws(DatabaseError) in
      try database.all("SELECT subject || char(10) || body FROM mail_queue ORDER BY kind") {
        (row) throws(DatabaseError) in try row.text(0)
      }
    }.joined()
  }

  @Test("writes to owners once and counts what dies") func letters() async throws {
    try await stage.connect(1, mode: "managed", end: at(90))
    try await stage.connect(2, mode: "zero_knowledge", end: at(89.5))
    try await stage.connect(3, mode: "managed", consent: at(80))
    try await stage.connect(4, mode: "managed")
    try await stage.connect(5, mode: "managed", auth: "api_key")
    for _ in 0..<2 {
      let report = try await forecaster.look(at: at(89))
      let counts = Dictionary(report.counts.map { ("\($0.name)", $0.count) }, uniquingKeysWith: +)
      #expect(counts["dying_within_24h"] == 2 && counts["dying_within_7d"] == 2)
      #expect(counts["needing_consent"] == 1)
    }
    #expect(
      try await mails() == [
        "connection_ending owner@b.example", "connection_ending_unless_used owner@b.example",
        "reauthorization_needed owner@b.example",
      ])
    let text = try await bodies()
    #expect(text.contains("Use it once before that day"))
    #expect(text.components(separatedBy: "https://bindery.example/dashboard").count == 4)
    #expect(text.contains("\"label 1\" to Linear works until \(MailMessage.day(at(90)))"))
    #expect(metrics.totals["bindery_scheduler_connections_dying"] == 4)
    #expect(metrics.totals["bindery_scheduler_connections_needing_consent"] == 1)
  }

  @Test("tells again when the tokens are others") func again() async throws {
    try await stage.connect(1, mode: "managed", consent: at(80))
    _ = try await forecaster.look(at: at(80))
    try await stage.refuse(1, generation: 2, at: at(85))
    _ = try await forecaster.look(at: at(85))
    #expect(try await mails().count == 2)
  }

  @Test("goes by the end known at the consent until the first refresh") func firstEnd() async throws
  {
    try await stage.connect(1, mode: "managed", firstEnd: at(90))
    try await stage.connect(2, mode: "managed", firstEnd: at(90), refreshed: at(50))
    try await stage.connect(3, mode: "managed", firstEnd: at(90), end: at(300), refreshed: at(50))
    let report = try await forecaster.look(at: at(89))
    #expect(report.counts.map(\.count) == [1, 1, 0, 1])
  }

  @Test("reminds of the year also where nothing was ever refreshed") func yearly() async throws {
    try await stage.connect(1, mode: "zero_knowledge")
    for _ in 0..<2 { _ = try await forecaster.look(at: at(335)) }
    #expect(try await mails() == ["yearly_reminder owner@b.example"])
  }
}

/// Takes everything.
private struct SilentCarrier: MailCarrier {
  func carry(_ mail: QueuedMail, at now: UnixTime) async throws(MailFailure) {}
}

extension String {
  fileprivate func components(separatedBy part: String) -> [Substring] {
    split(separator: part, omittingEmptySubsequences: false)
  }
}
