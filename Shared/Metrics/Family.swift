// Instruments that share a name and differ in labels. All label values are known when the family is
// made: cases of an enum, and names from the catalogue. So a stranger's input can neither become a
// label nor make the number of time series grow, and finding an instrument is an index.

/// A closed set of label values: an enum whose raw values count from zero.
public protocol MetricLabel: CaseIterable, Sendable, RawRepresentable<Int> {
  /// The value as it is written, in snake_case.
  var label: StaticString { get }
}

/// For families with a single set of labels.
public enum NoLabel: Int, MetricLabel {
  /// The only case.
  case none
  /// Never written.
  public var label: StaticString { "" }
}

/// The outcome of an HTTP exchange by the first digit of its status.
public enum StatusClass: Int, MetricLabel {
  /// 1xx to 5xx, and everything that is no HTTP status.
  case informational, successful, redirected, refused, failed, none

  /// The class of `status`.
  public init(status: Int) {
    self =
      switch status {
      case 100..<200: .informational
      case 200..<300: .successful
      case 300..<400: .redirected
      case 400..<500: .refused
      case 500..<600: .failed
      default: .none
      }
  }

  /// `2xx` and the like.
  public var label: StaticString {
    switch self {
    case .informational: "1xx"
    case .successful: "2xx"
    case .redirected: "3xx"
    case .refused: "4xx"
    case .failed: "5xx"
    case .none: "none"
    }
  }
}

/// Label values that come from the catalogue or the settings, fixed when the process starts.
public struct LabelNames: Sendable {
  /// The label's name, such as `service`.
  public let name: StaticString
  /// Its values.
  public let values: [String]
  private let positions: [String: Int]

  /// The label `name` with `values`; later duplicates are dropped.
  public init(_ name: StaticString, _ values: [String]) {
    var positions: [String: Int] = [:]
    var kept: [String] = []
    for value in values where positions[value] == nil {
      positions[value] = kept.count
      kept.append(value)
    }
    self.name = name
    self.values = kept
    self.positions = positions
  }

  /// The index of `value` in `values`; keep it, it costs a hash.
  public func position(of value: String) -> Int? { positions[value] }
}

/// Instruments by the cases of one enum.
public struct Family<Instrument: Sendable, Label: MetricLabel>: Sendable {
  let instruments: [Instrument]

  /// The instrument of `label`.
  public subscript(label: Label) -> Instrument { instruments[label.rawValue] }
}

/// Instruments by a name of the catalogue and the cases of one enum.
public struct Grid<Instrument: Sendable, Label: MetricLabel>: Sendable {
  let instruments: [Instrument]
  let rows: Int

  /// The instrument of the name at `row` (its position in `LabelNames`) and `label`.
  public subscript(row: Int, label: Label) -> Instrument {
    precondition(row >= 0 && row < rows)
    return instruments[row * Label.allCases.count + label.rawValue]
  }
}
