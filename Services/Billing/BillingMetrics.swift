// What billing counts: deliveries by what came of them, and how full and how old the inbox is.
// No label names an event, an account or a customer.

import Clocks
import Metrics

/// What came of a delivery.
enum DeliveryOutcome: Int, MetricLabel {
  case stored, known, refusedSignature, refusedPayload, notStored, disabled

  var label: StaticString {
    switch self {
    case .stored: "stored"
    case .known: "known"
    case .refusedSignature: "refused_signature"
    case .refusedPayload: "refused_payload"
    case .notStored: "not_stored"
    case .disabled: "disabled"
    }
  }
}

/// What is still to be done besides events.
struct Backlog: Equatable, Sendable {
  var undelivered: Int64 = 0
  var doubtful: Int64 = 0
  var farewells: Int64 = 0
}

/// The instruments of billing.
struct BillingMetrics: Sendable {
  let deliveries: Family<Counter, DeliveryOutcome>
  let filingSeconds: Histogram
  let events: Family<Counter, EventOutcome>
  let calls: Family<Counter, CallOutcome>
  let undelivered: Gauge
  let doubtful: Gauge
  let farewells: Gauge
  let waiting: Gauge
  let parked: Gauge
  private let oldestAge: Gauge

  init(_ registry: MetricRegistry) {
    deliveries = registry.counters(
      "bindery_billing_webhooks_total", "Deliveries by what came of them.", label: "outcome",
      by: DeliveryOutcome.self)
    filingSeconds = registry.histogram(
      "bindery_billing_filing_seconds", "Time to make an event durable.")
    events = registry.counters(
      "bindery_billing_events_total", "Filed events by what came of them.", label: "outcome",
      by: EventOutcome.self)
    calls = registry.counters(
      "bindery_billing_stripe_calls_total", "Tries of calls of Stripe's API.", label: "outcome",
      by: CallOutcome.self)
    undelivered = registry.gauge(
      "bindery_billing_standings_undelivered", "Standings that auth does not have yet.")
    doubtful = registry.gauge(
      "bindery_billing_subscriptions_doubtful", "Subscriptions that are to be read from Stripe.")
    farewells = registry.gauge(
      "bindery_billing_farewells_open", "Customers that Stripe is still to forget.")
    waiting = registry.gauge(
      "bindery_billing_inbox_waiting", "Events filed and not yet worked on.")
    parked = registry.gauge(
      "bindery_billing_inbox_parked", "Events given up after too many tries.")
    oldestAge = registry.gauge(
      "bindery_billing_inbox_oldest_age_seconds", "Age of the oldest waiting event.")
  }

  func note(_ backlog: Backlog) {
    undelivered.set(backlog.undelivered)
    doubtful.set(backlog.doubtful)
    farewells.set(backlog.farewells)
  }

  func note(_ depth: InboxDepth, at now: UnixTime) {
    waiting.set(Int64(depth.waiting))
    parked.set(Int64(depth.parked))
    oldestAge.set(depth.oldestReceivedAt.map { max(0, now.seconds - $0.seconds) } ?? 0)
  }
}
