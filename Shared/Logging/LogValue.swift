// What a field of a log line may hold: literals of our own source, numbers, truth, durations, and
// `PublicText`. A String variable does not compile, so a secret has to be disguised to get in.

import Posix

/// The value of a log field.
public struct LogValue: Sendable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByBooleanLiteral
{
  enum Content: Sendable {
    case flag(Bool)
    case integer(Int64)
    case milliseconds(thousandths: Int64)
    case literal(StaticString)
    case text(PublicText)
  }

  let content: Content

  /// A text of our source; only a literal is accepted.
  public init(stringLiteral value: StaticString) { content = .literal(value) }
  /// A number of our source.
  public init(integerLiteral value: Int64) { content = .integer(value) }
  /// A truth of our source.
  public init(booleanLiteral value: Bool) { content = .flag(value) }

  private init(_ content: Content) { self.content = content }

  /// A truth.
  public static func flag(_ value: Bool) -> LogValue { LogValue(.flag(value)) }

  /// A number; one that does not fit 64 bits with a sign is written as the nearest that does.
  public static func count(_ value: some BinaryInteger) -> LogValue {
    LogValue(.integer(Int64(clamping: value)))
  }

  /// A duration, written in milliseconds with three decimals.
  public static func duration(_ value: Duration) -> LogValue {
    let (seconds, attoseconds) = value.components
    let whole = seconds.multipliedReportingOverflow(by: 1_000_000)
    let sum = whole.partialValue.addingReportingOverflow(attoseconds / 1_000_000_000_000)
    let clamped: Int64 = seconds < 0 ? .min + 1 : .max
    return LogValue(
      .milliseconds(thousandths: whole.overflow || sum.overflow ? clamped : sum.partialValue))
  }

  /// A text that our source holds, chosen while running (the name of an enum case).
  public static func literal(_ value: StaticString) -> LogValue { LogValue(.literal(value)) }

  /// The name of a system call's error.
  public static func errno(_ value: Errno) -> LogValue { LogValue(.literal(value.name)) }

  /// Text of a shape that is public by its nature.
  public static func text(_ value: PublicText) -> LogValue { LogValue(.text(value)) }

  /// `text(.serviceID(id))`
  public static func service(_ id: String) -> LogValue { .text(.serviceID(id)) }

  /// `text(.idPrefix(id))`: the first 8 characters of a row's id.
  public static func idPrefix(_ id: String) -> LogValue { .text(.idPrefix(id)) }
}
