// How we become a client: which way is taken, what is sent, and what of an answer is believed. And how
// grants are ended: what is sent in which order, and which answers end the matter.

import FoundationEssentials
import HTTPClient
import HTTPCodec
import OAuth
import Providers
import Testing

@Suite("Registration") struct RegistrationTests {
  private func url(_ text: String) throws -> WebURL { try #require(WebURL(text)) }

  private func server(
    _ ways: [OAuthRules.ClientAuthentication] = [.none, .basic], registers: Bool = true,
    takesDocuments: Bool = false, base: String = "https://as.example"
  ) throws -> AuthorizationServer {
    AuthorizationServer(
      issuer: base, authorizationURL: try url("\(base)/authorize"),
      tokenURL: try url("\(base)/token"),
      registrationURL: registers ? try url("\(base)/register") : nil, clientAuthentication: ways,
      takesMetadataDocuments: takesDocuments)
  }

  @Test("takes the operator's client, else the document, else registers") func order() throws {
    let dynamic = try makeProvider()
    let document = try url("https://bindery.example/oauth/client.json")
    let all = try server(takesDocuments: true)
    #expect(
      Registration.way(
        for: dynamic, at: all, operatorClient: ("id", "secret"), documentURL: document)
        == .known(ClientIdentity(id: "id", secret: "secret", authentication: .basic)))
    #expect(
      Registration.way(for: dynamic, at: all, operatorClient: ("id", nil), documentURL: document)
        == .known(ClientIdentity(id: "id", secret: nil, authentication: .none)))
    #expect(
      Registration.way(for: dynamic, at: all, operatorClient: nil, documentURL: document)
        == .known(
          ClientIdentity(
            id: "https://bindery.example/oauth/client.json", secret: nil, authentication: .none)))
    let register = RegistrationWay.dynamic(try url("https://as.example/register"))
    for (server, document) in [
      (try server(), document), (all, nil), (all, try url("http://127.0.0.1:8080/client.json")),
      (all, try url("https://localhost/client.json")),
      (try self.server([.basic], takesDocuments: true), document),
    ] {
      #expect(
        Registration.way(for: dynamic, at: server, operatorClient: nil, documentURL: document)
          == register)
    }
    let neighbour = try server(takesDocuments: true, base: "http://127.0.0.1:9")
    #expect(
      Registration.way(
        for: dynamic, at: neighbour, operatorClient: nil,
        documentURL: try url("http://127.0.0.1:8080/client.json"))
        == .known(
          ClientIdentity(
            id: "http://127.0.0.1:8080/client.json", secret: nil, authentication: .none)))
    #expect(
      Registration.way(
        for: dynamic, at: try server(registers: false), operatorClient: nil, documentURL: document)
        == .impossible(.notOffered))
    #expect(
      Registration.way(
        for: try makeProvider(#""registration":"static""#), at: all, operatorClient: nil,
        documentURL: document) == .impossible(.staticClientMissing))
  }

  static let redirects = [
    ("https://bindery.example/api/connections/callback", "web"),
    ("http://127.0.0.1:8080/api/connections/callback", "native"),
  ]

  @Test("says what we are", arguments: redirects)
  func request(redirect: String, type: String) async throws {
    let web = ScriptedWeb([
      "https://as.example/register": .json(#"{"client_id":"c"}"#, status: 201)
    ])
    let client = try await Registration.register(
      at: try url("https://as.example/register"), policy: .strangerNamed(allowsLoopback: false),
      redirectURI: try url(redirect), scopes: ["a", "b"], authentication: [.none, .basic],
      fetch: web)
    #expect(client.identity == ClientIdentity(id: "c", secret: nil, authentication: .none))
    let asked = try #require(web.asked.first)
    #expect(asked.policy == .strangerNamed(allowsLoopback: false) && asked.request.method == .post)
    #expect(
      String(decoding: asked.request.body, as: UTF8.self)
        == #"{"application_type":"\#(type)","client_name":"Bindery","#
        + #""grant_types":["authorization_code","refresh_token"],"redirect_uris":["\#(redirect)"],"#
        + #""response_types":["code"],"scope":"a b","token_endpoint_auth_method":"none"}"#)
  }

  private func read(
    _ body: String, status: Int = 201, asked: OAuthRules.ClientAuthentication = .basic
  ) -> Result<RegisteredClient, RegistrationFailure> {
    Result { () throws(RegistrationFailure) in
      try RegisteredClient(
        status: status, body: Array(body.utf8), retryAfterSeconds: 7, asked: asked)
    }
  }

  @Test("keeps all that a server gives") func whole() throws {
    let client = try read(
      #"""
      {"client_id":"c 1","client_secret":"s","client_secret_expires_at":1800000000,
       "token_endpoint_auth_method":"client_secret_post","registration_access_token":"t",
       "registration_client_uri":"https://as.example/register/1","unknown":{"a":[1]}}
      """#
    ).get()
    #expect(
      client.clientID == "c 1" && client.clientSecret == "s" && client.authentication == .post)
    #expect(client.expiresAt == 1_800_000_000 && client.registrationAccessToken == "t")
    #expect(client.registrationClientURI?.description == "https://as.example/register/1")
  }

  static let ways: [(String, OAuthRules.ClientAuthentication, OAuthRules.ClientAuthentication?)] = [
    (#""client_secret":"s","client_secret_expires_at":0"#, .basic, .basic),
    (#""client_secret":"s""#, .post, .post), (#""client_secret":"s""#, .none, .basic),
    (
      #""client_secret":"s","token_endpoint_auth_method":"none""#, .basic,
      OAuthRules.ClientAuthentication.none
    ),
    (#""token_endpoint_auth_method":"none""#, .basic, OAuthRules.ClientAuthentication.none),
    (#""a":1"#, .basic, nil), (#""client_secret":"""#, .basic, nil),
    (#""token_endpoint_auth_method":"client_secret_basic""#, .none, nil),
    (#""client_secret":"s","token_endpoint_auth_method":"private_key_jwt""#, .basic, nil),
  ]

  @Test("proves itself as the server says", arguments: ways)
  func authentication(
    members: String, asked: OAuthRules.ClientAuthentication,
    expected: OAuthRules.ClientAuthentication?
  ) throws {
    let client = try? read("{\"client_id\":\"c\",\(members)}", asked: asked).get()
    #expect(client?.authentication == expected)
    #expect(
      client.map { ($0.clientSecret == nil) == (expected == OAuthRules.ClientAuthentication.none) }
        ?? true)
    #expect(client?.expiresAt == nil)
  }

  static let refused: [(String, Int, RegistrationFailure)] = [
    (
      #"{"error":"invalid_redirect_uri"}"#, 400, .refused(status: 400, code: "invalid_redirect_uri")
    ),
    ("Forbidden", 403, .refused(status: 403, code: nil)),
    (#"{"error":"Secret text"}"#, 400, .refused(status: 400, code: nil)),
    ("", 404, .refused(status: 404, code: nil)), ("", 302, .refused(status: 302, code: nil)),
    ("", 429, .throttled(retryAfterSeconds: 7)), ("", 500, .refused(status: 500, code: nil)),
    ("", 201, .broken(.notJSON)), ("<html>", 200, .broken(.notJSON)),
    ("{}", 201, .broken(.missing("client_id"))),
    (#"{"client_id":7}"#, 201, .broken(.malformed("client_id"))),
    (#"{"client_id":""}"#, 201, .broken(.malformed("client_id"))),
    (#"{"client_id":"a\r\nb"}"#, 201, .broken(.malformed("client_id"))),
    (#"{"client_id":"é"}"#, 201, .broken(.malformed("client_id"))),
    (#"{"client_id":"c","client_id":"d"}"#, 201, .broken(.notJSON)),
    (
      #"{"client_id":"c","client_secret":"a\nb"}"#, 201, .broken(.malformed("client_secret"))
    ),
    (
      #"{"client_id":"c","client_secret":"s","client_secret_expires_at":"soon"}"#, 201,
      .broken(.malformed("client_secret_expires_at"))
    ),
  ]

  @Test("refuses what it cannot use", arguments: refused)
  func failures(body: String, status: Int, failure: RegistrationFailure) {
    #expect(read(body, status: status).failure == failure)
  }

  @Test("publishes a document under its own address") func document() throws {
    let document = try #require(
      ClientMetadataDocument(
        url: try url("https://bindery.example/oauth/client.json"),
        redirectURIs: [try url("https://bindery.example/api/connections/callback")]))
    #expect(
      String(decoding: document.json, as: UTF8.self)
        == #"{"application_type":"web","client_id":"https://bindery.example/oauth/client.json","#
        + #""client_name":"Bindery","grant_types":["authorization_code","refresh_token"],"#
        + #""redirect_uris":["https://bindery.example/api/connections/callback"],"#
        + #""response_types":["code"],"token_endpoint_auth_method":"none"}"#)
    let many = try (0..<200).map { try url("https://bindery.example/callback/number/\($0)") }
    #expect(
      ClientMetadataDocument(url: try url("https://bindery.example/c"), redirectURIs: many) == nil)
  }
}

@Suite("Revocation") struct RevocationTests {
  private func requests(
    _ form: OAuthRules.Revocation, url: String? = "https://r.example/x", refresh: String? = "r+1",
    secret: String? = "s:1"
  ) -> [ClientRequest] {
    Revocation.requests(
      accessToken: "a", refreshToken: refresh,
      client: ClientIdentity(id: "c/1", secret: secret, authentication: .basic),
      url: url.flatMap { WebURL($0) }, form: form)
  }

  private func text(_ request: ClientRequest) -> String {
    let fields = request.fields.filter { $0.name == "authorization" }
      .map { String(decoding: $0.value, as: UTF8.self) }
    return "\(request.method.text) \(request.origin.authority)\(request.target) "
      + "\(fields.joined()) \(String(decoding: request.body, as: UTF8.self))"
  }

  private static func basic(_ pair: String) -> String {
    "Basic " + Data(pair.utf8).base64EncodedString()
  }

  @Test("ends the refresh token first") func standard() {
    #expect(
      requests(.rfc7009).map(text) == [
        "POST r.example/x \(Self.basic("c%2F1:s%3A1")) "
          + "token=r%2B1&token_type_hint=refresh_token&client_id=c%2F1",
        "POST r.example/x \(Self.basic("c%2F1:s%3A1")) "
          + "token=a&token_type_hint=access_token&client_id=c%2F1",
      ])
    #expect(
      requests(.rfc7009, refresh: nil, secret: nil).map(text) == [
        "POST r.example/x  token=a&token_type_hint=access_token&client_id=c%2F1"
      ])
  }

  @Test("speaks the providers' own ways") func own() {
    #expect(
      requests(.github, url: "https://api.example/applications").map(text) == [
        "DELETE api.example/applications/c%2F1/token \(Self.basic("c/1:s:1")) "
          + #"{"access_token":"a"}"#
      ])
    #expect(requests(.github, secret: nil).isEmpty)
    #expect(requests(.slack).map(text) == ["POST r.example/x Bearer a "])
    #expect(requests(.none).isEmpty && requests(.rfc7009, url: nil).isEmpty)
  }

  static let answers: [(OAuthRules.Revocation, Int, String, Revocation.Outcome)] = [
    (.rfc7009, 200, "", .done), (.rfc7009, 204, "", .done),
    (.rfc7009, 400, #"{"error":"invalid_token"}"#, .done),
    (.rfc7009, 400, #"{"error":"unsupported_token_type"}"#, .impossible),
    (.rfc7009, 400, "", .impossible), (.rfc7009, 401, "", .impossible),
    (.rfc7009, 404, "", .impossible), (.rfc7009, 302, "", .impossible),
    (.rfc7009, 503, "", .retry(afterSeconds: 9)), (.rfc7009, 429, "", .retry(afterSeconds: 9)),
    (.github, 204, "", .done), (.github, 404, "", .done), (.github, 422, "", .done),
    (.github, 401, "", .impossible), (.github, 500, "", .retry(afterSeconds: 9)),
    (.slack, 200, #"{"ok":true,"revoked":true}"#, .done),
    (.slack, 200, #"{"ok":false,"error":"token_revoked"}"#, .done),
    (.slack, 200, #"{"ok":false,"error":"ratelimited"}"#, .retry(afterSeconds: 9)),
    (.slack, 200, #"{"ok":false,"error":"no_permission"}"#, .impossible),
    (.slack, 200, "<html>", .retry(afterSeconds: nil)),
  ]

  @Test("knows whether it worked", arguments: answers)
  func outcomes(
    form: OAuthRules.Revocation, status: Int, body: String, expected: Revocation.Outcome
  ) {
    let answer = ClientResponse(
      status: status, fields: [("retry-after", Array("9".utf8))], body: Array(body.utf8))
    #expect(Revocation.outcome(of: answer, form: form) == expected)
  }
}
