// What goes wrong between the button and the secret URL, by accident or on purpose: refused, with a
// word that the dashboard knows, and nothing stored.

import Accounts
import Bytes
import Clocks
import Database
import HTTPClient
import HTTPCodec
import Testing
import Vault

@testable import bindery_auth

@Suite("Refused connections") struct ConnectRefusalTests {
  static let start = "\(APIFixture.origin)/dashboard?error="

  @Test("a state that is unknown, spent, another browser's or not alone is 400 and no more")
  func states() async throws {
    let fixture = try APIFixture()
    let (_, person) = try await fixture.person("a@example.org")
    let journey = try await ConnectJourney(fixture, person)
    let other = try await ConnectJourney(fixture, person)
    let path = "/api/connections/callback"
    let none: [(name: String, value: String)] = []
    let good = "code=c1&state=\(journey.state)"
    let answers = [
      await fixture.call(.get, path, nil, [journey.cookie]),
      await fixture.call(.get, path, nil, [journey.cookie], query: "code=c1"),
      await fixture.call(.get, path, nil, [journey.cookie], query: "\(good)&state=x"),
      await fixture.call(.get, path, nil, [journey.cookie], query: "\(good)&code=c2"),
      await fixture.call(.get, path, nil, [journey.cookie], query: "\(good)&x=%zz"),
      await fixture.call(.get, path, nil, none, query: good),
      await fixture.call(.get, path, nil, person, query: good),
      await fixture.call(.get, path, nil, [journey.cookie, journey.cookie], query: good),
      await journey.back(cookie: other.cookie),
      await journey.back(state: Ticket().makeText()),
      await journey.back(state: other.state),
      await journey.back("error=access_denied", cookie: other.cookie),
      await journey.back(cookie: ("cookie", "bindery_connect=\(journey.state)")),
    ]
    for (index, answer) in answers.enumerated() {
      #expect(answer.status == 400, "\(index)")
      #expect(answer.field("content-type") == "text/plain; charset=utf-8", "\(index)")
      #expect(answer.field("location") == nil, "\(index)")
    }
    #expect(Set(answers.map(\.response.body)).count == 1)
    #expect(await journey.back(method: .head).status == 405)
    #expect(await journey.back(method: .post).status == 405)
    #expect(fixture.web.asked(ScriptedProvider.token).isEmpty)
    #expect(try await fixture.remains() == [0, 2, 0, 0])
    _ = try await journey.claim()
    #expect(await journey.back().status == 400)
    #expect(fixture.web.asked(ScriptedProvider.token).count == 1)
    #expect(try await fixture.remains() == [1, 1, 1, 1])
  }

  @Test("one state, presented a hundred times at once, is one exchange") func replay()
    async throws
  {
    let fixture = try APIFixture()
    let (_, person) = try await fixture.person("a@example.org")
    let journey = try await ConnectJourney(fixture, person)
    let statuses = await withTaskGroup(of: Int.self) { group in
      for _ in 0..<100 { group.addTask { await journey.back().status } }
      var statuses: [Int: Int] = [:]
      for await status in group { statuses[status, default: 0] += 1 }
      return statuses
    }
    #expect(statuses == [302: 1, 400: 99])
    #expect(fixture.web.asked(ScriptedProvider.token).count == 1)
    #expect(try await fixture.remains() == [1, 0, 1, 1])
  }

  static let answers: [(String, String)] = [
    ("error=access_denied&error_description=canary", "access_denied"),
    ("error=server_error&error_uri=javascript:alert(1)", "provider_error"),
    ("error=%3Cscript%3E", "provider_error"),
    ("error=access_denied&code=c1", "access_denied"),
    ("x=1", "provider_error"), ("code=", "provider_error"),
    ("code=c1&iss=https://evil.example", "issuer_mismatch"),
    ("code=c1&iss=https://as.example/", "issuer_mismatch"),
    ("error=access_denied&iss=https://evil.example", "issuer_mismatch"),
    ("code=c1&iss=", "issuer_mismatch"),
  ]

  @Test("a provider's no ends the attempt, in our words", arguments: answers)
  func providerSaysNo(query: String, code: String) async throws {
    let fixture = try APIFixture()
    let (_, person) = try await fixture.person("a@example.org")
    let journey = try await ConnectJourney(fixture, person)
    let answer = await journey.back(query)
    #expect(answer.status == 302)
    #expect(answer.field("location") == Self.start + code)
    #expect(fixture.web.asked(ScriptedProvider.token).isEmpty)
    #expect(try await fixture.remains() == [0, 0, 0, 0])
    #expect(await journey.back().status == 400)
  }

  @Test("a server that names itself has to, in each answer") func issuer() async throws {
    let fixture = try APIFixture()
    let (_, person) = try await fixture.person("a@example.org")
    fixture.web.setMetadata(#""authorization_response_iss_parameter_supported":true,"#)
    for query in ["code=c1", "error=access_denied"] {
      let journey = try await ConnectJourney(fixture, person)
      #expect(await journey.back(query).field("location") == Self.start + "issuer_mismatch")
    }
    let journey = try await ConnectJourney(fixture, person)
    let answer = await journey.back("code=c1&iss=https%3A%2F%2Fas.example")
    #expect(answer.field("location")?.contains("?claim=") == true)
  }

  static let exchanges: [(Result<ClientResponse, ClientError>, String)] = [
    (json(#"{"error":"invalid_grant"}"#, 400), "code_refused"),
    (json(#"{"error":"invalid_request","error_description":"canary"}"#, 400), "code_refused"),
    (json(#"{"error":"bad_verification_code"}"#, 200), "code_refused"),
    (json(#"{"error":"invalid_client"}"#, 401), "client_refused"),
    (json(#"{"token_type":"Bearer"}"#, 200), "provider_error"),
    (json(#"{"access_token":"a","token_type":"mac"}"#, 200), "provider_error"),
    (json("<html>", 200), "provider_unavailable"), (json("{}", 503), "provider_unavailable"),
    (json("{}", 429), "provider_unavailable"), (.failure(.timeout), "provider_unavailable"),
    (.failure(.addressRefused(.specialUse)), "provider_unavailable"),
    (
      .success(ClientResponse(status: 302, fields: [("location", Array("file:///".utf8))])),
      "provider_unavailable"
    ),
  ]

  private static func json(_ text: String, _ status: Int) -> Result<ClientResponse, ClientError> {
    .success(
      ClientResponse(
        status: status, fields: [("content-type", Array("application/json".utf8))],
        body: Array(text.utf8)))
  }

  @Test("a code that gives no tokens leaves nothing", arguments: exchanges.indices)
  func exchange(index: Int) async throws {
    let (answer, code) = Self.exchanges[index]
    let fixture = try APIFixture()
    let (_, person) = try await fixture.person("a@example.org")
    fixture.web.set(ScriptedProvider.token, answer)
    let journey = try await ConnectJourney(fixture, person)
    #expect(await journey.back().field("location") == Self.start + code)
    #expect(try await fixture.remains() == [0, 0, 0, 0])
    #expect(fixture.web.asked(ScriptedProvider.token).count == 1)
  }

  @Test("a client that is not known any more is registered anew by the next attempt")
  func invalidClient() async throws {
    let fixture = try APIFixture()
    let (_, person) = try await fixture.person("a@example.org")
    fixture.web.set(ScriptedProvider.token, Self.json(#"{"error":"invalid_client"}"#, 401))
    let first = try await ConnectJourney(fixture, person)
    #expect(await first.back().field("location") == Self.start + "client_refused")
    fixture.web.set(ScriptedProvider.register, json: #"{"client_id":"client-2"}"#, status: 201)
    fixture.web.set(ScriptedProvider.token, json: ScriptedProvider.tokens)
    let second = try await ConnectJourney(fixture, person)
    #expect(second.sent.only("client_id") == "client-2")
    _ = try await second.claim()
  }

  @Test(
    "a document that leads elsewhere ends the way before it begins",
    arguments: [
      "javascript:alert(1)", "file:///etc/passwd", "http://10.0.0.1/authorize",
      "https://169.254.169.254/authorize", "https://[::1]/authorize", "http://as.example/authorize",
      "https://as.example:22/authorize", "", "https://user@as.example/authorize",
    ])
  func addresses(authorize: String) async throws {
    let fixture = try APIFixture()
    fixture.web.setMetadata(authorize: authorize)
    try await expectNoWay(fixture)
  }

  @Test("a document that is huge, late, foreign or a redirect ends the way before it begins")
  func documents() async throws {
    let rows: [(String, Result<ClientResponse, ClientError>)] = [
      (
        ScriptedProvider.metadata,
        .success(
          ClientResponse(
            status: 200, body: [UInt8](repeating: 0x20, count: 1 << 20), isPartial: true))
      ),
      (ScriptedProvider.metadata, .failure(.timeout)),
      (
        ScriptedProvider.metadata,
        .success(
          ClientResponse(status: 302, fields: [("location", Array("http://10.0.0.1/".utf8))]))
      ),
      (
        ScriptedProvider.resource,
        Self.json(
          #"{"resource":"https://other.example/mcp","authorization_servers":["https://as.example"]}"#,
          200)
      ),
      (
        ScriptedProvider.resource,
        Self.json(
          #"{"resource":"https://mcp.example/mcp","authorization_servers":["http://10.0.0.1"]}"#,
          200)
      ),
      (ScriptedProvider.mcp, .failure(.timeout)),
    ]
    for (url, answer) in rows {
      let fixture = try APIFixture()
      fixture.web.set(url, answer)
      try await expectNoWay(fixture)
    }
    let foreign = try APIFixture()
    foreign.web.setMetadata(issuer: "https://evil.example")
    try await expectNoWay(foreign)
  }

  private func expectNoWay(_ fixture: APIFixture) async throws {
    let (_, person) = try await fixture.person("a@example.org")
    let answer = await fixture.call(.post, "/api/connections/beta/authorize", nil, person)
    #expect(answer.status == 502)
    #expect(answer.body?.string("error") == "discovery_failed")
    #expect(answer.field("set-cookie") == nil)
    #expect(try await fixture.remains() == [0, 0, 0, 0])
    #expect(fixture.web.asked(ScriptedProvider.register).isEmpty)
  }

  @Test("a registration that gives no usable client ends the way before it begins")
  func registration() async throws {
    let rows = [
      Self.json(#"{"error":"invalid_redirect_uri"}"#, 400), Self.json("{}", 201),
      Self.json(#"{"client_id":"\#(String(repeating: "x", count: 100_000))"}"#, 201),
      .failure(.timeout),
    ]
    for row in rows {
      let fixture = try APIFixture()
      fixture.web.set(ScriptedProvider.register, row)
      let (_, person) = try await fixture.person("a@example.org")
      let answer = await fixture.call(.post, "/api/connections/beta/authorize", nil, person)
      #expect(answer.status == 502)
      #expect(answer.body?.string("error") == "dcr_failed")
      #expect(try await fixture.remains() == [0, 0, 0, 0])
    }
  }

  @Test("whoever opens many addresses still ends at the limit") func limit() async throws {
    let fixture = try APIFixture()
    let (user, person) = try await fixture.person("a@example.org")
    var journeys: [ConnectJourney] = []
    for _ in 0..<3 { journeys.append(try await ConnectJourney(fixture, person)) }
    let id = user.id.text
    try await fixture.bindery.run { (database) throws(DatabaseError) in
      try database.execute(
        """
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)
        INSERT INTO connections (id, user_id, service, label, status, auth_type, key_storage_mode,
          created_at) SELECT printf('00000000-0000-4000-8000-%012d', i), ?, 'x', 'x', 'active',
          'api_key', 'zero_knowledge', 1 FROM n
        """, .text(id))
    }
    _ = try await journeys[0].claim()
    for journey in journeys[1...] {
      #expect(await journey.back().field("location") == Self.start + "limit_reached")
    }
    #expect(try await fixture.remains()[0] == 10_000)
    // Their blobs were written already and are asked to be destroyed.
    #expect(fixture.shredder.all.count == 2)
    let answer = await fixture.call(.post, "/api/connections/beta/authorize", nil, person)
    #expect(answer.status == 409)
  }
}
