// Where metadata is to be found when nobody said where: the well-known addresses of a resource (RFC
// 9728 section 3.1) and of an authorization server (RFC 8414 section 3.1, OpenID Connect Discovery
// section 4.1), in the order in which a client of MCP tries them.

import HTTPCodec

/// Well-known addresses.
public enum WellKnown {
  /// The metadata of `resource`: that of its path, then that of its host.
  public static func resourceMetadata(of resource: WebURL) -> [WebURL] {
    let name = "/.well-known/oauth-protected-resource"
    let path = withoutSlash(resource.path)
    let query = resource.query.map { "?\($0)" } ?? ""
    let own = path.isEmpty && query.isEmpty ? [] : [resource.origin + name + path + query]
    return (own + [resource.origin + name]).compactMap { WebURL($0) }
  }

  /// The metadata of the authorization server `issuer`. With a path there are three forms; the last
  /// one is OpenID Connect's own.
  public static func serverMetadata(of issuer: WebURL) -> [WebURL] {
    let path = withoutSlash(issuer.path)
    var addresses = [
      "\(issuer.origin)/.well-known/oauth-authorization-server\(path)",
      "\(issuer.origin)/.well-known/openid-configuration\(path)",
    ]
    if !path.isEmpty {
      addresses.append("\(issuer.origin)\(path)/.well-known/openid-configuration")
    }
    return addresses.compactMap { WebURL($0) }
  }

  private static func withoutSlash(_ path: String) -> String {
    path.utf8.last == UInt8(ascii: "/") ? String(path.dropLast()) : path
  }
}
