// Every bound of a conversation in one place. The defaults are what services run with; tests
// pass smaller ones so that nobody waits.

/// Bounds of time, memory and number for one side of a conversation.
public struct RPCLimits: Sendable {
  /// From connect to the peer's greeting.
  public var greetingMax = Duration.seconds(2)
  /// From the first byte of a frame to its last, and for a write without progress.
  public var stallMax = Duration.seconds(10)
  /// How long a call waits for a connection that is not there yet.
  public var connectMax = Duration.milliseconds(100)
  /// Calls of one connection that are answered at the same time.
  public var callsMax = 256
  /// Connections that one service serves at the same time.
  public var connectionsMax = 128
  /// Bytes that may wait to be written; past it no further call is read.
  public var queuedBytesMax = 4 << 20

  public init() {}
}
