// How metrics are written: the Prometheus text format, version 0.0.4.
// Pure; the registry collects, this renders.

/// Renders metrics as text.
enum Exposition {
  static func render(_ entries: [MetricRegistry.Entry]) -> [UInt8] {
    var text = ""
    text.reserveCapacity(entries.count * 256)
    for entry in entries.sorted(by: { $0.name < $1.name }) {
      text += "# HELP \(entry.name) \(escaped(help: "\(entry.help)"))\n"
      text += "# TYPE \(entry.name) \(entry.kind)\n"
      for series in entry.series { render(entry.name, series.labels, series.source, into: &text) }
    }
    return Array(text.utf8)
  }

  private static func render(
    _ name: String, _ labels: String, _ source: MetricRegistry.Entry.Source,
    into text: inout String
  ) {
    let braced = labels.isEmpty ? "" : "{\(labels)}"
    switch source {
    case .counter(let counter): text += "\(name)\(braced) \(counter.total)\n"
    case .gauge(let gauge): text += "\(name)\(braced) \(gauge.current)\n"
    case .observed(let read):
      for (labels, value) in read() {
        let joined = labels.map { label($0.0, $0.1) }.joined(separator: ",")
        text += "\(name)\(joined.isEmpty ? "" : "{\(joined)}") \(number(value))\n"
      }
    case .histogram(let histogram):
      let (cumulative, sum) = histogram.reading
      let comma = labels.isEmpty ? "" : ","
      for (bound, count) in zip(histogram.bounds, cumulative) {
        let edge = amount(bound, histogram.unit)
        text += "\(name)_bucket{\(labels)\(comma)le=\"\(edge)\"} \(count)\n"
      }
      let all = cumulative[cumulative.count - 1]
      text += "\(name)_bucket{\(labels)\(comma)le=\"+Inf\"} \(all)\n"
      text += "\(name)_sum\(braced) \(amount(sum, histogram.unit))\n"
      text += "\(name)_count\(braced) \(all)\n"
    }
  }

  /// One label as it stands between the braces.
  static func label(_ name: String, _ value: String) -> String {
    precondition(isName(name), "a label's name is letters, digits and _")
    var escaped = ""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\\": escaped += "\\\\"
      case "\"": escaped += "\\\""
      case "\n": escaped += "\\n"
      default: escaped.unicodeScalars.append(scalar)
      }
    }
    return "\(name)=\"\(escaped)\""
  }

  /// Letters, digits and `_`, not beginning with a digit.
  static func isName(_ name: String) -> Bool {
    guard let first = name.utf8.first, !(0x30...0x39).contains(first) else { return false }
    return name.utf8.allSatisfy { byte in
      (0x30...0x39).contains(byte) || byte == UInt8(ascii: "_")
        || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
    }
  }

  private static func escaped(help: String) -> String {
    var text = ""
    for scalar in help.unicodeScalars {
      switch scalar {
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      default: text.unicodeScalars.append(scalar)
      }
    }
    return text
  }

  private static func number(_ value: Double) -> String {
    if let whole = Int64(exactly: value) { return "\(whole)" }
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
    return "\(value)"
  }

  /// Exact decimals of nanoseconds in seconds, without trailing zeros.
  private static func amount(_ value: UInt64, _ unit: Histogram.Unit) -> String {
    guard unit == .nanoseconds else { return "\(value)" }
    let whole = value / 1_000_000_000
    var digits = Array("\(value % 1_000_000_000 + 1_000_000_000)".utf8.dropFirst())
    while digits.last == UInt8(ascii: "0") { digits.removeLast() }
    return digits.isEmpty ? "\(whole)" : "\(whole).\(String(decoding: digits, as: UTF8.self))"
  }
}
