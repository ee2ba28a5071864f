// Points of time as answers show them: RFC 3339 in UTC.
// The calendar is that of Clocks.

import Clocks

/// RFC 3339 text.
enum Timestamp {
  /// `2026-04-07T10:00:00Z`
  static func text(_ time: UnixTime) -> String { time.rfc3339 }

  /// `2026-04-07T10:00:00.123Z`
  static func text(milliseconds: Int64) -> String {
    let rest = (milliseconds % 1000 + 1000) % 1000
    let seconds = UnixTime(seconds: (milliseconds - rest) / 1000)
    let digits = "\(rest + 1000)".dropFirst()
    return "\(seconds.rfc3339.dropLast()).\(digits)Z"
  }

  /// A string, or null.
  static func json(_ time: UnixTime?) -> JSONText { .optional(time.map { text($0) }) }
}
