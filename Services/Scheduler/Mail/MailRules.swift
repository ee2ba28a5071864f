// What may be a mail, and when is it tried again? Pure. A recipient is one plain address, a subject
// and a value one line each: so nobody can add a header or a recipient of their own.

import Clocks

/// The rules of the mail queue.
enum MailRules {
  /// After so long without success a mail is parked for the operator to see.
  static let triesSecondsMax: Int64 = 3 * 86_400
  /// How long a mail's row stays after it was sent or parked.
  static let keepSeconds: Int64 = 30 * 86_400
  static let subjectBytesMax = 200
  static let valueBytesMax = 1000
  static let occasionBytesMax = 200

  /// The pause after the n-th try that failed: from a minute to twelve hours.
  static func pauseSeconds(afterTries tries: Int64) -> Int64 {
    let steps: [Int64] = [60, 300, 900, 3600, 10_800, 21_600]
    return tries < 1 ? 60 : tries <= steps.count ? steps[Int(tries) - 1] : 43_200
  }

  /// When to try again after a failure at `now`; nil when it is time to give up.
  static func nextTry(createdAt: UnixTime, tries: Int64, now: UnixTime) -> UnixTime? {
    let next = now.advanced(bySeconds: pauseSeconds(afterTries: tries))
    return next.seconds - createdAt.seconds > triesSecondsMax ? nil : next
  }

  /// One address without a name: visible ASCII, one @, nothing that separates or quotes addresses.
  static func admits(recipient: String) -> Bool {
    let bytes = Array(recipient.utf8)
    guard (3...254).contains(bytes.count), bytes.allSatisfy({ (0x21...0x7e).contains($0) }),
      !bytes.contains(where: { "<>(),;:\\\"[]".utf8.contains($0) })
    else { return false }
    let parts = bytes.split(separator: UInt8(ascii: "@"), omittingEmptySubsequences: false)
    return parts.count == 2 && parts.allSatisfy { !$0.isEmpty }
  }

  /// One line.
  static func admits(subject: String) -> Bool {
    (1...subjectBytesMax).contains(subject.utf8.count) && isOneLine(subject)
  }

  /// A part of a line, maybe empty.
  static func admits(value: String) -> Bool {
    value.utf8.count <= valueBytesMax && isOneLine(value)
  }

  /// Names an occasion.
  static func admits(occasion: String) -> Bool {
    (1...occasionBytesMax).contains(occasion.utf8.count)
      && occasion.utf8.allSatisfy { (0x21...0x7e).contains($0) }
  }

  /// No control character, and none of Unicode's own line ends.
  private static func isOneLine(_ text: String) -> Bool {
    text.unicodeScalars.allSatisfy { scalar in
      scalar.value >= 0x20 && !(0x7f...0x9f).contains(scalar.value)
        && scalar.value != 0x2028 && scalar.value != 0x2029
    }
  }
}
