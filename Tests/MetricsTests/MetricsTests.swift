// Whether counting is exact under many threads and the text is what Prometheus reads.
// That a scraper accepts it is shown by a parser of Prometheus' own in the acceptance tests.

import Synchronization
import Testing

@testable import Metrics

@Suite("Metrics") struct MetricsTests {
  enum Outcome: Int, MetricLabel {
    case good, bad
    var label: StaticString { self == .good ? "good" : "bad" }
  }

  private func text(_ registry: MetricRegistry) -> String {
    String(decoding: registry.exposition(), as: UTF8.self)
  }

  @Test("counters by enum and by name have one series each, from the start")
  func counters() {
    let registry = MetricRegistry()
    let names = LabelNames("service", ["linear", "notion", "linear"])
    let grid = registry.counters(
      "bindery_edge_requests_total", "Requests.", over: names, label: "status",
      by: StatusClass.self)
    grid[names.position(of: "notion") ?? 9, StatusClass(status: 204)].add()
    grid[0, StatusClass(status: 404)].add(2)
    let family = registry.counters(
      "bindery_edge_refreshes_total", "Refreshes.", label: "outcome", by: Outcome.self)
    family[.bad].add(7)
    let lines = text(registry).split(separator: "\n")
    #expect(lines.contains(#"bindery_edge_requests_total{service="notion",status="2xx"} 1"#))
    #expect(lines.contains(#"bindery_edge_requests_total{service="linear",status="4xx"} 2"#))
    #expect(lines.contains(#"bindery_edge_refreshes_total{outcome="good"} 0"#))
    #expect(lines.contains(#"bindery_edge_refreshes_total{outcome="bad"} 7"#))
    #expect(lines.filter { $0.hasPrefix("bindery_edge_requests_total{") }.count == 12)
    #expect(lines.filter { $0 == "# TYPE bindery_edge_requests_total counter" }.count == 1)
  }

  @Test("totals sum counters and gauges over their labels, and nothing else") func totals() {
    let registry = MetricRegistry()
    let family = registry.counters(
      "bindery_edge_refreshes_total", "Refreshes.", label: "outcome", by: Outcome.self)
    family[.bad].add(7)
    family[.good].add(2)
    registry.gauge("bindery_edge_open", "Open.").add(-3)
    _ = registry.histogram("bindery_edge_seconds", "Took.")
    registry.observed("bindery_edge_asked", "Asked.") { 5 }
    #expect(registry.totals == ["bindery_edge_refreshes_total": 9, "bindery_edge_open": -3])
  }

  @Test("a histogram counts cumulatively, a bound belongs to its bucket, the sum is exact")
  func histogram() {
    let registry = MetricRegistry()
    let seconds = registry.histogram(
      "bindery_rpc_seconds", "Time.", bounds: [.milliseconds(1), .seconds(2)])
    for duration in [Duration.microseconds(999), .milliseconds(1), .nanoseconds(1_000_001)] {
      seconds.observe(duration)
    }
    seconds.observe(.seconds(-5))
    seconds.observe(.seconds(3))
    #expect(
      text(registry) == """
        # HELP bindery_rpc_seconds Time.
        # TYPE bindery_rpc_seconds histogram
        bindery_rpc_seconds_bucket{le="0.001"} 3
        bindery_rpc_seconds_bucket{le="2"} 4
        bindery_rpc_seconds_bucket{le="+Inf"} 5
        bindery_rpc_seconds_sum 3.002999001
        bindery_rpc_seconds_count 5

        """)
  }

  @Test("gauges move both ways, observed ones are asked at each reading")
  func gauges() {
    let registry = MetricRegistry()
    let open = registry.gauge("bindery_edge_open_streams", "Streams.")
    open.add(5)
    open.add(-7)
    registry.observed("bindery_wal_bytes", "Size.") { 4096 }
    registry.observed("bindery_absent", "None.") { nil }
    registry.observed("bindery_keys", "Keys.", label: "fingerprint") { [("a\"b\\c\nd", 0.5)] }
    let written = text(registry)
    #expect(written.contains("\nbindery_edge_open_streams -2\n"))
    #expect(written.contains("\nbindery_wal_bytes 4096\n"))
    #expect(written.contains("\nbindery_keys{fingerprint=\"a\\\"b\\\\c\\nd\"} 0.5\n"))
    #expect(!written.contains("\nbindery_absent"))
  }

  @Test("no add is lost between threads")
  func threads() async {
    let registry = MetricRegistry()
    let counter = registry.counter("bindery_total", "All.")
    let histogram = registry.histogram("bindery_bytes", "Sizes.", plainBounds: [10, 100])
    await withTaskGroup { group in
      for _ in 0..<8 {
        group.addTask {
          for number in 0..<10_000 {
            counter.add()
            histogram.observe(UInt64(number % 200))
          }
        }
      }
    }
    #expect(counter.total == 80_000)
    #expect(histogram.reading.cumulative == [8 * 550, 8 * 5050, 80_000])
  }
}
