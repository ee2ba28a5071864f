// Why a text is not JSON that we take. The place is an offset, never a quotation: these errors may
// be logged and the text may hold a secret.

/// Why a text was refused.
public enum JSONError: Error, Equatable, Sendable {
  /// More bytes than allowed.
  case tooLarge
  /// Objects and arrays nested deeper than allowed.
  case tooDeep
  /// The text ends in the middle.
  case truncated
  /// A byte that the grammar of RFC 8259 has no place for.
  case syntax(at: Int)
  /// Bytes that are not UTF-8, overlong forms and encoded surrogates among them.
  case encoding(at: Int)
  /// An escaped surrogate without its partner: no text at all, and readers differ.
  case loneSurrogate(at: Int)
  /// A name that the object already has; readers differ in which of the two counts.
  case duplicateName(at: Int)
}

/// Bounds on one JSON text.
public struct JSONLimits: Sendable {
  /// Bytes of the text.
  public var bytesMax = 1 << 20
  /// Objects and arrays inside each other, at most 64.
  public var depthMax = 64

  /// The usual bounds.
  public init() {}

  /// The usual bounds with another size.
  public init(bytesMax: Int) { self.bytesMax = bytesMax }
}
