// What the callback needs to finish an authorization that began minutes before, perhaps in another
// process: sealed under the state while the person is away. What was decided at the start holds:
// no setting, catalogue or metadata that changes meanwhile sends a code elsewhere.

import Accounts
import OAuth
import Providers

/// The other half of an authorization under way.
struct AuthorizationSecrets: Codable, Equatable {
  /// Longer lists are asked for, but not kept: with two long tokens they would not fit into a blob.
  private static let scopeBytesMax = 4096

  /// PKCE; nil at servers that do not have it.
  var verifier: String?
  var clientID: String
  var clientSecret: String?
  var clientAuthentication: String
  var tokenURL: String
  var revocationURL: String?
  var resource: String?
  /// Whom the answer must come from.
  var issuer: String?
  /// Whether each answer says so.
  var namesItself: Bool
  /// The scopes that were asked for, with blanks between.
  var scope: String?
  /// The issuer under which our client is registered, when we registered it ourselves.
  var registeredAt: String?

  init(
    _ service: DiscoveredService, client: OAuthClients.Choice, verifier: String?
  ) {
    let server = service.server
    self.verifier = verifier
    clientID = client.identity.id
    clientSecret = client.identity.secret
    clientAuthentication = client.identity.authentication.rawValue
    tokenURL = server.tokenURL.description
    revocationURL = server.revocationURL?.description
    resource = service.resource
    issuer = server.issuer
    namesItself = server.namesItself
    let scopes = service.scopes.joined(separator: " ")
    scope = (1...Self.scopeBytesMax).contains(scopes.utf8.count) ? scopes : nil
    registeredAt = client.registeredAt?.issuer
  }

  /// Our client; nil when its authentication is none that we know.
  var client: ClientIdentity? {
    OAuthRules.ClientAuthentication(rawValue: clientAuthentication).map {
      ClientIdentity(id: clientID, secret: clientSecret, authentication: $0)
    }
  }

  /// Whether an answer comes from the server that the person was sent to (RFC 9207). One that names
  /// a server is compared byte for byte, also where none was promised; one that we cannot hold
  /// against a name is refused.
  func admits(issuer named: String?) -> Bool {
    guard let named else { return !namesItself }
    return issuer.map { $0.utf8.elementsEqual(named.utf8) } ?? false
  }
}
