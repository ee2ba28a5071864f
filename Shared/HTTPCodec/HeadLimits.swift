// How large a message head may be. Each bound has an answer of its own (414, 431); a head that
// stays within them costs at most this much memory, whatever it says.

/// Bounds on one message head.
public struct HeadLimits: Sendable {
  /// The first line without its line end; more is 414.
  public var requestLineBytesMax = 8192
  /// The whole head with its empty line; more is 431. At most 65535.
  public var headBytesMax = 32768
  /// Field lines; more is 431. At most 255.
  public var fieldsMax = 100

  /// The usual bounds.
  public init() {}
}
