// What an authorization server says of itself (RFC 8414, OpenID Connect Discovery), and what of it is
// good enough to send people and tokens there.

import HTTPClient
import HTTPCodec
import Providers

/// The metadata of an authorization server, as far as we use it.
public struct ServerMetadata: Sendable, Equatable {
  /// Its name as written.
  public let issuer: String
  public let authorizationURL: WebURL
  public let tokenURL: WebURL
  public let registrationURL: WebURL?
  public let revocationURL: WebURL?
  /// Nil when it does not say.
  public let challengeMethods: [String]?
  /// Nil when it does not say.
  public let authenticationMethods: [String]?
  public let namesItself: Bool
  public let takesMetadataDocuments: Bool

  /// Reads a document; endpoints are URLs of http or https without user names and fragments.
  /// - Throws: `DocumentFault`.
  public init(reading body: [UInt8]) throws(DocumentFault) {
    let document = try MetadataDocument(reading: body)
    issuer = try document.requiredText("issuer")
    authorizationURL = try document.requiredURL("authorization_endpoint")
    tokenURL = try document.requiredURL("token_endpoint")
    registrationURL = try document.url("registration_endpoint")
    revocationURL = try document.url("revocation_endpoint")
    challengeMethods = try document.texts("code_challenge_methods_supported")
    authenticationMethods = try document.texts("token_endpoint_auth_methods_supported")
    namesItself = try document.flag("authorization_response_iss_parameter_supported")
    takesMetadataDocuments = try document.flag("client_id_metadata_document_supported")
  }

  /// Whether it says that it takes S256.
  public var takesS256: Bool {
    challengeMethods?.contains { $0.utf8.elementsEqual("S256".utf8) } ?? false
  }

  /// The endpoints with their names in the document.
  var endpoints: [(name: StaticText, url: WebURL)] {
    let all: [(StaticText, WebURL?)] = [
      ("authorization_endpoint", authorizationURL), ("token_endpoint", tokenURL),
      ("registration_endpoint", registrationURL), ("revocation_endpoint", revocationURL),
    ]
    return all.compactMap { name, url in url.map { (name, $0) } }
  }

  /// How a client may prove itself, the catalogue's way first, then in the server's order, which some
  /// serve better than the rest; empty when there is no way that we know. A server that does not say
  /// takes what the catalogue says.
  func clientAuthentication(
    preferring own: OAuthRules.ClientAuthentication
  ) -> [OAuthRules.ClientAuthentication] {
    guard let authenticationMethods else { return [own] }
    let offered = authenticationMethods.compactMap {
      OAuthRules.ClientAuthentication(methodName: $0)
    }
    return offered.filter { $0 == own } + offered.filter { $0 != own }
  }
}

extension OAuthRules.ClientAuthentication {
  /// The name of RFC 7591 section 2.
  public var methodName: String {
    switch self {
    case .none: "none"
    case .basic: "client_secret_basic"
    case .post: "client_secret_post"
    }
  }

  /// The way that RFC 7591 names so, or nil.
  public init?(methodName: String) {
    guard
      let way = Self.allCases.first(where: { $0.methodName.utf8.elementsEqual(methodName.utf8) })
    else { return nil }
    self = way
  }
}
