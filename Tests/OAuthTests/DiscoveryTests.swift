// The ladder from an MCP server to its authorization server: which addresses are asked in which order,
// what wins, what ends the search, and that nothing a stranger serves leads us where we must not go.

import Clocks
import HTTPClient
import HTTPCodec
import OAuth
import Providers
import Synchronization
import Testing

@Suite("Discovery") struct DiscoveryTests {
  static let mcp: String = "https://mcp.example/mcp"
  static let pathMetadata: String = "https://mcp.example/.well-known/oauth-protected-resource/mcp"
  static let rootMetadata: String = "https://mcp.example/.well-known/oauth-protected-resource"
  static let serverMetadata: String = "https://as.example/.well-known/oauth-authorization-server"

  static func resource(
    _ name: String = mcp, _ more: String = #""authorization_servers":["https://as.example"]"#
  ) -> String { #"{"resource":"\#(name)",\#(more)}"# }

  static func server(
    _ issuer: String = "https://as.example", base: String = "https://as.example",
    methods: String = #"["S256"]"#, more: String = ""
  ) -> String {
    #"{"issuer":"\#(issuer)","authorization_endpoint":"\#(base)/authorize","#
      + #""token_endpoint":"\#(base)/token","registration_endpoint":"\#(base)/register","#
      + #""code_challenge_methods_supported":\#(methods)\#(more)}"#
  }

  /// A web where all is as it should be.
  private func goodWeb() -> ScriptedWeb {
    ScriptedWeb([
      Self.mcp: .challenge("Bearer resource_metadata=\"\(Self.pathMetadata)\""),
      Self.pathMetadata: .json(Self.resource()), Self.serverMetadata: .json(Self.server()),
    ])
  }

  private func find(
    _ web: ScriptedWeb, _ provider: Provider? = nil
  ) async throws -> Result<DiscoveredService, DiscoveryFailure> {
    let provider = try provider ?? makeProvider()
    return await Discovery(fetch: web).walk(provider).result
  }

  @Test("goes from challenge to resource to server") func wholeLadder() async throws {
    let web = goodWeb()
    let found = try await find(web).get()
    #expect(web.urls == [Self.mcp, Self.pathMetadata, Self.serverMetadata])
    #expect(found.server.issuer == "https://as.example")
    #expect(found.server.authorizationURL.description == "https://as.example/authorize")
    #expect(found.server.tokenURL.description == "https://as.example/token")
    #expect(found.server.registrationURL?.description == "https://as.example/register")
    #expect(found.resource == Self.mcp && found.scopes == [] && found.server.usesPKCE)
    #expect(!found.server.namesItself && !found.server.takesMetadataDocuments)
    // What the operator named may be anywhere, what the documents name may not.
    #expect(
      web.asked.map(\.policy) == [
        .operatorNamed, .operatorNamed, .strangerNamed(allowsLoopback: false),
      ])
    #expect(web.asked[0].request.method == .post && !web.asked[0].request.body.isEmpty)
    #expect(
      !web.asked.contains { asked in asked.request.fields.contains { $0.name == "authorization" } })
  }

  @Test("takes the path's document, then the host's, when no challenge names one")
  func wellKnown() async throws {
    let web = goodWeb()
    web.set(Self.mcp, .success(ClientResponse(status: 401)))
    #expect(try await find(web).get().resource == Self.mcp)
    #expect(web.urls == [Self.mcp, Self.pathMetadata, Self.serverMetadata])
    web.set(Self.pathMetadata, .success(ClientResponse(status: 404)))
    web.set(Self.rootMetadata, json: Self.resource("https://mcp.example"))
    #expect(try await find(web).get().resource == "https://mcp.example")
  }

  @Test("asks an open server's documents, too") func openServer() async throws {
    let web = goodWeb()
    web.set(Self.mcp, .json("{}"))
    #expect(try await find(web).get().server.issuer == "https://as.example")
  }

  @Test("listens to the legacy transport with GET") func legacy() async throws {
    let web = goodWeb()
    _ = try await find(web, makeProvider(transport: "sse")).get()
    #expect(web.asked[0].request.method == .get && web.asked[0].request.body.isEmpty)
  }

  static let resources: [(String, Bool)] = [
    (mcp, true), (mcp + "/", true), ("https://MCP.example:443/mcp", true),
    ("https://mcp.example", false), ("https://mcp.example/mcp/x", false),
    ("https://mcp.example/mc", false), ("https://evil.example/mcp", false),
    ("http://mcp.example/mcp", false), ("https://mcp.example:8443/mcp", false),
    ("https://mcp.example/mcp?a=b", false), ("mcp", false), ("", false),
    ("https://mcp.example/mcp//", false),
  ]

  @Test("believes a document only about the server that was asked", arguments: resources)
  func resourceNames(name: String, isGood: Bool) async throws {
    let web = goodWeb()
    web.set(Self.pathMetadata, json: Self.resource(name))
    switch try await find(web) {
    case .success(let found):
      #expect(isGood)
      #expect(found.resource == name, "what the server calls itself is what it is called")
    case .failure(let failure):
      #expect(!isGood && failure.problem == .resourceDiffers)
      #expect(failure.rung == .resourceMetadata && failure.url.description == Self.pathMetadata)
    }
  }

  static let issuers: [(String, [String])] = [
    (
      "https://as.example",
      [
        "https://as.example/.well-known/oauth-authorization-server",
        "https://as.example/.well-known/openid-configuration",
      ]
    ),
    (
      "https://as.example/t/1",
      [
        "https://as.example/.well-known/oauth-authorization-server/t/1",
        "https://as.example/.well-known/openid-configuration/t/1",
        "https://as.example/t/1/.well-known/openid-configuration",
      ]
    ),
    (
      "https://as.example/t/",
      [
        "https://as.example/.well-known/oauth-authorization-server/t",
        "https://as.example/.well-known/openid-configuration/t",
        "https://as.example/t/.well-known/openid-configuration",
      ]
    ),
  ]

  @Test("tries every form of an issuer's address in order", arguments: issuers)
  func issuerForms(issuer: String, addresses: [String]) async throws {
    for count in 1...addresses.count {
      let web = goodWeb()
      web.set(Self.serverMetadata, .success(ClientResponse(status: 404)))
      web.set(
        Self.pathMetadata, json: Self.resource(Self.mcp, #""authorization_servers":["\#(issuer)"]"#)
      )
      web.set(addresses[count - 1], json: Self.server(issuer))
      #expect(try await find(web).get().server.issuer == issuer)
      #expect(Array(web.urls.dropFirst(2)) == Array(addresses.prefix(count)))
    }
  }

  @Test(
    "takes an issuer's name byte by byte",
    arguments: [
      "https://as.example/", "https://AS.example", "https://as.example:443", "https://evil.example",
      "",
    ])
  func issuerNames(issuer: String) async throws {
    let web = goodWeb()
    web.set(Self.serverMetadata, json: Self.server(issuer))
    // The next form would have the right one: a wrong document ends the search all the same.
    web.set("https://as.example/.well-known/openid-configuration", json: Self.server())
    let failure = try #require(try await find(web).failure)
    #expect(failure.problem == .issuerDiffers && failure.rung == .serverMetadata)
  }

  static let broken: [(String, DiscoveryProblem)] = [
    ("<html></html>", .document(.notJSON)), ("[]", .document(.notJSON)),
    (server() + "x", .document(.notJSON)),
    (#"{"issuer":"https://as.example","issuer":"https://as.example"}"#, .document(.notJSON)),
    (#"{"issuer":"https://as.example"}"#, .document(.missing("authorization_endpoint"))),
    (#"{"issuer":7}"#, .document(.malformed("issuer"))),
    (
      server(base: "javascript:alert(1)//"), .document(.malformed("authorization_endpoint"))
    ),
    (server(base: "https://u@as.example"), .document(.malformed("authorization_endpoint"))),
    (
      server(base: "http://as.example"), .address("authorization_endpoint", .insecure)
    ),
    (server(base: "http://127.0.0.1:9"), .address("authorization_endpoint", .insecure)),
    (server(base: "https://127.0.0.1"), .address("authorization_endpoint", .specialUse)),
    (server(base: "https://10.1.2.3"), .address("authorization_endpoint", .specialUse)),
    (server(base: "https://as.example:22"), .address("authorization_endpoint", .port)),
    (server(methods: "[]"), .noS256), (server(methods: "null"), .noS256),
    (server(methods: #"["plain"]"#), .noS256), (server(methods: #"["s256"]"#), .noS256),
    (
      server(methods: #""S256""#),
      .document(.malformed("code_challenge_methods_supported"))
    ),
    (
      server(more: #","token_endpoint_auth_methods_supported":["private_key_jwt"]"#),
      .noAuthentication
    ),
  ]

  @Test("refuses what cannot be worked with", arguments: broken)
  func brokenServers(json: String, problem: DiscoveryProblem) async throws {
    let web = goodWeb()
    web.set(Self.serverMetadata, json: json)
    #expect(try #require(try await find(web).failure).problem == problem)
  }

  static let answers: [(Result<ClientResponse, ClientError>, DiscoveryProblem, Bool)] = [
    (.success(ClientResponse(status: 302)), .redirected, false),
    (.success(ClientResponse(status: 503)), .busy(status: 503), true),
    (.success(ClientResponse(status: 429)), .busy(status: 429), true),
    (.success(ClientResponse(status: 200, isPartial: true)), .tooLarge, false),
    (.failure(.timeout), .unreachable(.timeout), true),
    (.failure(.connect(.unresolvable)), .unreachable(.connect(.unresolvable)), true),
    (.failure(.brokenAnswer), .unreachable(.brokenAnswer), true),
    (
      .failure(.addressRefused(.specialUse)), .unreachable(.addressRefused(.specialUse)), false
    ),
  ]

  @Test("tells trouble from absence", arguments: answers)
  func trouble(
    answer: Result<ClientResponse, ClientError>, problem: DiscoveryProblem, isTransient: Bool
  ) async throws {
    for (address, rung) in [
      (Self.pathMetadata, DiscoveryRung.resourceMetadata), (Self.serverMetadata, .serverMetadata),
    ] {
      let web = goodWeb()
      web.set(address, answer)
      let failure = try #require(try await find(web).failure)
      #expect(failure.problem == problem && failure.rung == rung)
      #expect(failure.url.description == address && failure.isTransient == isTransient)
      #expect(failure.description.contains(address))
      // Trouble is no reason to look for another server.
      #expect(
        !web.urls.contains("https://mcp.example/.well-known/openid-configuration") || !isTransient)
    }
  }

  @Test("takes the endpoints of 2025-03-26 of a server that wants a token and publishes nothing")
  func convention() async throws {
    let web = ScriptedWeb([Self.mcp: .challenge("Bearer")])
    let found = try await find(web).get()
    #expect(found.server.authorizationURL.description == "https://mcp.example/authorize")
    #expect(found.server.tokenURL.description == "https://mcp.example/token")
    #expect(found.server.registrationURL?.description == "https://mcp.example/register")
    #expect(found.server.issuer == nil && found.resource == Self.mcp)
    #expect(
      web.urls == [
        Self.mcp, Self.pathMetadata, Self.rootMetadata,
        "https://mcp.example/.well-known/oauth-authorization-server",
        "https://mcp.example/.well-known/openid-configuration",
      ])
    web.set(
      "https://mcp.example/.well-known/oauth-authorization-server",
      json: Self.server("https://mcp.example", base: "https://mcp.example"))
    #expect(try await find(web).get().server.issuer == "https://mcp.example")
    // A server that answers without a token is no sign of OAuth.
    let open = ScriptedWeb([Self.mcp: .json("{}")])
    #expect(try #require(try await find(open).failure).problem == .nothingFound)
  }

  @Test("needs no network where the catalogue says all") func catalogue() async throws {
    let web = ScriptedWeb()
    let provider = try makeProvider(
      #""registration":"static","authorization_url":"https://a.example/a","#
        + #""token_url":"https://a.example/t","client_authentication":"post","resource":false,"#
        + #""scopes":["r"],"issuer":"https://a.example""#)
    let found = try await find(web, provider).get()
    #expect(web.urls.isEmpty && found.resource == nil && found.scopes == ["r"])
    #expect(found.server.clientAuthentication == [.post])
    let issuer = try makeProvider(#""registration":"dynamic","issuer":"https://as.example""#)
    let second = goodWeb()
    #expect(try await find(second, issuer).get().resource == Self.mcp)
    #expect(second.urls == [Self.serverMetadata])
    // The operator's own issuer may be inside.
    #expect(second.asked[0].policy == .operatorNamed)
  }

  static let scopeRows: [(String, String, String, [String])] = [
    ("", "", "", []), ("", "", #""a","b""#, ["a", "b"]), ("", "c", #""a","b""#, ["c"]),
    (#""k""#, "c", #""a""#, ["k"]), ("", "c offline_access", "", ["c"]),
    ("", "", #""a","offline_access","a","b c","""#, ["a"]),
    (#""offline_access""#, "c", "", ["offline_access"]),
  ]

  @Test("asks for the catalogue's scopes, else the challenge's, else all", arguments: scopeRows)
  func scopes(own: String, challenged: String, listed: String, expected: [String]) async throws {
    let web = goodWeb()
    web.set(
      Self.mcp,
      .challenge("Bearer scope=\"\(challenged)\", resource_metadata=\"\(Self.pathMetadata)\""))
    web.set(
      Self.pathMetadata,
      json: Self.resource(
        Self.mcp,
        #""authorization_servers":["https://as.example"],"scopes_supported":[\#(listed)]"#))
    let provider = try makeProvider(#""registration":"dynamic","scopes":[\#(own)]"#)
    #expect(try await find(web, provider).get().scopes == expected)
  }

  @Test("lets a service on loopback name its neighbours, and no other") func loopback() async throws
  {
    let provider = try makeProvider(mcpURL: "http://127.0.0.1:9000/mcp")
    let neighbour = "http://127.0.0.1:9001"
    let web = ScriptedWeb([
      "http://127.0.0.1:9000/.well-known/oauth-protected-resource/mcp": .json(
        Self.resource(
          "http://127.0.0.1:9000/mcp", #""authorization_servers":["\#(neighbour)"]"#)),
      "\(neighbour)/.well-known/oauth-authorization-server": .json(
        Self.server(neighbour, base: neighbour)),
    ])
    #expect(try await find(web, provider).get().server.tokenURL.description == "\(neighbour)/token")
    web.set(
      "\(neighbour)/.well-known/oauth-authorization-server",
      json: Self.server(neighbour, base: "http://10.0.0.1"))
    #expect(
      try #require(try await find(web, provider).failure).problem
        == .address("authorization_endpoint", .insecure))
  }

  @Test("does not follow a challenge to a private address") func hostileChallenge() async throws {
    let web = goodWeb()
    web.set(Self.mcp, .challenge("Bearer resource_metadata=\"https://169.254.169.254/latest\""))
    let failure = try #require(try await find(web).failure)
    #expect(failure.problem == .unreachable(.addressRefused(.specialUse)))
  }

  @Test("reads what the server can do") func abilities() async throws {
    let web = goodWeb()
    web.set(
      Self.serverMetadata,
      json: Self.server(
        more: #","authorization_response_iss_parameter_supported":true,"#
          + #""client_id_metadata_document_supported":true,"#
          + #""revocation_endpoint":"https://as.example/revoke","#
          + #""token_endpoint_auth_methods_supported":["client_secret_post","none","x"]"#))
    let server = try await find(web).get().server
    #expect(server.namesItself && server.takesMetadataDocuments)
    #expect(server.revocationURL?.description == "https://as.example/revoke")
    #expect(server.clientAuthentication == [.none, .post])
  }

  @Test("is asked once by many, and again after a while") func cache() async throws {
    let web = goodWeb()
    let clock = Mutex(Instant(nanoseconds: 0))
    let cache = DiscoveryCache(Discovery(fetch: web)) { clock.withLock { $0 } }
    let provider = try makeProvider()
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<20 { group.addTask { _ = try? await cache.find(provider) } }
    }
    #expect(web.urls.count == 3)
    clock.withLock { $0 = Instant(nanoseconds: 599_000_000_000) }
    _ = try await cache.find(provider)
    #expect(web.urls.count == 3)
    clock.withLock { $0 = Instant(nanoseconds: 601_000_000_000) }
    web.set(Self.mcp, .failure(.timeout))
    await #expect(throws: DiscoveryFailure.self) { try await cache.find(provider) }
    #expect(web.urls.count == 4)
    web.set(Self.mcp, .challenge("Bearer"))
    await #expect(throws: DiscoveryFailure.self) { try await cache.find(provider) }
    #expect(web.urls.count == 4)
    clock.withLock { $0 = Instant(nanoseconds: 632_000_000_000) }
    _ = try await cache.find(provider)
    #expect(web.urls.count == 7)
    // Another word in the catalogue is another question.
    _ = try await cache.find(makeProvider(#""registration":"dynamic","scopes":["a"]"#))
    #expect(web.urls.count == 10)
    cache.forget("x")
    _ = try await cache.find(provider)
    #expect(web.urls.count == 13)
  }
}

extension Result {
  /// The error of a failure.
  var failure: Failure? {
    if case .failure(let error) = self { error } else { nil }
  }
}
