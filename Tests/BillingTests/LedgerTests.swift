// What follows from news, one rule at a time: what counts, whose it is, what is passed over, and what
// has to be asked of Stripe.

import Clocks
import Database
import RPC
import Testing

@testable import Stripe
@testable import bindery_billing

private let t: Int64 = 1_700_000_000

private func changed(_ id: String, _ object: String, at time: Int64) -> TestEvent {
  TestEvent(id, "customer.subscription.updated", object, at: time)
}

@Suite("Ledger") struct LedgerTests {
  /// A till whose person has a subscription.
  private func till(_ status: String = "active", quantity: Int64 = 2) async throws -> Till {
    let till = try Till()
    try await till.take([
      changed("evt_b", subscription(status, quantity: quantity), at: t + 1),
      TestEvent("evt_a", "checkout.session.completed", checkout(), at: t + 1),
    ])
    return till
  }

  @Test("reads quantity and period where each API version has them") func shapes() async throws {
    for inItem in [true, false] {
      let till = try Till()
      try await till.take([
        TestEvent("evt_a", "checkout.session.completed", checkout(), at: t),
        changed("evt_b", subscription("active", endInItem: inItem), at: t + 1),
      ])
      let standing = try await till.standing()
      #expect(standing?.plan == .active && standing?.quantity == 2)
      #expect(standing?.paidUntil == 1_702_000_000)
    }
  }

  @Test("finds the subscription of an invoice in both places", arguments: [true, false])
  func invoices(isNew: Bool) async throws {
    let till = try await till()
    try await till.take([
      TestEvent("evt_c", "invoice.payment_failed", invoice("in_2", isNew: isNew), at: t + 50)
    ])
    #expect(try await till.standing()?.pastDueSince == t + 50)
    #expect(try await till.standing()?.quantity == 2)  // grace wins over the count
    try await till.take([
      TestEvent("evt_d", "invoice.paid", invoice("in_2", isNew: isNew), at: t + 60)
    ])
    #expect(try await till.standing()?.pastDueSince == nil)
  }

  @Test("the first failure counts until a payment") func firstFailure() async throws {
    let till = try await till()
    try await till.take([
      TestEvent("evt_c", "invoice.payment_failed", invoice("in_2"), at: t + 500),
      changed("evt_d", subscription("past_due"), at: t + 501),
      TestEvent("evt_e", "invoice.payment_failed", invoice("in_2"), at: t + 900),
    ])
    #expect(try await till.standing()?.pastDueSince == t + 500)
  }

  @Test("an end that is settled, undone and reached") func ends() async throws {
    let till = try await till()
    try await till.take([changed("evt_c", subscription("active", cancelsAtEnd: true), at: t + 2)])
    #expect(try await till.standing()?.plan == .canceled)
    #expect(try await till.standing()?.accessUntil == 1_702_000_000)
    #expect(try await till.standing()?.quantity == 2)
    try await till.take([changed("evt_d", subscription("active"), at: t + 3)])
    #expect(try await till.standing()?.plan == .active)
    #expect(try await till.standing()?.accessUntil == nil)
    try await till.take([
      changed("evt_e", subscription("active", cancelAt: 1_701_000_000), at: t + 4)
    ])
    #expect(try await till.standing()?.accessUntil == 1_701_000_000)
    try await till.take([
      TestEvent(
        "evt_f", "customer.subscription.deleted", subscription("canceled", endedAt: t + 5),
        at: t + 5)
    ])
    #expect(try await till.standing()?.quantity == 0)
    // What is over stays so, whatever comes late.
    #expect(
      try await till.take([changed("evt_g", subscription("active"), at: t + 9)]) == [.nothingNew])
    #expect(try await till.standing()?.quantity == 0)
    try await till.read(subscription("active"), at: t + 10)
    #expect(try await till.standing()?.plan == .canceled)
  }

  @Test("two truths of one second are settled by Stripe, whichever came first") func equalSeconds()
    async throws
  {
    let pair = [
      changed("evt_x", subscription("active", quantity: 3), at: t + 9),
      changed("evt_y", subscription("active", quantity: 4), at: t + 9),
    ]
    for events in [pair, pair.reversed()] {
      for truth: Int64 in [3, 4] {
        let till = try await till()
        try await till.take(events)
        #expect(try await till.subscription()?.doubt == .equalSeconds)
        try await till.read(subscription("active", quantity: truth), at: t + 12)
        #expect(try await till.standing()?.quantity == truth)
        #expect(try await till.subscription()?.doubt == nil)
      }
    }
    // A creation and a change of one second need nobody: a change comes later.
    let till = try Till()
    try await till.take([
      TestEvent("evt_a", "checkout.session.completed", checkout(), at: t),
      changed("evt_b", subscription("active"), at: t),
      TestEvent("evt_c", "customer.subscription.created", subscription("incomplete"), at: t),
    ])
    #expect(try await till.standing()?.plan == .active)
    // The checkout asked; nothing else does.
    #expect(try await till.subscription()?.doubt == .asked)
  }

  @Test("an answer to a question from before the last news is not taken") func lateAnswer()
    async throws
  {
    let till = try await till()
    let revision = try await till.subscription()?.revision
    try await till.take([changed("evt_c", subscription("active", quantity: 8), at: t + 9)])
    let old = StripeJSON.read(
      StripeSubscription.self, Array(subscription("active", quantity: 1).utf8))
    try await till.write { (connection) throws(DatabaseError) in
      let ledger = Ledger(connection, Till.rules, at: UnixTime(seconds: t + 10))
      try ledger.take(
        old.map { Reading(object: $0, at: t + 8) }, of: "sub_1", asOf: revision)
    }
    #expect(try await till.standing()?.quantity == 8)
  }

  @Test("what lacks fields, or is newer than this build, is read instead") func unreadable()
    async throws
  {
    let bare = #"{"id":"sub_1","object":"subscription","customer":"cus_1"}"#
    let till = try await till()
    try await till.take([changed("evt_c", bare, at: t + 5)])
    #expect(try await till.subscription()?.doubt == .fieldsMissing)
    #expect(try await till.standing()?.quantity == 2)

    let other = try await self.till()
    let event = TestEvent(
      "evt_c", "customer.subscription.updated", subscription("active", quantity: 9), at: t + 5,
      version: "2027-01-01.future")
    #expect(try await other.take([event]) == [.unknownVersion])
    #expect(try await other.subscription()?.doubt == .unknownVersion)
    #expect(try await other.standing()?.quantity == 2)
  }

  @Test(
    "reads versions up to its own",
    arguments: [
      ("2017-08-15", true), ("2025-03-31.basil", true), ("2026-10-28.endive", true),
      ("2026-10-29.x", false), ("2027-01-01", false), ("", false), ("soon", false),
      ("2026-1-1", false), ("20261028--", false),
    ])
  func versions(text: String, isRead: Bool) { #expect(BillingRules.reads(text) == isRead) }

  @Test("of another mode, account or type nothing comes, and it is said") func passedOver()
    async throws
  {
    let till = try await till()
    let object = subscription("canceled")
    let type = "customer.subscription.deleted"
    #expect(
      try await till.take([
        TestEvent("evt_1", type, object, at: t + 9, isLive: true),
        TestEvent("evt_2", type, object, at: t + 9, account: "acct_1"),
        TestEvent("evt_3", "price.updated", #"{"id":"p","object":"price"}"#, at: t + 9),
        TestEvent("evt_4", "invoice.paid", invoice(subscription: nil), at: t + 9),
        TestEvent("evt_5", "checkout.session.completed", checkout(user: nil), at: t + 9),
        TestEvent("evt_6", "checkout.session.completed", checkout(user: "me"), at: t + 9),
        TestEvent("evt_7", type, #"{"object":"subscription"}"#, at: t + 9),
      ]) == [
        .otherMode, .connectedAccount, .unknownType, .nothingToLink, .nothingToLink,
        .nothingToLink, .failed,
      ])
    #expect(try await till.standing()?.quantity == 2)
  }

  @Test("an unknown customer is asked for, and believed when it is known") func unknownCustomer()
    async throws
  {
    let till = try Till()
    #expect(
      try await till.take([changed("evt_b", subscription("active"), at: t)]) == [.unknownCustomer])
    #expect(try await till.standing() == nil)
    let toAsk = try await till.write { (connection) throws(DatabaseError) in
      try BillingStore(database: connection)
        .customersToAsk(at: UnixTime(seconds: 1_800_000_000), limit: 5).map(\.id)
    }
    #expect(toAsk == ["cus_1"])
    try await till.take([TestEvent("evt_a", "checkout.session.completed", checkout(), at: t + 5)])
    #expect(try await till.standing()?.quantity == 2)
  }

  @Test("our own word in a subscription says whose it is") func metadata() async throws {
    let till = try Till()
    try await till.take([changed("evt_b", subscription("active", user: Till.user), at: t)])
    #expect(try await till.standing()?.quantity == 2)
  }

  @Test("a customer is one person's, the first one's") func customerOfAnother() async throws {
    let till = try await till()
    let other = "11111111-1111-4111-8111-111111111111"
    #expect(
      try await till.take([
        TestEvent("evt_z", "checkout.session.completed", checkout(user: other), at: t + 3)
      ]) == [.customerOfAnother])
    #expect(try await till.standing(of: other) == nil)
  }

  @Test("versions of a standing grow with every change and with nothing else") func versions()
    async throws
  {
    let till = try await till()
    let first = try #require(await till.standing())
    try await till.take([changed("evt_b", subscription("active"), at: t + 1)])
    #expect(try await till.standing()?.version == first.version)
    try await till.take([changed("evt_c", subscription("active", quantity: 5), at: t + 2)])
    #expect(try await till.standing()?.version == first.version + 1)
  }

  @Test("several subscriptions add up, and one that is paid keeps all") func several() async throws
  {
    let till = try await till()
    try await till.take([
      changed("evt_c", subscription("past_due", quantity: 3, id: "sub_2"), at: t + 5)
    ])
    #expect(try await till.standing()?.quantity == 5)
    #expect(try await till.standing()?.pastDueSince == nil)
    try await till.take([
      TestEvent(
        "evt_d", "customer.subscription.deleted", subscription("canceled", endedAt: t + 6),
        at: t + 6)
    ])
    #expect(try await till.standing()?.quantity == 3)
    #expect(try await till.standing()?.pastDueSince == t + 5)
  }

  @Test("an old price counts while there is no other; another product beside ours does not")
  func prices() throws {
    let old = try #require(
      StripeJSON.read(
        StripeSubscription.self,
        Array(subscription("active", user: Till.user, price: "price_old").utf8)))
    #expect(Showing(old, price: "price_1")?.quantity == 2)
    let both = subscription("active").replacing(
      #""data":[{"#, with: #""data":[{"id":"si_0","quantity":40,"price":{"id":"price_x"}},{"#)
    let mixed = try #require(StripeJSON.read(StripeSubscription.self, Array(both.utf8)))
    #expect(Showing(mixed, price: "price_1")?.quantity == 2)
    #expect(Showing(mixed, price: "price_1")?.itemID == "si_1")
  }

  @Test("what else the operator sells gives nothing, whoever it is linked to")
  func otherProducts() async throws {
    let till = try Till()
    try await till.take([
      changed("evt_b", subscription("active", quantity: 99, price: "price_cheap"), at: t),
      TestEvent("evt_a", "checkout.session.completed", checkout(), at: t + 5),
    ])
    #expect(try await till.subscription()?.doubt == nil)
    #expect(try await till.standing()?.quantity == 0)
    #expect(try await till.standing()?.plan == .freeTrial)
  }

  @Test("the trail says what led to a standing") func trail() async throws {
    let till = try await till()
    let trail = try await till.trail()
    #expect(
      trail.contains { $0.contains("cus_1 is the customer of this account (checkout cs_test_1)") })
    #expect(
      trail.contains(
        "evt_b (customer.subscription.updated, 2023-11-14T22:13:21Z): sub_1 is active, "
          + "2 connections, period until 2023-12-08T01:46:40Z"))
    #expect(trail.last == "Standing 1: active, 2 paid")
  }

  @Test("mails name the fact, once, and only while it is new") func mails() async throws {
    let till = try await till()
    let event = TestEvent("evt_c", "invoice.payment_failed", invoice("in_2"), at: t + 50)
    // That the subscription is overdue may be known before the invoice says why.
    try await till.take([changed("evt_o", subscription("past_due"), at: t + 50), event, event])
    try await till.take([changed("evt_d", subscription("active", cancelsAtEnd: true), at: t + 60)])
    let mails = try await till.write { (connection) throws(DatabaseError) in
      try StandingStore(database: connection)
        .mails(at: UnixTime(seconds: 1_800_000_000), limit: 9).map { "\($0.occasion) \($0.detail)" }
    }
    #expect(
      Set(mails) == [
        "subscription_confirmed:sub_1 sub_1", "payment_failed:in_2 2023-11-17",
        "access_ends:sub_1:1702000000 2023-12-08",
      ])
    let late = try Till()
    try await late.take(
      [TestEvent("evt_a", "checkout.session.completed", checkout(), at: t)], now: t + 4 * 86_400)
    let none = try await late.write { (connection) throws(DatabaseError) in
      try StandingStore(database: connection)
        .mails(at: UnixTime(seconds: 1_800_000_000), limit: 9).count
    }
    #expect(none == 0)
  }
}
