// What the edge counts. Labels come from closed sets: services of the catalogue, status classes,
// reasons of ours; never anything that a client sent.

import Clocks
import Metrics

/// The instruments of the request path.
final class EdgeMetrics: Sendable {
  private let requests: Grid<Counter, StatusClass>
  private let seconds: Histogram
  private let refusals: Family<Counter, RefusalLabel>
  private let cuts: Family<Counter, CutLabel>
  let streams: Gauge
  let blocks: Counter
  let lostActivity: Counter

  init(_ registry: MetricRegistry, services: LabelNames) {
    requests = registry.counters(
      "bindery_edge_requests_total",
      "MCP requests that were resolved, by service and status class.",
      over: services, label: "class",
      by: StatusClass.self)
    seconds = registry.histogram(
      "bindery_edge_upstream_seconds",
      "Time from the head of an MCP request to the end of its answer.")
    refusals = registry.counters(
      "bindery_edge_refusals_total", "Requests answered by the edge itself, by reason.",
      label: "reason", by: RefusalLabel.self)
    cuts = registry.counters(
      "bindery_edge_cuts_total", "Answers cut after their head went out, by reason.",
      label: "reason", by: CutLabel.self)
    streams = registry.gauge("bindery_edge_open_exchanges", "MCP exchanges under way.")
    blocks = registry.counter("bindery_edge_blocks_total", "Client networks blocked.")
    lostActivity = registry.counter(
      "bindery_edge_activity_lost_total", "Activity lines that could not be written.")
  }

  func finished(service: Int, status: Int, took nanoseconds: UInt64) {
    requests[service, StatusClass(status: status)].add()
    seconds.observe(nanoseconds)
  }

  func refused(_ refusal: Refusal) { refusals[RefusalLabel(refusal)].add() }

  func cut(_ end: StreamEnd) { cuts[CutLabel(end)].add() }
}

/// Reasons as labels.
enum RefusalLabel: Int, MetricLabel {
  case credential, connection, upstream, policy, session, path, rate, origin, malformed, dependency

  init(_ refusal: Refusal) {
    self =
      switch refusal {
      case .credentialMissing, .credentialRefused: .credential
      case .connectionSuspended, .connectionInError, .needsReauthorization: .connection
      case .upstreamUnreachable, .upstreamTimeout, .upstreamBroken: .upstream
      case .planEnded, .networkForbidden, .zeroKnowledgeOnly, .useForbidden: .policy
      case .sessionUnknown: .session
      case .serviceUnknown, .connectionAbsent, .pathUnknown, .methodNotAllowed, .wrongTransport:
        .path
      case .rateLimited: .rate
      case .originForbidden, .misdirected: .origin
      case .malformed: .malformed
      case .dependencyDown, .refreshLater: .dependency
      }
  }

  var label: StaticString {
    switch self {
    case .credential: "credential"
    case .connection: "connection"
    case .upstream: "upstream"
    case .policy: "policy"
    case .session: "session"
    case .path: "path"
    case .rate: "rate"
    case .origin: "origin"
    case .malformed: "malformed"
    case .dependency: "dependency"
    }
  }
}

/// Ends of streams as labels.
enum CutLabel: Int, MetricLabel {
  case upstream, revoked, draining, stalled

  init(_ end: StreamEnd) {
    self =
      switch end {
      case .upstream: .upstream
      case .revoked: .revoked
      case .draining: .draining
      case .stalled: .stalled
      }
  }

  var label: StaticString {
    switch self {
    case .upstream: "upstream"
    case .revoked: "revoked"
    case .draining: "draining"
    case .stalled: "stalled"
    }
  }
}
