// What goes in and out of the call by which the edge gets a data key for a program that showed its
// key. Name, callers and deadline are in Calls.swift.

/// Open the data key of a managed connection for the holder of a program's key. The key itself is the
/// proof that the edge was shown it: its hash, which is stored, would prove nothing. `conflict` when
/// the key does not reach the connection.
public enum UnwrapForKeyCall: Call {
  public static let name = CallName.unwrapForKey

  /// Whose key, and who asks.
  public struct Request: Codable, Sendable {
    public var connectionID: String
    /// The program's key, as it was shown. Kept by nobody.
    public var key: String

    public init(connectionID: String, key: String) {
      self.connectionID = connectionID
      self.key = key
    }
  }

  /// The key.
  public typealias Response = UnwrapCall.Response
}
