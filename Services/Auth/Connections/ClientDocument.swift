// The addresses by which authorization servers know us, and the document at one of them: our client
// id at servers that read such documents. Public; nothing of it is secret.

import HTTPCodec
import HTTPServer
import OAuth

/// Ourselves as an OAuth client.
struct ClientDocument: Sendable {
  /// Where the document is served.
  static let path = "/oauth/client.json"

  /// The document's address: our client id where it is read.
  let url: WebURL
  /// Where providers send people back to.
  let redirectURL: WebURL
  /// The same as it is sent, byte for byte.
  let redirectURI: String
  private let json: [UInt8]

  init(publicURL: WebURL) {
    redirectURI = publicURL.origin + "/api/connections/callback"
    guard let url = WebURL(publicURL.origin + Self.path), let redirectURL = WebURL(redirectURI),
      let document = ClientMetadataDocument(url: url, redirectURIs: [redirectURL])
    else { preconditionFailure("an origin and a short path are a URL") }
    self.url = url
    self.redirectURL = redirectURL
    json = document.json
  }

  /// GET /oauth/client.json
  var response: Response {
    var response = Response.json(json)
    response.fields.append((name: "cache-control", value: "public, max-age=300"))
    return response
  }
}
