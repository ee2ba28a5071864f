// Writes points of time as answers show them: RFC 3339 in UTC. Pure arithmetic on the proleptic
// Gregorian calendar.

import Clocks

/// RFC 3339 text.
enum Timestamp {
  /// `2026-04-07T10:00:00Z`
  static func text(_ time: UnixTime) -> String { text(seconds: time.seconds) + "Z" }

  /// `2026-04-07T10:00:00.123Z`
  static func text(milliseconds: Int64) -> String {
    let (seconds, rest) = floorDivide(milliseconds, 1000)
    return text(seconds: seconds) + "." + padded(rest, 3) + "Z"
  }

  /// A string, or null.
  static func json(_ time: UnixTime?) -> JSONText { .optional(time.map { text($0) }) }

  private static func text(seconds: Int64) -> String {
    let (day, second) = floorDivide(seconds, 86_400)
    let (year, month, dayOfMonth) = civil(day)
    let date = "\(padded(year, 4))-\(padded(month, 2))-\(padded(dayOfMonth, 2))"
    let minutes = second / 60
    return "\(date)T\(padded(minutes / 60, 2)):\(padded(minutes % 60, 2)):\(padded(second % 60, 2))"
  }

  /// Years are counted from March, so that the leap day is the last of its year.
  private static func civil(_ day: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let (era, dayOfEra) = floorDivide(day + 719_468, 146_097)
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shifted = (5 * dayOfYear + 2) / 153
    let month = shifted < 10 ? shifted + 3 : shifted - 9
    return (
      yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1
    )
  }

  private static func floorDivide(_ value: Int64, _ by: Int64) -> (Int64, Int64) {
    let (quotient, rest) = value.quotientAndRemainder(dividingBy: by)
    return rest < 0 ? (quotient - 1, rest + by) : (quotient, rest)
  }

  private static func padded(_ value: Int64, _ width: Int) -> String {
    let digits = String(value)
    return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
  }
}
