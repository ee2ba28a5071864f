// The list of everything one process measures. Instruments are made once, at the start, and handed
// to the code that counts; the ops port asks for the text. Names follow
// bindery_<service>_<what>_<unit>[_total]; a bad or repeated name is our bug and stops the start.

import Synchronization

/// All metrics of one process.
public final class MetricRegistry: Sendable {
  struct Entry: Sendable {
    enum Source: Sendable {
      case counter(Counter)
      case gauge(Gauge)
      case histogram(Histogram)
      case observed(@Sendable () -> [(labels: [(String, String)], value: Double)])
    }
    var name: String
    var help: StaticString
    var kind: StaticString
    /// The series under this name, each with its rendered labels (`a="b",c="d"`).
    var series: [(labels: String, source: Source)]
  }

  private let entries = Mutex<[Entry]>([])

  /// An empty registry.
  public init() {}

  /// A counter; `name` ends in `_total`.
  public func counter(_ name: StaticString, _ help: StaticString) -> Counter {
    counters(name, help, label: "none", by: NoLabel.self)[.none]
  }

  /// A counter for each case of an enum.
  public func counters<Label: MetricLabel>(
    _ name: StaticString, _ help: StaticString, label: StaticString, by _: Label.Type
  ) -> Family<Counter, Label> {
    precondition(name.description.hasSuffix("_total"), "a counter's name ends in _total")
    return family(name, help, "counter", label: label) {
      Counter()
    } source: {
      .counter($0)
    }
  }

  /// A counter for each name and each case of an enum.
  public func counters<Label: MetricLabel>(
    _ name: StaticString, _ help: StaticString, over names: LabelNames, label: StaticString,
    by _: Label.Type
  ) -> Grid<Counter, Label> {
    precondition(name.description.hasSuffix("_total"), "a counter's name ends in _total")
    return grid(name, help, "counter", names, label: label) {
      Counter()
    } source: {
      .counter($0)
    }
  }

  /// A gauge.
  public func gauge(_ name: StaticString, _ help: StaticString) -> Gauge {
    gauges(name, help, label: "none", by: NoLabel.self)[.none]
  }

  /// A gauge for each case of an enum.
  public func gauges<Label: MetricLabel>(
    _ name: StaticString, _ help: StaticString, label: StaticString, by _: Label.Type
  ) -> Family<Gauge, Label> {
    family(name, help, "gauge", label: label) {
      Gauge()
    } source: {
      .gauge($0)
    }
  }

  /// A histogram of durations, written in seconds.
  public func histogram(
    _ name: StaticString, _ help: StaticString, bounds: [Duration] = Histogram.requestBounds
  ) -> Histogram {
    histograms(name, help, label: "none", by: NoLabel.self, bounds: bounds)[.none]
  }

  /// A histogram of durations for each case of an enum.
  public func histograms<Label: MetricLabel>(
    _ name: StaticString, _ help: StaticString, label: StaticString, by _: Label.Type,
    bounds: [Duration] = Histogram.requestBounds
  ) -> Family<Histogram, Label> {
    let nanoseconds = bounds.map(\.wholeNanoseconds)
    return family(name, help, "histogram", label: label) {
      Histogram(bounds: nanoseconds, unit: .nanoseconds)
    } source: {
      .histogram($0)
    }
  }

  /// A histogram of durations for each name and each case of an enum.
  public func histograms<Label: MetricLabel>(
    _ name: StaticString, _ help: StaticString, over names: LabelNames, label: StaticString,
    by _: Label.Type, bounds: [Duration] = Histogram.requestBounds
  ) -> Grid<Histogram, Label> {
    let nanoseconds = bounds.map(\.wholeNanoseconds)
    return grid(name, help, "histogram", names, label: label) {
      Histogram(bounds: nanoseconds, unit: .nanoseconds)
    } source: {
      .histogram($0)
    }
  }

  /// A histogram of plain numbers, such as bytes.
  public func histogram(
    _ name: StaticString, _ help: StaticString, plainBounds bounds: [UInt64]
  ) -> Histogram {
    let made = Histogram(bounds: bounds, unit: .plain)
    add(Entry(name: "\(name)", help: help, kind: "histogram", series: [("", .histogram(made))]))
    return made
  }

  /// A gauge whose value is asked for at each scrape; nil leaves it out. `read` must not block.
  public func observed(
    _ name: StaticString, _ help: StaticString, read: @escaping @Sendable () -> Double?
  ) {
    let source = Entry.Source.observed { read().map { [(labels: [], value: $0)] } ?? [] }
    add(Entry(name: "\(name)", help: help, kind: "gauge", series: [("", source)]))
  }

  /// A gauge with one label whose values are asked for at each scrape. `read` must not block and
  /// must answer few and public label values, such as key fingerprints.
  public func observed(
    _ name: StaticString, _ help: StaticString, label: StaticString,
    read: @escaping @Sendable () -> [(String, Double)]
  ) {
    let source = Entry.Source.observed {
      read().map { (labels: [("\(label)", $0.0)], value: $0.1) }
    }
    add(Entry(name: "\(name)", help: help, kind: "gauge", series: [("", source)]))
  }

  /// Everything in the text format of Prometheus (version 0.0.4), for the ops port.
  public func exposition() -> [UInt8] {
    // The entries are copied out first: an observed gauge may take its time or register another.
    Exposition.render(entries.withLock { $0 })
  }

  /// Every counter and gauge, summed over its labels; no histogram and nothing that must be asked for.
  public var totals: [String: Int64] {
    var found: [String: Int64] = [:]
    for entry in entries.withLock({ $0 }) {
      for series in entry.series {
        switch series.source {
        case .counter(let counter): found[entry.name, default: 0] &+= Int64(clamping: counter.total)
        case .gauge(let gauge): found[entry.name, default: 0] &+= gauge.current
        case .histogram, .observed: break
        }
      }
    }
    return found
  }

  private func add(_ entry: Entry) {
    precondition(Exposition.isName(entry.name), "a metric's name is letters, digits and _")
    entries.withLock { entries in
      precondition(!entries.contains { $0.name == entry.name }, "a metric's name is used once")
      entries.append(entry)
    }
  }

  private func family<Instrument, Label: MetricLabel>(
    _ name: StaticString, _ help: StaticString, _ kind: StaticString, label: StaticString,
    make: () -> Instrument, source: (Instrument) -> Entry.Source
  ) -> Family<Instrument, Label> {
    let cases = Array(Label.allCases)
    precondition(cases.enumerated().allSatisfy { $0 == $1.rawValue }, "labels count from zero")
    let instruments = cases.map { _ in make() }
    let series = zip(cases, instruments).map { value, instrument in
      (
        labels: Label.self == NoLabel.self
          ? "" : Exposition.label("\(label)", "\(value.label)"), source: source(instrument)
      )
    }
    add(Entry(name: "\(name)", help: help, kind: kind, series: series))
    return Family(instruments: instruments)
  }

  private func grid<Instrument, Label: MetricLabel>(
    _ name: StaticString, _ help: StaticString, _ kind: StaticString, _ names: LabelNames,
    label: StaticString, make: () -> Instrument, source: (Instrument) -> Entry.Source
  ) -> Grid<Instrument, Label> {
    let cases = Array(Label.allCases)
    precondition(cases.enumerated().allSatisfy { $0 == $1.rawValue }, "labels count from zero")
    var instruments: [Instrument] = []
    var series: [(labels: String, source: Entry.Source)] = []
    for row in names.values {
      for value in cases {
        let instrument = make()
        instruments.append(instrument)
        let rowLabel = Exposition.label("\(names.name)", row)
        let labels =
          Label.self == NoLabel.self
          ? rowLabel : rowLabel + "," + Exposition.label("\(label)", "\(value.label)")
        series.append((labels: labels, source: source(instrument)))
      }
    }
    add(Entry(name: "\(name)", help: help, kind: kind, series: series))
    return Grid(instruments: instruments, rows: names.values.count)
  }
}
