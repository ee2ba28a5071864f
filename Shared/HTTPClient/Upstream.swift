// Names where requests go: scheme, host and port, or the Unix socket of a service of ours. Whose
// requests they are is told by the lane (UpstreamPool).

import HTTPCodec
import Posix

/// The scheme, host and port of a server.
public struct Origin: Hashable, Sendable {
  /// Whether TLS is spoken.
  public let isSecure: Bool
  /// Host name in lower case, or an IP literal without brackets; a path for Unix sockets.
  public let host: String
  /// The TCP port; 0 for Unix sockets.
  public let port: UInt16
  /// Whether `host` is the path of a Unix socket.
  public let isUnix: Bool

  /// A TCP origin.
  public init(isSecure: Bool, host: String, port: UInt16) {
    self.isSecure = isSecure
    self.host = host
    self.port = port
    isUnix = false
  }

  /// A Unix socket that speaks plain HTTP.
  public init(unixPath: String) {
    isSecure = false
    host = unixPath
    port = 0
    isUnix = true
  }

  /// What the Host field says: the port only when it is not the scheme's own.
  public var authority: String {
    if isUnix { return "localhost" }
    let name = host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]" : host
    return port == (isSecure ? 443 : 80) ? name : "\(name):\(port)"
  }
}

extension Origin {
  /// Where `url` is served.
  public init(_ url: WebURL) {
    let host =
      switch url.authority.host {
      case .name(let name): name
      case .address(let address): address.description
      }
    self.init(isSecure: url.scheme == .https, host: host, port: url.port)
  }
}
