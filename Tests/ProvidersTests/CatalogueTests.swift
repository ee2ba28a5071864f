// Whether the catalogue is read strictly and merged as promised: a bad file is refused with the
// service and the field named, and a value never appears in the error.

import HTTPCodec
import Testing

@testable import Providers

@Suite("Catalogue") struct CatalogueTests {
  private func merge(_ json: String) -> Result<Catalogue, CatalogueError> {
    Result { () throws(CatalogueError) in try Catalogue.builtIn.merging(json: Array(json.utf8)) }
  }

  /// A file with one service of the given members beside id, name and address.
  private static func file(_ members: String) -> String {
    #"{"services":[{"id":"x","name":"X","mcp_url":"https://x.example/mcp",\#(members)}]}"#
  }

  private static let key = #""api_key":{"header":"X-Key","format":"{key}","instructions":"i"}"#

  @Test("has the promised services, each usable")
  func builtIn() {
    let ids = Catalogue.builtIn.providers.map(\.id)
    #expect(
      ids == [
        "linear", "todoist", "github", "atlassian", "notion", "figma", "sentry", "asana", "slack",
        "stripe", "hubspot",
      ])
    for provider in Catalogue.builtIn.providers {
      #expect(provider.mcpURL.scheme == .https)
      // Without registration there must be fixed endpoints: nothing else would be discovered.
      if provider.oauth?.registration == .static {
        #expect(provider.oauth?.tokenURL != nil, "\(provider.id)")
      }
    }
    #expect(Catalogue.builtIn["github"]?.clientSecretSetting == "GITHUB_CLIENT_SECRET")
    #expect(Catalogue.builtIn["todoist"]?.oauth?.scopeSeparator == ",")
    #expect(Catalogue.builtIn["figma"]?.apiKey?.header == "x-figma-token")
    #expect(Catalogue.builtIn["github"]?.refresh.deadErrors == ["bad_refresh_token"])
    #expect(Catalogue.builtIn["github"]?.oauth?.revocation == .github)
    #expect(Catalogue.builtIn["linear"]?.oauth?.revocation == .rfc7009)
    #expect(Catalogue.builtIn["nosuch"] == nil)
  }

  /// What a provider does in its own way, and what would go wrong without it.
  static let quirks: [(String, @Sendable (Provider) -> Bool)] = [
    // Scopes apart by blanks would be one unknown scope.
    ("todoist", { $0.oauth?.scopeSeparator == "," && $0.refresh.graceSeconds == 60 }),
    ("todoist", { $0.oauth?.revocationURL?.path == "/api/v1/revoke" }),
    ("slack", { $0.oauth?.scopeSeparator == "," && $0.oauth?.revocation == .slack }),
    ("slack", { $0.refresh.deadErrors == ["invalid_refresh_token", "token_revoked"] }),
    // Tokens of OAuth Apps do not end and have nothing to refresh; `resource` is unknown there.
    ("github", { $0.refresh.backgroundIntervalSeconds == nil && $0.oauth?.resource == false }),
    ("github", { $0.oauth?.clientAuthentication == .post && $0.oauth?.registration == .static }),
    ("github", { $0.oauth?.revocationURL?.path == "/applications" }),
    // Its document has another issuer than its MCP server's host: not to be discovered.
    ("atlassian", { $0.oauth?.registrationURL != nil && $0.refresh.graceSeconds == 600 }),
    // An answer without a refresh token is the rule there.
    ("figma", { !$0.refresh.rotates && $0.refresh.defaultLifetimeSeconds == 7_776_000 }),
    ("asana", { !$0.refresh.rotates && $0.oauth?.revocationURL != nil }),
    ("notion", { $0.refresh.defaultLifetimeSeconds == 3600 && $0.oauth?.tokenURL == nil }),
    ("hubspot", { $0.refresh.defaultLifetimeSeconds == 1800 }),
    ("stripe", { $0.oauth?.scopes == ["mcp"] && $0.oauth?.issuer == nil }),
    ("sentry", { $0.oauth?.resource == true }),
  ]

  @Test("knows what providers do in their own ways", arguments: quirks.indices)
  func quirk(index: Int) throws {
    let (service, holds) = Self.quirks[index]
    #expect(holds(try #require(Catalogue.builtIn[service])), "\(service)")
  }

  @Test("a file's service replaces the built-in one whole, or is added behind")
  func merging() throws {
    let file = #"""
      {"services":[
        {"id":"linear","name":"Ours","mcp_url":"http://127.0.0.1:1/mcp",
         "api_key":{"header":"X-Key","format":"k={key};","instructions":"i",
           "validate":{"method":"http","url":"http://localhost:2/me"}}},
        {"id":"own-one","name":"Own","mcp_url":"https://own.example/mcp","transport":"sse",
         "oauth":{"registration":"metadata_document","issuer":"https://own.example/as/",
           "authorize_parameters":{"prompt":"consent"}}}
      ]}
      """#
    let catalogue = try merge(file).get()
    #expect(catalogue.providers.count == Catalogue.builtIn.providers.count + 1)
    let linear = try #require(catalogue["linear"])
    #expect(linear.name == "Ours" && linear.oauth == nil && linear.refresh == .standard)
    #expect(linear.apiKey?.validation == WebURL("http://localhost:2/me").map { .http($0) })
    let own = try #require(catalogue["own-one"])
    #expect(own.transport == .legacySSE && own.oauth?.issuer == "https://own.example/as/")
    #expect(own.clientIDSetting == "OWN_ONE_CLIENT_ID")
    #expect(catalogue.position(of: "own-one") == catalogue.providers.count - 1)
  }

  static let refused: [(String, String)] = [
    (#"{"services":[{"name":"X"}]}"#, "service #1: id is missing"),
    (#"{"services":[{"id":"A b"}]}"#, "service #1: id has a value that is not allowed"),
    (#"{"services":[7]}"#, "service #1: (all of it) has the wrong type"),
    (
      #"{"services":[{"id":"x","name":"X","mcp_url":"https://x.example/"}]}"#,
      "service x: oauth is missing"
    ),
    (
      #"{"services":[{"id":"x","name":"X","mcp_url":"http://x.example/"}]}"#,
      "service x: mcp_url must be https, or http to a loopback host"
    ),
    (
      #"{"services":[{"id":"x","name":"X","mcp_url":"https://u@x.example/"}]}"#,
      "service x: mcp_url has a value that is not allowed"
    ),
    (file(key + #","transport":"stdio""#), "service x: transport has a value that is not allowed"),
    (file(key + #","colour":1"#), "service x: colour is not known"),
    (file(#""oauth":{"registration":"wild"}"#), "x: oauth.registration has a value"),
    (file(#""oauth":{"registration":"static","pkce":1}"#), "x: oauth.pkce has the wrong type"),
    (file(#""oauth":{"registration":"static","tokenurl":"x"}"#), "x: oauth.tokenurl is not known"),
    (
      file(#""oauth":{"registration":"static","token_url":"https://t.example/"}"#),
      "x: oauth.authorization_url is missing"
    ),
    (
      file(#""oauth":{"registration":"static","authorize_parameters":{"state":"1"}}"#),
      "x: oauth.authorize_parameters.state has a value"
    ),
    (file(#""oauth":{"registration":"static","scopes":["a b"]}"#), "x: oauth.scopes has a value"),
    (
      file(
        #""oauth":{"registration":"dynamic","authorization_url":"https://a.example/","#
          + #""token_url":"https://t.example/"}"#),
      "x: oauth.registration_url is missing"
    ),
    (
      file(#""oauth":{"registration":"static","revocation":"github"}"#),
      "x: oauth.revocation_url is missing"
    ),
    (
      file(#""oauth":{"registration":"static","revocation":"slack"}"#),
      "x: oauth.revocation_url is missing"
    ),
    (
      file(
        #""oauth":{"registration":"static","revocation":"none","#
          + #""revocation_url":"https://r.example/"}"#),
      "x: oauth.revocation_url contradicts"
    ),
    (
      file(#""oauth":{"registration":"static","revocation":"delete"}"#),
      "x: oauth.revocation has a value"
    ),
    (file(key + #","refresh":{"dead_errors":"gone"}"#), "x: refresh.dead_errors has the wrong"),
    (file(key + #","refresh":{"dead_errors":["a b"]}"#), "x: refresh.dead_errors has a value"),
    (file(key + #","refresh":{"max_per_second":0}"#), "x: refresh.max_per_second has a value"),
    (file(key + #","refresh":{"grace_seconds":1.5}"#), "x: refresh.grace_seconds has the wrong"),
    (
      file(#""api_key":{"header":"Host","format":"{key}","instructions":"i"}"#),
      "x: api_key.header has a value"
    ),
    (
      file(#""api_key":{"header":"X","format":"key","instructions":"i"}"#),
      "x: api_key.format has a value"
    ),
    (
      file(#""api_key":{"header":"X","format":"{key}{key}","instructions":"i"}"#),
      "x: api_key.format has a value"
    ),
    (
      file(
        #""api_key":{"header":"X","format":"{key}","instructions":"i","validate":{"method":"http"}}"#
      ), "x: api_key.validate.url is missing"
    ),
    ("[]", "not a JSON object"), ("", "not a JSON object"), (#"{"services":{}}"#, "not a JSON"),
    (#"{"services":[],"more":1}"#, "not a JSON object"),
  ]

  @Test("a bad file is refused naming service and field", arguments: refused)
  func strict(json: String, message: String) {
    guard case .failure(let error) = merge(json) else {
      Issue.record("accepted \(json)")
      return
    }
    #expect("\(error)".contains(message), "\(error)")
  }

  @Test("a service may be in a file once")
  func duplicate() {
    let one = #"{"id":"x","name":"X","mcp_url":"https://x.example/",\#(Self.key)}"#
    #expect(
      merge(#"{"services":[\#(one),\#(one)]}"#)
        == .failure(.field(service: "x", field: "id", problem: .duplicate)))
  }

  static let keys: [(String, String, String?)] = [
    ("linear", "lin_api_1", "Bearer lin_api_1"), ("figma", "f", "f"),
    ("atlassian", "a@b.c:tok", "Basic YUBiLmM6dG9r"), ("atlassian", "ab", "Basic YWI="),
    ("atlassian", "a", "Basic YQ=="), ("linear", "", nil), ("linear", "a\r\nX: y", nil),
    ("linear", "a b", nil), ("linear", "\u{e9}", nil),
    ("linear", String(repeating: "a", count: 4097), nil),
  ]

  @Test("a key becomes a header's value, or is refused when it could become more", arguments: keys)
  func headerValue(service: String, key: String, expected: String?) {
    let rules = Catalogue.builtIn[service]?.apiKey
    let value = Array(key.utf8).withUnsafeBytes { rules?.headerValue(key: $0) }
    #expect(value.map { String(decoding: $0, as: UTF8.self) } == expected)
  }
}
