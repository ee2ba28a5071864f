// What time is it at Stripe? Events carry its clock and ours may be off, so the age of a reading is
// taken from the answer's own field `Date`.

/// Stripe's clock.
public enum StripeClock {
  private static let months = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
  ]

  /// The Unix time of `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 5.6.7); nil for any other text.
  public static func seconds(_ text: [UInt8]) -> Int64? {
    guard text.count == 29, text[3] == 0x2c, text[25...].elementsEqual(" GMT".utf8),
      text[19] == 0x3a, text[22] == 0x3a, [4, 7, 11, 16].allSatisfy({ text[$0] == 0x20 }),
      let day = number(text[5...6]), let year = number(text[12...15]),
      let month = months.firstIndex(where: { text[8...10].elementsEqual($0.utf8) }),
      let hour = number(text[17...18]), let minute = number(text[20...21]),
      let second = number(text[23...24]), (1...31).contains(day), year >= 1970, hour < 24,
      minute < 60, second < 61
    else { return nil }
    // Years are counted from March, so that the leap day is the last of its year.
    let march = month >= 2 ? Int64(month) - 2 : Int64(month) + 10
    let years = month >= 2 ? year : year - 1
    let days =
      365 * years + years / 4 - years / 100 + years / 400 + (153 * march + 2) / 5 + day - 1
      - 719_468
    return days * 86_400 + hour * 3600 + minute * 60 + second
  }

  private static func number(_ digits: ArraySlice<UInt8>) -> Int64? {
    guard digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    return digits.reduce(0) { $0 * 10 + Int64($1 - 0x30) }
  }
}
