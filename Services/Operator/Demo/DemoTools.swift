// What the demo server can do: echo, clock, and a slow tool that tells its progress. Pure: the
// time of day comes in.

import Clocks

/// The demo's tools.
enum DemoTool: String, CaseIterable {
  case echo, clock, slow

  /// One step of the slow tool.
  static let step = Duration.milliseconds(300)
  static let stepsMax = 50

  /// The tool as `tools/list` tells it.
  var declaration: JSONValue {
    .object([
      ("name", .text(rawValue)), ("description", .text(description)), ("inputSchema", schema),
    ])
  }

  private var description: String {
    switch self {
    case .echo: "Says back what it is told."
    case .clock: "Says what time it is, in UTC."
    case .slow: "Works for a while and tells its progress."
    }
  }

  private var schema: JSONValue {
    switch self {
    case .echo:
      Self.schema([("text", "string", "What to say back.")], required: ["text"])
    case .clock: Self.schema([], required: [])
    case .slow:
      Self.schema([("steps", "integer", "How many steps, 1 to \(Self.stepsMax).")], required: [])
    }
  }

  private static func schema(
    _ properties: [(name: String, type: String, description: String)], required: [String]
  ) -> JSONValue {
    .object([
      ("type", .text("object")),
      (
        "properties",
        .object(
          properties.map {
            ($0.name, .object([("type", .text($0.type)), ("description", .text($0.description))]))
          })
      ), ("required", .array(required.map { .text($0) })),
    ])
  }

  /// What a call comes to.
  enum Outcome: Equatable {
    /// The text to answer at once.
    case text(String)
    /// That many steps, and a text in the end.
    case steps(Int)
    /// The arguments are not as declared.
    case refused(String)
  }

  /// What a call with `arguments` comes to at `now`.
  func outcome(_ arguments: JSONValue?, now: UnixTime) -> Outcome {
    switch self {
    case .echo:
      guard let text = arguments?["text"]?.string else { return .refused("text is missing") }
      return .text(text)
    case .clock: return .text(Self.timeText(now))
    case .slow:
      switch arguments?["steps"] {
      case nil, .null: return .steps(5)
      case .integer(let steps) where (1...Int64(Self.stepsMax)).contains(steps):
        return .steps(Int(steps))
      default: return .refused("steps is a whole number from 1 to \(Self.stepsMax)")
      }
    }
  }

  /// RFC 3339 in UTC, from the days of the civil calendar (years from 1970 on).
  static func timeText(_ time: UnixTime) -> String {
    var days = time.seconds / 86_400
    let seconds = time.seconds % 86_400
    var year: Int64 = 1970
    func isLeap(_ year: Int64) -> Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }
    while days >= (isLeap(year) ? 366 : 365) {
      days -= isLeap(year) ? 366 : 365
      year += 1
    }
    var month = 1
    for length in [31, isLeap(year) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30] as [Int64] {
      if days < length { break }
      days -= length
      month += 1
    }
    func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return "\(year)-\(two(Int64(month)))-\(two(days + 1))T"
      + "\(two(seconds / 3600)):\(two(seconds / 60 % 60)):\(two(seconds % 60))Z"
  }
}
