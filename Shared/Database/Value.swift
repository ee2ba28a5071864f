// The values that a statement takes: SQLite's storage classes as Swift has them. Large or secret
// bytes need not become a Value; Statement binds borrowed memory directly.

/// A value to bind to a statement.
public enum Value: Sendable {
  case null
  case integer(Int64)
  case text(String)
  case blob([UInt8])

  /// `value`, or NULL for nil.
  public static func optional(_ value: Int64?) -> Value { value.map { .integer($0) } ?? .null }
  /// `value`, or NULL for nil.
  public static func optional(_ value: String?) -> Value { value.map { .text($0) } ?? .null }
  /// `value`, or NULL for nil.
  public static func optional(_ value: [UInt8]?) -> Value { value.map { .blob($0) } ?? .null }
}

extension Value: ExpressibleByIntegerLiteral, ExpressibleByStringLiteral, ExpressibleByNilLiteral {
  public init(integerLiteral value: Int64) { self = .integer(value) }
  public init(stringLiteral value: String) { self = .text(value) }
  public init(nilLiteral: ()) { self = .null }
}
