// A moment as the calendar of RFC 9110 dates writes it. Proleptic Gregorian, no leap seconds, no
// time zone data; years 1 to 9999.

/// Day and time of a moment in GMT.
struct HTTPDate {
  static let weekdays: [StaticString] = [
    "Sun, ", "Mon, ", "Tue, ", "Wed, ", "Thu, ", "Fri, ", "Sat, ",
  ]
  static let months: [StaticString] = [
    " Jan ", " Feb ", " Mar ", " Apr ", " May ", " Jun ", " Jul ", " Aug ", " Sep ", " Oct ",
    " Nov ", " Dec ",
  ]

  let year: Int
  let month: Int
  let day: Int
  let weekday: Int
  /// Since midnight.
  let second: Int

  /// The moment `seconds` after 1970 began.
  init(_ seconds: Int64) {
    let clamped = Int(min(max(seconds, -62_135_596_800), 253_402_300_799))
    let days = clamped >= 0 ? clamped / 86400 : (clamped - 86399) / 86400
    second = clamped - days * 86400
    weekday = (days + 4 + 7 * 200_000) % 7
    // Years begin in March here, so that the leap day is the last of its year.
    let shifted = days + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra =
      (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  }
}
