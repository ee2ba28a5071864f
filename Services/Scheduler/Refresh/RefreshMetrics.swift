// What is counted of refreshes: outcomes by service and reason, how long an exchange takes, and how
// long an answer exists that is not yet durable, which is the only time a crash can cost a grant.

import Metrics
import OAuth

/// The instruments of the refresher.
final class RefreshMetrics: Sendable {
  private let rows: LabelNames
  private let outcomes: Grid<Counter, RefreshOutcomeLabel>
  let exchangeSeconds: Histogram
  let windowSeconds: Histogram
  let underWay: Gauge

  init(_ registry: MetricRegistry, services: [String]) {
    rows = LabelNames("service", services + ["added_later"])
    outcomes = registry.counters(
      "bindery_scheduler_refreshes_total", "Refreshes by service and outcome.",
      over: rows, label: "outcome", by: RefreshOutcomeLabel.self)
    exchangeSeconds = registry.histogram(
      "bindery_scheduler_exchange_seconds",
      "Time from sending a refresh token to the whole answer.")
    windowSeconds = registry.histogram(
      "bindery_scheduler_refresh_window_seconds",
      "Time from the whole answer to its durable commit.")
    underWay = registry.gauge("bindery_scheduler_refreshes_under_way", "Refreshes under way.")
  }

  func note(_ service: String, _ outcome: RefreshOutcomeLabel) {
    let row = rows.position(of: service) ?? rows.values.count - 1
    outcomes[row, outcome].add()
  }
}

/// How a refresh ended.
enum RefreshOutcomeLabel: Int, MetricLabel {
  case refreshed, invalidGrant, invalidClient, refused, throttled, unavailable, broken
  case lost, retried

  init(_ failure: TokenFailure) {
    self =
      switch failure {
      case .invalidGrant: .invalidGrant
      case .invalidClient: .invalidClient
      case .refused: .refused
      case .throttled: .throttled
      case .unavailable: .unavailable
      case .broken: .broken
      }
  }

  var label: StaticString {
    switch self {
    case .refreshed: "refreshed"
    case .invalidGrant: "invalid_grant"
    case .invalidClient: "invalid_client"
    case .refused: "refused"
    case .throttled: "throttled"
    case .unavailable: "unavailable"
    case .broken: "broken"
    case .lost: "connection_gone"
    case .retried: "retried_after_crash"
    }
  }
}
