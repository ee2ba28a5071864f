// What a connection must know of a provider's authorization server, whether it was discovered, stands
// in the catalogue, or both.

import HTTPCodec
import Providers

/// An authorization server as far as we use it (RFC 8414).
public struct AuthorizationServer: Sendable, Equatable {
  /// Its name, compared byte for byte; nil when nothing names it.
  public let issuer: String?
  public let authorizationURL: WebURL
  public let tokenURL: WebURL
  public let registrationURL: WebURL?
  public let revocationURL: WebURL?
  /// How a client may prove itself at the token endpoint, best first; never empty.
  public let clientAuthentication: [OAuthRules.ClientAuthentication]
  /// Whether S256 is used.
  public let usesPKCE: Bool
  /// Whether each answer of the authorization endpoint carries `iss` (RFC 9207).
  public let namesItself: Bool
  /// Whether a client may be the URL of a document about it.
  public let takesMetadataDocuments: Bool

  /// A server of these parts.
  public init(
    issuer: String?, authorizationURL: WebURL, tokenURL: WebURL, registrationURL: WebURL? = nil,
    revocationURL: WebURL? = nil,
    clientAuthentication: [OAuthRules.ClientAuthentication] = [.none], usesPKCE: Bool = true,
    namesItself: Bool = false, takesMetadataDocuments: Bool = false
  ) {
    precondition(!clientAuthentication.isEmpty)
    self.issuer = issuer
    self.authorizationURL = authorizationURL
    self.tokenURL = tokenURL
    self.registrationURL = registrationURL
    self.revocationURL = revocationURL
    self.clientAuthentication = clientAuthentication
    self.usesPKCE = usesPKCE
    self.namesItself = namesItself
    self.takesMetadataDocuments = takesMetadataDocuments
  }
}

/// What discovery finds for a service.
public struct DiscoveredService: Sendable, Equatable {
  public let server: AuthorizationServer
  /// What is sent as `resource` (RFC 8707); nil when the service wants none.
  public let resource: String?
  /// The scopes to ask for; empty = the server's default.
  public let scopes: [String]

  /// A service of these parts.
  public init(server: AuthorizationServer, resource: String?, scopes: [String]) {
    self.server = server
    self.resource = resource
    self.scopes = scopes
  }
}
