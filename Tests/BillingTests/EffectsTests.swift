// Events from the inbox to their end: each is taken into account once, one that can not be read is
// parked after eight tries and holds up no other, bodies go after 90 days, and times are spread.

import Clocks
import Database
import Logging
import Testing

@testable import Stripe
@testable import bindery_billing

private let t: Int64 = 1_700_000_000

@Suite("Effects") struct EffectsTests {
  private let till: Till
  private let effects: Effects

  init() throws {
    till = try Till()
    effects = Effects(
      database: till.database, rules: Till.rules, log: .discarding, metrics: till.metrics)
  }

  private func file(_ event: TestEvent) async throws {
    let body = Array(event.json.utf8)
    _ = try await Inbox(database: till.database).file(
      StripeEvent(json: body), body: body, at: UnixTime(seconds: t))
  }

  private struct Row: Equatable, Sendable {
    var state: String
    var tries: Int64
    var reason: String?
    var hasBody: Bool
  }

  private func row(_ id: String) async throws -> Row? {
    try await till.write { (connection) throws(DatabaseError) in
      try connection.first(
        "SELECT state, tries, reason, body IS NOT NULL FROM stripe_inbox WHERE id = ?", .text(id)
      ) { (row) throws(DatabaseError) in
        Row(
          state: try row.text(0), tries: try row.integer(1), reason: try row.optionalText(2),
          hasBody: try row.integer(3) == 1)
      }
    }
  }

  private let poison = TestEvent(
    "evt_poison", "customer.subscription.updated", #"{"object":"subscription"}"#, at: t)

  @Test("a poison event is parked after eight tries and delays no other") func poisoned()
    async throws
  {
    try await file(poison)
    for number in 0..<20 {
      try await file(
        TestEvent("evt_\(number)", "price.updated", #"{"id":"p","object":"price"}"#, at: t))
    }
    while try await effects.round(at: UnixTime(seconds: t)) == Effects.roundMax {}
    #expect(
      try await row("evt_19")
        == Row(state: "ignored", tries: 1, reason: "unknown_type", hasBody: true))
    #expect(
      try await row("evt_poison")
        == Row(state: "waiting", tries: 1, reason: "unreadable", hasBody: true))
    // Not again before its time.
    #expect(try await effects.round(at: UnixTime(seconds: t)) == 0)
    for round in 2...8 {
      #expect(try await effects.round(at: UnixTime(seconds: t + Int64(round) * 1000)) == 1)
    }
    #expect(
      try await row("evt_poison")
        == Row(state: "parked", tries: 8, reason: "unreadable", hasBody: true))
    #expect(try await effects.round(at: UnixTime(seconds: t + 99_999)) == 0)
    // A replay begins anew.
    let replay = try await till.write { (connection) throws(DatabaseError) in
      try InboxStore(database: connection).replay("evt_poison")
    }
    #expect(replay == .queued)
    #expect(try await effects.round(at: UnixTime(seconds: t)) == 1)
    #expect(try await row("evt_poison")?.tries == 1)
  }

  @Test("bodies go after 90 days, ids stay, and a replay after years changes nothing")
  func retention() async throws {
    try await file(TestEvent("evt_a", "checkout.session.completed", checkout(), at: t))
    try await file(
      TestEvent("evt_b", "customer.subscription.updated", subscription("active"), at: t + 1))
    try await file(poison)
    _ = try await effects.round(at: UnixTime(seconds: t + 5))
    try await file(
      TestEvent(
        "evt_c", "customer.subscription.deleted", subscription("canceled", endedAt: t + 9),
        at: t + 9))
    _ = try await effects.round(at: UnixTime(seconds: t + 10))
    for round in 1...8 {
      _ = try await effects.round(at: UnixTime(seconds: t + Int64(round) * 1000))
    }
    let tidying = Tidying(database: till.database, log: .discarding)
    try await tidying.run(at: UnixTime(seconds: t + Tidying.bodySeconds))
    #expect(try await row("evt_b")?.hasBody == true)
    try await tidying.run(at: UnixTime(seconds: t + 2 * 365 * 86_400))
    for id in ["evt_a", "evt_b", "evt_c", "evt_poison"] {
      #expect(try await row(id)?.hasBody == false, "\(id)")
    }
    #expect(try await row("evt_poison")?.state == "ignored")
    // Stripe sends it again, and somebody replays it.
    try await file(
      TestEvent("evt_b", "customer.subscription.updated", subscription("active"), at: t + 1))
    #expect(try await row("evt_b") == Row(state: "applied", tries: 1, reason: nil, hasBody: false))
    let replay = try await till.write { (connection) throws(DatabaseError) in
      try InboxStore(database: connection).replay("evt_b")
    }
    #expect(replay == .bodyGone(subscription: "sub_1", customer: "cus_1"))
    // A copy under a new id is old news.
    let copy = TestEvent(
      "evt_n", "customer.subscription.updated", subscription("active"), at: t + 1)
    #expect(try await till.take([copy]).first != .applied)
    #expect(try await till.subscription()?.isOver != false)
  }

  @Test("waits double up to their bound, spread over their upper half") func waits() {
    for (tries, most): (Int64, Int64) in [(1, 1), (2, 2), (3, 4), (7, 64), (8, 64), (99, 64)] {
      let waits = [0, 1, .max, .max / 3].map {
        Tries.wait(after: tries, secondsMax: 64, chance: $0)
      }
      #expect(waits.allSatisfy { (most - most / 2...most).contains($0) }, "\(tries): \(waits)")
    }
  }

  @Test("contact is as old as what waits, or as a long silence of Stripe's") func contact() {
    let now = UnixTime(seconds: t)
    func time(_ waiting: Int64?, _ listed: Int64?, _ hasKey: Bool = true) -> Int64? {
      Contact.time(
        now: now, oldestWaiting: waiting.map { UnixTime(seconds: $0) },
        listedAt: listed.map { UnixTime(seconds: $0) }, hasKey: hasKey)?.seconds
    }
    #expect(time(nil, t - 3600) == t)
    #expect(time(t - 40, t - 3600) == t - 40)
    #expect(time(nil, t - 86_400) == t - 86_400)
    #expect(time(nil, nil) == nil)
    #expect(time(nil, nil, false) == t)
  }

  @Test(
    "Stripe's clock is read from the answer",
    arguments: [
      ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777), ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
      ("Tue, 29 Feb 2028 23:59:59 GMT", 1_835_481_599), ("Sunday, 06-Nov-94 08:49:37 GMT", nil),
      ("Sun, 06 Nov 1994 08:49:37 UTC", nil), ("", nil), ("Sun, 06 Now 1994 08:49:37 GMT", nil),
      ("Sun, 06 Nov 1994 25:49:37 GMT", nil), ("Sun, +6 Nov 1994 08:49:37 GMT", nil),
    ] as [(String, Int64?)])
  func clock(text: String, seconds: Int64?) {
    #expect(StripeClock.seconds(Array(text.utf8)) == seconds)
    guard let seconds else { return }
    #expect(UnixTime(seconds: seconds).rfc3339.utf8.count == 20)
  }
}
