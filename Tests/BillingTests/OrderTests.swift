// Whatever order events come in, and however often, a person stands in the end as Stripe says they
// do. Every order is played, on the real tables.

import Clocks
import Database
import RPC
import Testing

@testable import Stripe
@testable import bindery_billing

/// A story of seven events, and how it ends at Stripe.
private struct Story: Sendable {
  let name: String
  let events: [TestEvent]
  let end: String
  let plan: BillingStanding.Plan
  let quantity: Int64
  var pastDueSince: Int64?
  var accessUntil: Int64?

  private static let t: Int64 = 1_700_000_000

  private static func start() -> [TestEvent] {
    [
      TestEvent("evt_1", "customer.subscription.created", subscription("incomplete"), at: t),
      TestEvent("evt_2", "checkout.session.completed", checkout(), at: t + 1),
      TestEvent("evt_3", "customer.subscription.updated", subscription("active"), at: t + 2),
      TestEvent("evt_4", "invoice.paid", invoice(), at: t + 2),
    ]
  }

  private static func trouble() -> [TestEvent] {
    [
      TestEvent("evt_5", "invoice.payment_failed", invoice("in_2"), at: t + 100),
      TestEvent("evt_6", "customer.subscription.updated", subscription("past_due"), at: t + 101),
    ]
  }

  static let all = [
    Story(
      name: "ends unpaid",
      events: start() + [
        TestEvent(
          "evt_q", "customer.subscription.updated", subscription("active", quantity: 5), at: t + 50)
      ] + [
        TestEvent("evt_5", "invoice.payment_failed", invoice("in_2"), at: t + 100),
        TestEvent(
          "evt_6", "customer.subscription.updated", subscription("past_due", quantity: 5),
          at: t + 101),
      ],
      end: subscription("past_due", quantity: 5), plan: .active, quantity: 5,
      pastDueSince: t + 100),
    Story(
      name: "recovers",
      events: start() + trouble() + [
        TestEvent(
          "evt_7", "customer.subscription.updated", subscription("active", quantity: 3), at: t + 200
        )
      ],
      end: subscription("active", quantity: 3), plan: .active, quantity: 3),
    Story(
      name: "is cancelled",
      events: start() + trouble() + [
        TestEvent(
          "evt_7", "customer.subscription.deleted",
          subscription("canceled", endedAt: t + 300), at: t + 300)
      ],
      end: subscription("canceled", endedAt: t + 300), plan: .canceled, quantity: 0,
      accessUntil: 1_702_000_000),
    Story(
      name: "is to end",
      events: start() + trouble() + [
        TestEvent(
          "evt_7", "customer.subscription.updated", subscription("active", cancelsAtEnd: true),
          at: t + 200)
      ],
      end: subscription("active", cancelsAtEnd: true), plan: .canceled, quantity: 2,
      accessUntil: 1_702_000_000),
  ]
}

/// Every order of `count` things (Heap's algorithm).
private func orders(of count: Int) -> [[Int]] {
  var all: [[Int]] = []
  var order = Array(0..<count)
  func go(_ size: Int) {
    guard size > 1 else { return all.append(order) }
    for index in 0..<size {
      go(size - 1)
      order.swapAt(size.isMultiple(of: 2) ? index : 0, size - 1)
    }
  }
  go(count)
  return all
}

@Suite("Events in any order") struct OrderTests {
  /// Plays one order; `chance` says which events come twice and when Stripe can be asked.
  private static func play(
    _ story: Story, _ order: [Int], _ connection: Connection,
    _ chance: inout SystemRandomNumberGenerator
  ) throws(DatabaseError) -> (BillingStanding?, Subscription?) {
    for table in 0..<4 {
      switch table {
      case 0: try connection.execute("DELETE FROM subscriptions")
      case 1: try connection.execute("DELETE FROM stripe_customers")
      case 2: try connection.execute("DELETE FROM billing_standings")
      default: try connection.execute("DELETE FROM billing_trail")
      }
    }
    let ledger = Ledger(connection, Till.rules, at: UnixTime(seconds: 1_700_001_000))
    let object = StripeJSON.read(StripeSubscription.self, Array(story.end.utf8))
    // In half of the orders nobody can ask Stripe: events alone must do.
    let asks = chance.next() % 2 == 0
    func ask() throws(DatabaseError) {
      guard let known = try ledger.store.subscription("sub_1"), known.doubt != nil else { return }
      try ledger.take(
        object.map { Reading(object: $0, at: 1_700_000_900) }, of: "sub_1", asOf: known.revision)
    }
    var deliveries = order
    for index in order where chance.next() % 3 == 0 {
      deliveries.insert(index, at: Int(chance.next() % UInt64(deliveries.count + 1)))
    }
    for index in deliveries {
      let event = story.events[index]
      _ = try ledger.take(event.news, of: event.happening)
      if asks, chance.next() % 3 == 0 { try ask() }
    }
    if asks { try ask() }
    return (
      try ledger.standings.standing(of: Till.user)?.standing, try ledger.store.subscription("sub_1")
    )
  }

  @Test("all 5,040 orders with duplicates end the same", arguments: 0..<4)
  func everyOrder(index: Int) async throws {
    let story = Story.all[index]
    let till = try Till()
    let wrong = try await till.write { (connection) throws(DatabaseError) in
      var chance = SystemRandomNumberGenerator()
      var wrong: [String] = []
      for order in orders(of: 7) {
        let (standing, known) = try Self.play(story, order, connection, &chance)
        let isRight =
          standing?.plan == story.plan && standing?.quantity == story.quantity
          && standing?.pastDueSince == story.pastDueSince
          && standing?.accessUntil == story.accessUntil
          && known?.shown
            == Showing(
              StripeJSON.read(StripeSubscription.self, Array(story.end.utf8)).unsafelyUnwrapped,
              price: "price_1")
        if !isRight { wrong.append("\(order): \(standing?.why ?? []), \(known?.failures ?? [])") }
      }
      return wrong
    }
    #expect(wrong.isEmpty, "\(story.name): \(wrong.count), \(wrong.first ?? "")")
  }
}
