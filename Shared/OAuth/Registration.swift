// How do we become a client of an authorization server? In the order of MCP's client registration: the
// client that the operator made, else the URL of a document about us, else dynamic registration (RFC
// 7591). A client belongs to the issuer where it was made and is never used at another.

import Clocks
import FoundationEssentials
import HTTPClient
import HTTPCodec
import Providers

/// A client as an authorization server registered it.
public struct RegisteredClient: Sendable, Equatable {
  public let clientID: String
  public let clientSecret: String?
  public let authentication: OAuthRules.ClientAuthentication
  /// Seconds since 1970 when the secret ends; nil = never.
  public let expiresAt: Int64?
  /// Where the registration can be read and ended (RFC 7592).
  public let registrationClientURI: WebURL?
  /// What that address asks for.
  public let registrationAccessToken: String?

  /// Who we are at the token endpoint.
  public var identity: ClientIdentity {
    ClientIdentity(id: clientID, secret: clientSecret, authentication: authentication)
  }
}

/// The way to be a client.
public enum RegistrationWay: Sendable, Equatable {
  /// We are one: the operator's, or by document.
  case known(ClientIdentity)
  /// We must register there first.
  case dynamic(WebURL)
  /// There is none.
  case impossible(RegistrationObstacle)
}

/// Why we can not be a client.
public enum RegistrationObstacle: Sendable, Equatable {
  /// The operator has to set the client's id and secret.
  case staticClientMissing
  /// The server takes neither documents nor registrations.
  case notOffered
}

/// Why a registration failed.
public enum RegistrationFailure: Error, Sendable, Equatable {
  case unreachable(ClientError)
  /// The server does not want us; its error code as far as that is a word.
  case refused(status: Int, code: String?)
  case throttled(retryAfterSeconds: Int?)
  /// The answer is none that we can use.
  case broken(DocumentFault)
}

/// Registering at authorization servers.
public enum Registration {
  /// The name by which people know us when they are asked.
  public static let clientName = "Bindery"
  private static let bodyBytesMax = 256 * 1024

  /// The first way that is open.
  /// - Parameters:
  ///   - operatorClient: Id and secret from the settings, where there are some.
  ///   - documentURL: The URL of our metadata document; nil when we serve none.
  public static func way(
    for provider: Provider, at server: AuthorizationServer,
    operatorClient: (id: String, secret: String?)?, documentURL: WebURL?
  ) -> RegistrationWay {
    if let operatorClient {
      // With a secret the server's first way that uses one, else we only name ourselves.
      let way = server.clientAuthentication.first { $0 != .none } ?? .post
      return .known(
        ClientIdentity(id: operatorClient.id, secret: operatorClient.secret, authentication: way))
    }
    if provider.oauth?.registration == .static { return .impossible(.staticClientMissing) }
    if let documentURL, server.takesMetadataDocuments, canRead(documentURL, server),
      server.clientAuthentication.contains(.none)
    {
      return .known(
        ClientIdentity(id: documentURL.description, secret: nil, authentication: .none))
    }
    return server.registrationURL.map { .dynamic($0) } ?? .impossible(.notOffered)
  }

  /// Whether the server can be expected to fetch our document: over https, or as our neighbour.
  private static func canRead(_ documentURL: WebURL, _ server: AuthorizationServer) -> Bool {
    documentURL.scheme == .https && !documentURL.authority.isLoopback
      || server.tokenURL.authority.isLoopback
  }

  /// Registers us (RFC 7591). One request; nothing is sent twice.
  /// - Parameters:
  ///   - policy: Where the URL may lead: `Provider.policy(for:)`.
  ///   - authentication: What the server takes, best first.
  /// - Throws: `RegistrationFailure`.
  public static func register(
    at url: WebURL, policy: AddressPolicy, redirectURI: WebURL,
    clientName: String = Registration.clientName, scopes: [String],
    authentication: [OAuthRules.ClientAuthentication], fetch: any Fetching
  ) async throws(RegistrationFailure) -> RegisteredClient {
    let way = authentication.first ?? .none
    let body = request(
      redirectURI: redirectURI, clientName: clientName, scopes: scopes, authentication: way)
    let request = ClientRequest(
      method: .post, origin: Origin(url), target: url.target,
      fields: [
        ("accept", Array("application/json".utf8)),
        ("content-type", Array("application/json".utf8)),
      ], body: body)
    let answer: ClientResponse
    do throws(ClientError) {
      answer = try await fetch.fetch(
        request, policy: policy, deadline: .now.advanced(by: TokenEndpoint.patience),
        bodyBytesMax: bodyBytesMax)
    } catch { throw .unreachable(error) }
    return try RegisteredClient(
      status: answer.status, body: answer.isPartial ? [] : answer.body,
      retryAfterSeconds: answer.retryAfterSeconds, asked: way)
  }

  /// What we say of ourselves. A web application has https redirects; one that comes back to a
  /// loopback address is a native one to a server that tells them apart (OpenID Connect Registration
  /// section 2, SEP-837).
  static func request(
    redirectURI: WebURL, clientName: String, scopes: [String],
    authentication: OAuthRules.ClientAuthentication
  ) -> [UInt8] {
    let isNative = redirectURI.scheme == .http
    return ClientDescription(
      clientName: clientName, redirectURIs: [redirectURI.description],
      authentication: authentication.methodName, applicationType: isNative ? "native" : "web",
      scope: scopes.isEmpty ? nil : scopes.joined(separator: " ")
    ).json
  }
}

/// What a client says of itself, in the names of RFC 7591 section 2.
struct ClientDescription: Encodable {
  var clientID: String?
  let clientName: String
  let redirectURIs: [String]
  let grantTypes = ["authorization_code", "refresh_token"]
  let responseTypes = ["code"]
  let authentication: String
  let applicationType: String
  var scope: String?

  private enum CodingKeys: String, CodingKey {
    case clientID = "client_id"
    case clientName = "client_name"
    case redirectURIs = "redirect_uris"
    case grantTypes = "grant_types"
    case responseTypes = "response_types"
    case authentication = "token_endpoint_auth_method"
    case applicationType = "application_type"
    case scope
  }

  var json: [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    guard let data = try? encoder.encode(self) else { preconditionFailure("texts are JSON") }
    return [UInt8](data)
  }
}
