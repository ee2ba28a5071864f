// How much a client may ask for and how long it may take. One value per listener; every bound here
// has an answer of its own (408, 413, 414, 431) or a closed connection.

import HTTPCodec

/// Bounds on one client connection.
public struct ServerLimits: Sendable {
  /// Sizes of request line, head and field count.
  public var head = HeadLimits()
  /// From the first byte of a head to its end, not prolonged by bytes.
  public var headSeconds = 10
  /// Between requests on a kept connection.
  public var idleSeconds = 75
  /// For the TLS handshake.
  public var handshakeSeconds = 10
  /// Without any room to write.
  public var stallSeconds = 30
  /// Before a collected body must keep a rate.
  public var bodyGraceSeconds = 10
  /// The rate.
  public var bodyBytesPerSecondMin = 500
  /// Bytes a collected body may have (streams are not collected).
  public var bodyBytesMax = 64 * 1024
  /// Open connections on each loop; further ones are closed at once.
  public var connectionsMax = 16_384
  /// Open connections of one client network on each loop that never showed a good credential.
  public var strangersPerClientMax = 4096
  /// Requests on one connection before it is closed.
  public var requestsPerConnectionMax = 100_000

  /// The usual bounds.
  public init() {}
}
