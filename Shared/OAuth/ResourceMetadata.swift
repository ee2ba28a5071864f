// What a protected resource says of itself (RFC 9728): its name, and who gives out tokens for it. The
// name must be that of the server we spoke to, or a token for another one would be asked for.

import HTTPCodec

/// The metadata of a protected resource, as far as we use it.
public struct ResourceMetadata: Sendable, Equatable {
  /// Its name as written; this is what `resource` will say.
  public let resource: String
  /// The issuers of its tokens as written, at least one.
  public let authorizationServers: [String]
  /// All of its scopes.
  public let scopes: [String]

  /// Reads a document.
  /// - Throws: `DocumentFault`.
  public init(reading body: [UInt8]) throws(DocumentFault) {
    let document = try MetadataDocument(reading: body)
    resource = try document.requiredText("resource")
    guard let servers = try document.texts("authorization_servers"), !servers.isEmpty else {
      throw .missing("authorization_servers")
    }
    authorizationServers = servers
    scopes = ScopeText.usable(try document.texts("scopes_supported") ?? [])
  }

  /// Whether a document with this name, found at `address`, speaks of `mcpURL` (RFC 9728 section
  /// 3.3): the name is that very URL, where a last slash more or less is no difference, because the
  /// two are mixed up everywhere and lead to the same server. The root document of the host may also
  /// name the host as a whole: that is what its address was made of.
  public func speaks(of mcpURL: WebURL, foundAt address: WebURL) -> Bool {
    guard let named = WebURL(resource), named.origin.utf8.elementsEqual(mcpURL.origin.utf8) else {
      return false
    }
    if Self.isSame(named.target, mcpURL.target) { return true }
    let root = WebURL("\(mcpURL.origin)/.well-known/oauth-protected-resource")
    return named.isOrigin && address == root
  }

  private static func isSame(_ a: String, _ b: String) -> Bool {
    let slash = UInt8(ascii: "/")
    let (a, b) = (Array(a.utf8), Array(b.utf8))
    return (a.last == slash ? a.dropLast() : a[...])
      .elementsEqual(b.last == slash ? b.dropLast() : b[...])
  }
}

extension WebURL {
  /// The URL as the name of a resource: in normal form, without a last slash (MCP authorization,
  /// canonical server URI).
  public var resourceName: String {
    query == nil && path.utf8.last == UInt8(ascii: "/")
      ? String(description.dropLast()) : description
  }
}
