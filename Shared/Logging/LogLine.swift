// How a log event is written: one JSON object on one line, ts, level, service, event, then the
// fields in the order given. Pure: the time comes in. It cannot produce anything but valid JSON,
// because every byte that could end a string is written as an escape.

/// Renders log events.
enum LogLine {
  static func render(
    milliseconds: Int64, level: LogLevel, service: StaticString, event: StaticString,
    fields: KeyValuePairs<StaticString, LogValue>
  ) -> [UInt8] {
    var line: [UInt8] = []
    line.reserveCapacity(128 + fields.count * 32)
    line.append(contentsOf: #"{"ts":""#.utf8)
    appendTime(milliseconds, to: &line)
    line.append(contentsOf: #"","level":""#.utf8)
    appendEscaped(level.name, to: &line)
    line.append(contentsOf: #"","service":""#.utf8)
    appendEscaped(service, to: &line)
    line.append(contentsOf: #"","event":""#.utf8)
    appendEscaped(event, to: &line)
    line.append(UInt8(ascii: "\""))
    for (name, value) in fields {
      line.append(contentsOf: #",""#.utf8)
      appendEscaped(name, to: &line)
      line.append(contentsOf: #"":"#.utf8)
      append(value, to: &line)
    }
    line.append(UInt8(ascii: "}"))
    line.append(UInt8(ascii: "\n"))
    return line
  }

  private static func append(_ value: LogValue, to line: inout [UInt8]) {
    switch value.content {
    case .flag(let flag): line.append(contentsOf: (flag ? "true" : "false").utf8)
    case .integer(let number): appendDecimal(number, to: &line)
    case .milliseconds(let thousandths):
      if thousandths < 0 { line.append(UInt8(ascii: "-")) }
      let size = thousandths.magnitude
      appendDecimal(Int64(size / 1000), to: &line)
      line.append(UInt8(ascii: "."))
      appendDecimal(Int64(size % 1000), to: &line, width: 3)
    case .literal(let text):
      line.append(UInt8(ascii: "\""))
      appendEscaped(text, to: &line)
      line.append(UInt8(ascii: "\""))
    case .text(let text):
      line.append(UInt8(ascii: "\""))
      line.append(contentsOf: text.bytes)
      line.append(UInt8(ascii: "\""))
    }
  }

  /// RFC 3339 in UTC with milliseconds.
  private static func appendTime(_ milliseconds: Int64, to line: inout [UInt8]) {
    let days = floorDivide(milliseconds, 86_400_000)
    let rest = milliseconds - days * 86_400_000
    // The civil calendar from a day count: eras of 400 years that begin in March.
    let shifted = days + 719_468
    let era = floorDivide(shifted, 146_097)
    let dayOfEra = shifted - era * 146_097
    let yearOfEra =
      (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    let parts: [(Int64, Int, UInt8)] = [
      (year, 4, UInt8(ascii: "-")), (month, 2, UInt8(ascii: "-")), (day, 2, UInt8(ascii: "T")),
      (rest / 3_600_000, 2, UInt8(ascii: ":")), (rest / 60_000 % 60, 2, UInt8(ascii: ":")),
      (rest / 1000 % 60, 2, UInt8(ascii: ".")), (rest % 1000, 3, UInt8(ascii: "Z")),
    ]
    for (number, width, mark) in parts {
      appendDecimal(number, to: &line, width: width)
      line.append(mark)
    }
  }

  private static func floorDivide(_ value: Int64, _ divisor: Int64) -> Int64 {
    let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? quotient - 1 : quotient
  }

  private static func appendDecimal(_ value: Int64, to line: inout [UInt8], width: Int = 1) {
    if value < 0 { line.append(UInt8(ascii: "-")) }
    let digits = String(value.magnitude).utf8
    for _ in digits.count..<max(width, digits.count) { line.append(UInt8(ascii: "0")) }
    line.append(contentsOf: digits)
  }

  private static func appendEscaped(_ text: StaticString, to line: inout [UInt8]) {
    text.withUTF8Buffer { bytes in
      for byte in bytes {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"):
          line.append(UInt8(ascii: "\\"))
          line.append(byte)
        case 0..<0x20, 0x7f: line.append(UInt8(ascii: "?"))
        default: line.append(byte)
        }
      }
    }
  }
}
