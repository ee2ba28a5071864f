// How much an event matters, and which of them a process writes. The names are those of the
// setting LOG_LEVEL and of the field `level` in every line.

/// The weight of a log event.
public enum LogLevel: UInt8, Comparable, Sendable, CaseIterable {
  /// More events, for someone who is looking for something; never bodies or secrets.
  case debug
  /// What an operator wants to find later.
  case info
  /// Something went wrong and was dealt with.
  case warning
  /// Something went wrong and somebody should act.
  case error

  /// The level of that name, or nil; names are exact.
  public init?(name: String) {
    guard
      let level = Self.allCases.first(where: { $0.name.description.utf8.elementsEqual(name.utf8) })
    else { return nil }
    self = level
  }

  /// The name in settings and lines.
  public var name: StaticString {
    switch self {
    case .debug: "debug"
    case .info: "info"
    case .warning: "warning"
    case .error: "error"
    }
  }

  /// Whether the left level weighs less.
  public static func < (left: LogLevel, right: LogLevel) -> Bool { left.rawValue < right.rawValue }
}
