// Writes the address that a person is sent to (RFC 6749 section 4.1.1, RFC 7636, RFC 8707). Pure.
// Our parameters win over equal ones in what the server or the catalogue wrote: nobody reads two.

import Bytes
import HTTPCodec
import JOSE
import OAuth
import Providers

/// The authorization request.
struct AuthorizationURL {
  let service: DiscoveredService
  let rules: OAuthRules
  let clientID: String
  let redirectURI: String
  let state: String
  let verifier: String?

  /// The address with all parameters.
  var text: String {
    let endpoint = service.server.authorizationURL
    var ours: [Form.Pair] = [
      .init(name: "response_type", value: "code"), .init(name: "client_id", value: clientID),
      .init(name: "redirect_uri", value: redirectURI), .init(name: "state", value: state),
    ]
    if let verifier {
      let challenge = Base64URL.encode(SHA256Digest.of(verifier))
      ours.append(.init(name: "code_challenge", value: challenge))
      ours.append(.init(name: "code_challenge_method", value: "S256"))
    }
    if !service.scopes.isEmpty {
      let scopes = service.scopes.joined(separator: rules.scopeSeparator)
      ours.append(.init(name: "scope", value: scopes))
    }
    if let resource = service.resource {
      ours.append(.init(name: "resource", value: resource))
    }
    let extra = rules.authorizeParameters.sorted { $0.key < $1.key }
      .map { Form.Pair(name: $0.key, value: $0.value) }
    let given = (endpoint.query.flatMap { try? Form(parsing: $0) })?.pairs ?? []
    let all = Self.adding(Self.adding(given, under: extra), under: ours)
    return "\(endpoint.origin)\(endpoint.path)?\(Form(all).encoded)"
  }

  /// Those of `pairs` whose names `winners` do not have, then the winners.
  private static func adding(_ pairs: [Form.Pair], under winners: [Form.Pair]) -> [Form.Pair] {
    pairs.filter { pair in
      !winners.contains { $0.name.utf8.elementsEqual(pair.name.utf8) }
    } + winners
  }
}
