// The document about us that authorization servers fetch when our client id is its URL (OAuth Client ID
// Metadata Document). Served by auth at that very URL; at most 5 KB, and no secrets: there are none.

import HTTPCodec
import Providers

/// What we say of ourselves under our own URL.
public struct ClientMetadataDocument: Sendable, Equatable {
  /// The most bytes that servers are asked to read.
  public static let bytesMax = 5 * 1024

  /// The body, JSON.
  public let json: [UInt8]

  /// The document at `url`, a URL with a path, for a client that comes back to `redirectURIs`; nil
  /// when it would be too large.
  public init?(
    url: WebURL, redirectURIs: [WebURL], clientName: String = Registration.clientName
  ) {
    precondition(!url.isOrigin && !redirectURIs.isEmpty)
    let isNative = redirectURIs.contains { $0.scheme == .http }
    json =
      ClientDescription(
        clientID: url.description, clientName: clientName,
        redirectURIs: redirectURIs.map(\.description),
        authentication: OAuthRules.ClientAuthentication.none.methodName,
        applicationType: isNative ? "native" : "web"
      ).json
    guard json.count <= Self.bytesMax else { return nil }
  }
}
