// How much a client may ask for and how long it may take. One value per listener; every bound here
// has an answer of its own (408, 413, 414, 431) or a closed connection.

import HTTPCodec

/// Bounds on one client connection.
package struct ServerLimits: Sendable {
  /// Sizes of request line, head and field count.
  package var head = HeadLimits()
  /// From the first byte of a head to its end, not prolonged by bytes.
  package var headSeconds = 10
  /// Between requests on a kept connection.
  package var idleSeconds = 75
  /// For the TLS handshake.
  package var handshakeSeconds = 10
  /// Without any room to write.
  package var stallSeconds = 30
  /// Before a collected body must keep a rate.
  package var bodyGraceSeconds = 10
  /// The rate.
  package var bodyBytesPerSecondMin = 500
  /// Bytes a collected body may have (streams are not collected).
  package var bodyBytesMax = 64 * 1024
  /// Open connections on each loop; further ones are closed at once.
  package var connectionsMax = 16_384
  /// Open connections of one client network on each loop that never showed a good credential.
  package var strangersPerClientMax = 4096
  /// Requests on one connection before it is closed.
  package var requestsPerConnectionMax = 100_000

  /// The usual bounds.
  package init() {}
}
