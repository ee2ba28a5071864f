// Names where requests go: scheme, host and port, or the Unix socket of a service of ours. Whose
// requests they are is told by the lane (UpstreamPool).

import Posix

/// The scheme, host and port of a server.
package struct Origin: Hashable, Sendable {
  /// Whether TLS is spoken.
  package let isSecure: Bool
  /// Host name in lower case, or an IP literal without brackets; a path for Unix sockets.
  package let host: String
  /// The TCP port; 0 for Unix sockets.
  package let port: UInt16
  /// Whether `host` is the path of a Unix socket.
  package let isUnix: Bool

  /// A TCP origin.
  package init(isSecure: Bool, host: String, port: UInt16) {
    self.isSecure = isSecure
    self.host = host
    self.port = port
    isUnix = false
  }

  /// A Unix socket that speaks plain HTTP.
  package init(unixPath: String) {
    isSecure = false
    host = unixPath
    port = 0
    isUnix = true
  }

  /// What the Host field says: the port only when it is not the scheme's own.
  package var authority: String {
    if isUnix { return "localhost" }
    let name = host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]" : host
    return port == (isSecure ? 443 : 80) ? name : "\(name):\(port)"
  }
}
