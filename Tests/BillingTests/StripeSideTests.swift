// What is asked of Stripe and when: keys of idempotency that outlive a crash, tries, pages, doubts that
// are settled, farewells that are said; and what people get at the desk.

import Clocks
import Database
import HTTPClient
import Logging
import RPC
import Synchronization
import Testing

@testable import Stripe
@testable import bindery_billing

private let t: Int64 = 1_700_000_000

/// Other services that write down what they are told.
final class ScriptedPeers: BillingPeers {
  private struct State {
    var isAway = false
    var standings: [BillingStanding] = []
  }
  private let state = Mutex(State())

  var standings: [BillingStanding] { state.withLock { $0.standings } }
  func setAway(_ isAway: Bool) { state.withLock { $0.isAway = isAway } }

  func put(
    _ standing: BillingStanding, of user: String
  ) async throws(RPCError) -> PlanSetCall.Response {
    let isAway = state.withLock { state in
      if !state.isAway { state.standings.append(standing) }
      return state.isAway
    }
    if isAway { throw .unreachable(.auth) }
    return .init(applied: true)
  }

  func email(of user: String) async throws(RPCError) -> BillingUserCall.Response {
    .init(exists: true, email: "ann@example.org")
  }

  func mail(_ request: MailCall.Request) async throws(RPCError) {}
  func tellContact(_ caughtUpAt: UnixTime) async throws(RPCError) {}
}

@Suite("Stripe's side") struct StripeSideTests {
  private let till: Till
  private let stripe = ScriptedStripe()
  private let peers = ScriptedPeers()

  init() throws { till = try Till() }

  private var deliveries: Deliveries {
    Deliveries(database: till.database, peers: peers, log: .discarding)
  }

  private func readings() throws -> Readings {
    Readings(
      database: till.database, stripe: try stripe.api(till), rules: Till.rules, log: .discarding)
  }

  private func desk() throws -> Desk {
    Desk(
      database: till.database, stripe: try stripe.api(till), rules: Till.rules,
      readings: try readings(), deliveries: deliveries, log: .discarding)
  }

  private func subscribe() async throws {
    try await till.take([
      TestEvent("evt_a", "checkout.session.completed", checkout(), at: t),
      TestEvent(
        "evt_b", "customer.subscription.updated", subscription("active"), at: t + 1),
    ])
  }

  private func wish(_ quantity: Int64 = 2) -> BillingCheckoutCall.Request {
    .init(
      userID: Till.user, email: "ann@example.org", quantity: quantity,
      successURL: "https://b.example/d?session_id={CHECKOUT_SESSION_ID}",
      cancelURL: "https://b.example/d")
  }

  // MARK: The client

  @Test("a change keeps its key until its answer is known, and then takes a new one")
  func keys() async throws {
    let desk = try desk()
    stripe.fail("POST /v1/checkout/sessions")
    #expect(try await desk.checkout(wish()).refusal == .stripeUnreachable)
    #expect(stripe.asked.count == StripeAPI.triesMax)
    #expect(try await desk.checkout(wish()).refusal == .stripeUnreachable)
    let first = Set(stripe.asked.compactMap { $0.fields["idempotency-key"] })
    #expect(first.count == 1, "the same wish is the same request")
    // Another wish is another request.
    #expect(try await desk.checkout(wish(3)).refusal == .stripeUnreachable)
    #expect(Set(stripe.asked.compactMap { $0.fields["idempotency-key"] }).count == 2)
    stripe.set("POST /v1/checkout/sessions", #"{"url":"https://pay.example/1"}"#)
    #expect(try await desk.checkout(wish(3)).url == "https://pay.example/1")
    #expect(Set(stripe.asked.compactMap { $0.fields["idempotency-key"] }).count == 2)
    #expect(try await desk.checkout(wish(3)).url == "https://pay.example/1")
    #expect(Set(stripe.asked.compactMap { $0.fields["idempotency-key"] }).count == 3)
    let last = try #require(stripe.asked.last)
    #expect(last.fields["authorization"] == "Bearer sk_test_canary")
    #expect(last.fields["stripe-version"] == "2026-10-28.endive")
    #expect(last.body.contains("client_reference_id=\(Till.user)"))
    #expect(last.body.contains("line_items%5B0%5D%5Bprice%5D=price_1"))
    #expect(last.body.contains("line_items%5B0%5D%5Badjustable_quantity%5D%5Bmaximum%5D=20"))
    #expect(last.body.contains("%7BCHECKOUT_SESSION_ID%7D"))
  }

  @Test("what may be asked twice is; what Stripe refuses is not") func tries() async throws {
    let api = try stripe.api(till)
    stripe.set("GET /v1/subscriptions/sub_1", "{}", status: 503)
    await #expect(throws: StripeFailure.unreachable) {
      _ = try await api.get(StripeSubscription.self, "subscriptions/sub_1")
    }
    #expect(stripe.asked.count == 3)
    for (status, failure) in [
      (401, StripeFailure.keyRefused), (404, .missing), (400, .refused(status: 400)),
    ] {
      stripe.set("GET /v1/subscriptions/sub_1", "{}", status: status)
      await #expect(throws: failure) {
        _ = try await api.get(StripeSubscription.self, "subscriptions/sub_1")
      }
    }
    #expect(stripe.asked.count == 6)
    stripe.set("GET /v1/subscriptions/sub_1", "no json")
    await #expect(throws: StripeFailure.unreadable) {
      _ = try await api.get(StripeSubscription.self, "subscriptions/sub_1")
    }
    stripe.set("GET /v1/subscriptions/sub_1", subscription("active"))
    #expect(try await api.get(StripeSubscription.self, "subscriptions/sub_1").at == 1_700_000_900)
  }

  // MARK: Doubts

  @Test("a doubt waits for Stripe and is settled by it") func doubts() async throws {
    try await subscribe()
    try await till.take([
      TestEvent(
        "evt_c", "customer.subscription.updated", subscription("active", quantity: 7), at: t + 1)
    ])
    let readings = try readings()
    stripe.fail("GET /v1/subscriptions/sub_1")
    #expect(try await readings.round(at: UnixTime(seconds: .max / 2)) == false)
    #expect(try await till.subscription()?.doubt != nil)
    stripe.set("GET /v1/subscriptions/sub_1", subscription("active", quantity: 7))
    stripe.set("POST /v1/customers/cus_1", #"{"id":"cus_1"}"#)
    #expect(try await readings.round(at: UnixTime(seconds: .max / 2)))
    #expect(try await till.subscription()?.doubt == nil)
    #expect(try await till.standing()?.quantity == 7)
    #expect(stripe.asked.last?.body == "metadata%5Bbindery_user_id%5D=\(Till.user)")
    #expect(try await readings.round(at: UnixTime(seconds: .max / 2)) == false)
  }

  // MARK: Reconciling

  @Test("events and subscriptions that no webhook told are found, page by page") func reconcile()
    async throws
  {
    try await subscribe()
    let reconciler = Reconciler(
      database: till.database, stripe: try stripe.api(till), rules: Till.rules, log: .discarding,
      metrics: till.metrics)
    let deleted = TestEvent(
      "evt_9", "customer.subscription.deleted", subscription("canceled", endedAt: t + 90),
      at: t + 90)
    let other = TestEvent("evt_8", "invoice.paid", invoice(), at: t + 80)
    let base = "GET /v1/events?limit=100&created%5Bgte%5D="
    let from = 1_700_001_000 - Reconciler.listedSeconds
    let types = StripeNews.types.enumerated()
      .map { "&types%5B\($0.offset)%5D=\($0.element)" }.joined()
    stripe.set(
      "\(base)\(from)\(types)", #"{"object":"list","has_more":true,"data":[\#(other.json)]}"#)
    stripe.set(
      "\(base)\(from)\(types)&starting_after=evt_8",
      #"{"object":"list","has_more":false,"data":[\#(deleted.json),{"id":"broken"}]}"#)
    let now = UnixTime(seconds: 1_700_001_000)
    #expect(try await reconciler.events(at: now) == .init(seen: 2, healed: 2))
    #expect(try await till.standing()?.plan == .canceled)
    // The next list begins where this one ended, by Stripe's clock, and changes nothing.
    let next = 1_700_000_900 - Reconciler.overlapSeconds
    stripe.set(
      "\(base)\(next)\(types)", #"{"object":"list","has_more":false,"data":[\#(deleted.json)]}"#)
    #expect(try await reconciler.events(at: now) == .init(seen: 1, healed: 0))

    stripe.set(
      "GET /v1/subscriptions",
      #"{"object":"list","has_more":false,"data":[\#(subscription("active", id: "sub_5"))]}"#)
    #expect(try await reconciler.subscriptions(at: now) == .init(seen: 1, healed: 1))
    #expect(try await till.subscription("sub_5")?.doubt == .notListed)
    stripe.set("GET /v1/subscriptions/sub_5", subscription("active", quantity: 4, id: "sub_5"))
    _ = try await readings().round(at: UnixTime(seconds: .max / 2))
    #expect(try await till.standing()?.quantity == 4)
  }

  // MARK: Deliveries

  @Test("auth being away delays a standing and loses none") func away() async throws {
    try await subscribe()
    peers.setAway(true)
    #expect(try await deliveries.standings(at: UnixTime(seconds: .max / 2)) == false)
    #expect(peers.standings.isEmpty)
    peers.setAway(false)
    _ = try await deliveries.standings(at: UnixTime(seconds: .max / 2))
    #expect(peers.standings.map(\.quantity) == [2])
    _ = try await deliveries.standings(at: UnixTime(seconds: .max / 2))
    #expect(peers.standings.count == 1)
  }

  // MARK: The desk

  @Test("a checkout is linked for its own person, when it is paid") func verify() async throws {
    let desk = try desk()
    func verify(_ session: String) async throws -> BillingVerifyCall.Response {
      try await desk.verify(.init(userID: Till.user, sessionID: session))
    }
    for id in ["", "cs", "pi_1", "cs_1/../x", "cs_é", "cs_" + String(repeating: "a", count: 300)] {
      #expect(try await verify(id).refusal == .invalidSession, "\(id)")
    }
    #expect(stripe.asked.isEmpty)
    #expect(try await verify("cs_test_1").refusal == .invalidSession)
    let path = "GET /v1/checkout/sessions/cs_test_1"
    stripe.set(path, checkout(user: "11111111-1111-4111-8111-111111111111"))
    #expect(try await verify("cs_test_1").refusal == .unauthorized)
    stripe.set(path, checkout().replacing(#""paid""#, with: #""unpaid""#))
    #expect(try await verify("cs_test_1").refusal == .notPaid)
    stripe.set(path, checkout().replacing(#""paid""#, with: #""no_payment_required""#))
    stripe.set("GET /v1/subscriptions/sub_1", subscription("active"))
    #expect(try await verify("cs_test_1") == .init(alreadyLinked: false))
    #expect(peers.standings.map(\.quantity) == [2])
    #expect(try await verify("cs_test_1") == .init(alreadyLinked: true))
    stripe.fail(path)
    #expect(try await verify("cs_test_1").refusal == .stripeUnreachable)
  }

  @Test("another quantity is set at Stripe and in force before the answer") func quantity()
    async throws
  {
    let desk = try desk()
    func change(_ quantity: Int64, active: Int64 = 0) async throws -> BillingQuantityCall.Response {
      try await desk.quantity(
        .init(userID: Till.user, quantity: quantity, activeConnections: active))
    }
    #expect(try await change(3).refusal == .noSubscription)
    try await subscribe()
    #expect(try await change(0).refusal == .invalidQuantity)
    #expect(try await change(1, active: 2).refusal == .quantityTooLow)
    stripe.set("POST /v1/subscriptions/sub_1", subscription("active", quantity: 3))
    #expect(try await change(3) == .init(quantity: 3))
    #expect(
      stripe.asked.last?.body
        == "items%5B0%5D%5Bid%5D=si_1&items%5B0%5D%5Bquantity%5D=3"
        + "&proration_behavior=create_prorations")
    #expect(peers.standings.last?.quantity == 3)
  }

  // MARK: Farewells

  @Test("who is gone is forgotten here at once, and at Stripe when it can be told") func forget()
    async throws
  {
    try await subscribe()
    try await till.write { (connection) throws(DatabaseError) in
      try BillingStore(database: connection).forget(Till.user, at: UnixTime(seconds: t + 100))
    }
    #expect(try await till.standing() == nil)
    #expect(try await till.subscription() == nil)
    #expect(try await till.trail() == [])
    let farewells = Farewells(
      database: till.database, stripe: try stripe.api(till), log: .discarding)
    let later = UnixTime(seconds: .max / 2)
    stripe.fail("DELETE /v1/subscriptions/sub_1")
    _ = try await farewells.round(at: later)
    #expect(!stripe.asked.contains { $0.line == "DELETE /v1/customers/cus_1" })
    stripe.set("DELETE /v1/subscriptions/sub_1", "{}")
    stripe.set("DELETE /v1/customers/cus_1", "{}")
    _ = try await farewells.round(at: later)
    #expect(stripe.asked.last?.line == "DELETE /v1/customers/cus_1")
    let count = stripe.asked.count
    _ = try await farewells.round(at: later)
    #expect(stripe.asked.count == count)
    // Nothing that is still under way brings anything back.
    #expect(
      try await till.take([
        TestEvent("evt_c", "customer.subscription.updated", subscription("active"), at: t + 99),
        TestEvent("evt_d", "invoice.paid", invoice(), at: t + 99),
        TestEvent(
          "evt_e", "checkout.session.completed", checkout(customer: "cus_2", subscription: "sub_2"),
          at: t + 99),
      ]).first == .accountDeleted)
    #expect(try await till.standing() == nil)
    _ = try await farewells.round(at: later)
    #expect(stripe.asked.contains { $0.line == "DELETE /v1/subscriptions/sub_2" })
  }
}
