// What we publish about ourselves: as an authorization server (RFC 8414), as the resources that it
// guards (RFC 9728), and the public keys. All of it is public and the same for everybody.

import HTTPServer
import OAuth

/// The well-known documents.
struct ServerDocuments: Sendable {
  static let resourcePrefix = "/.well-known/oauth-protected-resource"

  /// PUBLIC_URL, the issuer.
  let issuer: String
  let catalogue: CurrentCatalogue

  /// The resource of a service.
  func resource(of service: String) -> String { "\(issuer)/mcp/\(service)" }

  /// The service that a resource is of; nil for one that is not ours. Byte for byte.
  func service(of resource: String) -> String? {
    let prefix = "\(issuer)/mcp/"
    guard resource.utf8.starts(with: prefix.utf8) else { return nil }
    let service = String(Substring(resource.utf8.dropFirst(prefix.utf8.count)))
    return catalogue.value[service] == nil ? nil : service
  }

  /// GET /.well-known/oauth-authorization-server
  var server: Response {
    let methods: JSONText = ["none", "client_secret_basic", "client_secret_post"]
    return document(
      .object([
        ("issuer", .string(issuer)),
        ("authorization_endpoint", .string("\(issuer)/oauth/authorize")),
        ("token_endpoint", .string("\(issuer)/oauth/token")),
        ("registration_endpoint", .string("\(issuer)/oauth/register")),
        ("revocation_endpoint", .string("\(issuer)/oauth/revoke")),
        ("introspection_endpoint", .string("\(issuer)/oauth/introspect")),
        ("jwks_uri", .string("\(issuer)/.well-known/jwks.json")),
        ("response_types_supported", ["code"]),
        ("response_modes_supported", ["query"]),
        ("grant_types_supported", ["authorization_code", "refresh_token"]),
        ("code_challenge_methods_supported", ["S256"]),
        ("scopes_supported", [.string(AuthorizationRequest.scope)]),
        ("token_endpoint_auth_methods_supported", methods),
        ("revocation_endpoint_auth_methods_supported", methods),
        (
          "introspection_endpoint_auth_methods_supported",
          ["client_secret_basic", "client_secret_post"]
        ),
        ("authorization_response_iss_parameter_supported", true),
        ("client_id_metadata_document_supported", true),
      ]))
  }

  /// GET /.well-known/oauth-protected-resource, and of one service; nil when there is no such.
  func resource(at path: String) -> Response? {
    let rest = path.utf8.dropFirst(Self.resourcePrefix.utf8.count)
    let own: String
    var name = "Bindery"
    if rest.isEmpty {
      own = issuer
    } else {
      guard rest.starts(with: "/mcp/".utf8),
        let provider = catalogue.value[String(Substring(rest.dropFirst(5)))]
      else { return nil }
      own = resource(of: provider.id)
      name = provider.name
    }
    return document(
      .object([
        ("resource", .string(own)),
        ("authorization_servers", [.string(issuer)]),
        ("scopes_supported", [.string(AuthorizationRequest.scope)]),
        ("bearer_methods_supported", ["header"]),
        ("resource_name", .string(name)),
      ]))
  }

  private func document(_ json: JSONText) -> Response {
    var response = Response.json(json.bytes)
    response.fields.append(("cache-control", "public, max-age=300"))
    return response
  }
}
