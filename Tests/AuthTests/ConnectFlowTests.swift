// Connecting by OAuth, from the button to the secret URL, with a scripted provider: what the person
// is sent with, what the provider is asked, what is stored, and who may pick it up.

import Accounts
import Bytes
import Clocks
import Database
import HTTPCodec
import JOSE
import RPC
import Testing

@testable import bindery_auth

@Suite("Connecting by OAuth") struct ConnectFlowTests {
  @Test("a person is sent with a state, a challenge and a resource, and a cookie is set")
  func sent() async throws {
    let fixture = try APIFixture()
    let (_, person) = try await fixture.person("a@example.org")
    let journey = try await ConnectJourney(fixture, person)
    let names = journey.sent.pairs.map(\.name)
    #expect(
      names == [
        "tenant", "prompt", "response_type", "client_id", "redirect_uri", "state",
        "code_challenge", "code_challenge_method", "scope", "resource",
      ])
    #expect(journey.address.hasPrefix("https://as.example/authorize?"))
    let values = ["tenant", "prompt", "response_type", "client_id", "scope", "resource"]
      .map { journey.sent.only($0) }
    #expect(
      values == ["7", "consent", "code", "client-1", "read write", "https://mcp.example/mcp"])
    #expect(
      journey.sent.only("redirect_uri") == "\(APIFixture.origin)/api/connections/callback")
    #expect(journey.sent.only("code_challenge_method") == "S256")
    #expect(journey.state.utf8.count == 43)
    let field = journey.cookieField.dropFirst(journey.cookie.value.count)
    #expect(journey.cookie.value.hasPrefix("bindery_connect="))
    #expect(field == "; Path=/; HttpOnly; SameSite=Lax; Max-Age=600")
    #expect(try await fixture.remains() == [0, 1, 0, 0])
    let answer = await fixture.call(.get, "/oauth/client.json")
    #expect(answer.body?.string("client_id") == "\(APIFixture.origin)/oauth/client.json")
    #expect(answer.field("referrer-policy") == "no-referrer")
  }

  @Test("over https the cookie is the host's alone") func secureCookie() async throws {
    let fixture = try APIFixture([
      "PUBLIC_URL": "https://bindery.example", "ADMIN_URL": "https://app.example",
    ])
    let (_, person) = try await fixture.person("a@example.org")
    let cookie = [
      (name: "cookie", value: "__Host-" + person[0].value),
      (name: "origin", value: "https://app.example"),
    ]
    let journey = try await ConnectJourney(fixture, cookie)
    #expect(journey.cookie.value.hasPrefix("__Host-bindery_connect="))
    #expect(
      journey.cookieField.hasSuffix("; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=600"))
    let answer = await journey.back()
    #expect(answer.field("location")?.hasPrefix("https://app.example/dashboard?claim=") == true)
  }

  @Test("a code becomes a connection that its owner claims once", arguments: [false, true])
  func connects(managed: Bool) async throws {
    let fixture = try APIFixture()
    let (user, person) = try await fixture.person("a@example.org")
    let (_, stranger) = try await fixture.person("b@example.org")
    let mode = managed ? "managed" : "zero_knowledge"
    let journey = try await ConnectJourney(
      fixture, person, #"{"key_storage_mode":"\#(mode)"}"#)
    let before = UnixTime.now
    let answer = await journey.back()
    #expect(answer.status == 302)
    let location = try #require(answer.field("location"))
    #expect(location.hasPrefix("\(APIFixture.origin)/dashboard?claim="))
    let token = String(location.suffix(43))
    #expect(location.utf8.count == APIFixture.origin.utf8.count + 17 + 43)
    #expect(answer.field("cache-control") == "no-store")
    #expect(answer.field("referrer-policy") == "no-referrer")
    #expect(try await fixture.remains() == [1, 0, 1, 1])

    let exchange = try Form(parsing: try #require(fixture.web.asked(ScriptedProvider.token).first))
    let verifier = try #require(exchange.only("code_verifier"))
    #expect(
      Base64URL.encode(SHA256Digest.of(verifier)) == journey.sent.only("code_challenge"))
    #expect(exchange.only("code") == "c1")
    #expect(exchange.only("resource") == "https://mcp.example/mcp")
    #expect(exchange.only("redirect_uri") == journey.sent.only("redirect_uri"))
    #expect(exchange.only("client_id") == "client-1")

    let path = "/api/connections/claim"
    #expect(await fixture.call(.get, path, nil, [], query: "token=\(token)").status == 401)
    #expect(await fixture.call(.head, path, nil, person, query: "token=\(token)").status == 405)
    let foreign = await fixture.call(.get, path, nil, stranger, query: "token=\(token)")
    #expect(foreign.status == 403)
    #expect(await fixture.call(.get, path, nil, person).status == 400)
    #expect(await fixture.call(.get, path, nil, person, query: "token=x").status == 404)
    let claimed = await fixture.call(.get, path, nil, person, query: "token=\(token)")
    #expect(claimed.status == 200)
    #expect(
      await fixture.call(.get, path, nil, person, query: "token=\(token)").status == 404)
    let shown = try ShownClaim(claimed)
    #expect(shown.connection.label == "Beta 1")
    #expect(shown.connection.authType == "oauth")
    #expect(shown.connection.keyStorageMode == mode)
    #expect(shown.secretUrl.hasPrefix("\(APIFixture.origin)/mcp/beta/"))
    let grant = try #require(
      try await fixture.grant(of: shown.connection.id, shown.secretUrl))
    #expect(grant.accessToken == "canary-at")
    #expect(grant.refreshToken == "canary-rt")
    #expect(grant.tokenURL == ScriptedProvider.token)
    #expect(grant.revocationURL == "https://as.example/revoke")
    #expect(grant.issuer == "https://as.example")
    #expect(grant.scope == "read write")
    let end = try #require(grant.expiresAt).seconds - 3600
    #expect((before.seconds...UnixTime.now.seconds).contains(end))
    let stored = try await fixture.accounts.connections(of: user.id)
    #expect(stored.map(\.isRevocableUpstream) == [true])
    #expect(try await fixture.remains() == [1, 0, 0, 1])
  }

  @Test("the longest that a provider may say fits") func longest() async throws {
    let fixture = try APIFixture()
    let (_, person) = try await fixture.person("a@example.org")
    let scopes = (0..<100).map { "\"\($0)\(String(repeating: "s", count: 254))\"" }
    fixture.web.set(
      ScriptedProvider.resource,
      json:
        #"{"resource":"https://mcp.example/mcp","authorization_servers":["https://as.example"],"#
        + #""scopes_supported":[\#(scopes.joined(separator: ","))]}"#)
    fixture.web.set(
      ScriptedProvider.register,
      json: #"{"client_id":"\#(String(repeating: "i", count: 2048))","client_secret":"#
        + #""\#(String(repeating: "s", count: 4096))","#
        + #""token_endpoint_auth_method":"client_secret_post"}"#, status: 201)
    let token = String(repeating: "t", count: 16_384)
    let address = "https://as.example/\(String(repeating: "a", count: 2000))"
    fixture.web.set(
      ScriptedProvider.metadata,
      json: #"{"issuer":"https://as.example","authorization_endpoint":"https://as.example/a","#
        + #""token_endpoint":"\#(address)","revocation_endpoint":"\#(address)","#
        + #""registration_endpoint":"\#(ScriptedProvider.register)","#
        + #""code_challenge_methods_supported":["S256"],"response_types_supported":["code"],"#
        + #""token_endpoint_auth_methods_supported":["client_secret_post"]}"#)
    fixture.web.set(
      address,
      json: #"{"access_token":"\#(token)","refresh_token":"\#(token)"}"#)
    let journey = try await ConnectJourney(fixture, person, service: "delta")
    #expect(journey.sent.only("scope")?.utf8.count ?? 0 > 25_000)
    _ = try await journey.claim()
    #expect(try await fixture.remains() == [1, 0, 1, 1])
  }

  @Test("two connections under way in one browser both end well") func twoTabs() async throws {
    let fixture = try APIFixture()
    let (_, person) = try await fixture.person("a@example.org")
    let first = try await ConnectJourney(fixture, person)
    let both = person.map { field in
      field.name == "cookie" ? (field.name, "\(field.value); \(first.cookie.value)") : field
    }
    let second = try await ConnectJourney(fixture, both)
    #expect(second.cookie.value == first.cookie.value)
    #expect(second.state != first.state)
    _ = try await first.claim()
    _ = try await second.claim()
    #expect(try await fixture.remains() == [2, 0, 2, 2])
    #expect(fixture.web.asked(ScriptedProvider.register).count == 1)
  }

  @Test("the person comes back to the page that was asked for, if it is the dashboard's")
  func pages() async throws {
    let fixture = try APIFixture()
    let (_, person) = try await fixture.person("a@example.org")
    let asked = "\(APIFixture.admin)/settings?tab=1"
    let journey = try await ConnectJourney(fixture, person, #"{"return_to":"\#(asked)"}"#)
    let answer = await journey.back("error=access_denied&error_description=canary")
    #expect(answer.field("location") == "\(asked)&error=access_denied")
    let bad = [
      "https://evil.example/", "javascript:alert(1)", "file:///etc/passwd", "//evil.example/",
      "\(APIFixture.admin)@evil.example/", "\(APIFixture.admin).evil.example/", "/dashboard", "",
      "http://127.0.0.1:3001/dashboard",
    ]
    for bad in bad {
      let answer = await fixture.call(
        .post, "/api/connections/beta/authorize", #"{"return_to":"\#(bad)"}"#, person)
      #expect(answer.status == 400, "\(bad)")
    }
  }

  @Test("what may not be connected so is refused before anybody leaves") func refused()
    async throws
  {
    let fixture = try APIFixture()
    let (_, person) = try await fixture.person("a@example.org")
    let rows: [(String, String, Int, String)] = [
      ("none", "{}", 404, "not_found"), ("alpha", "{}", 400, "not_supported"),
      ("gamma", "{}", 500, "config_error"),
      ("beta", #"{"key_storage_mode":"x"}"#, 400, "invalid_request"),
      ("beta", #"{"replace_connection_id":"x"}"#, 404, "not_found"),
      ("beta", #"{"replace_connection_id":"\#(ConnectionID.random())"}"#, 404, "not_found"),
    ]
    for (service, body, status, code) in rows {
      let answer = await fixture.call(
        .post, "/api/connections/\(service)/authorize", body, person)
      #expect(answer.status == status, "\(service) \(body)")
      #expect(answer.body?.string("error") == code, "\(service) \(body)")
    }
    let path = "/api/connections/beta/authorize"
    #expect(await fixture.call(.post, path).status == 401)
    #expect(await fixture.call(.post, path, nil, [person[0]]).status == 403)
    #expect(try await fixture.remains() == [0, 0, 0, 0])
  }

  @Test("without master keys nothing is managed, and no client with a secret is kept")
  func noMasterKeys() async throws {
    let fixture = try APIFixture(["MANAGED_ENCRYPTION_MASTER_KEY": ""])
    let (_, person) = try await fixture.person("a@example.org")
    let answer = await fixture.call(
      .post, "/api/connections/beta/authorize", #"{"key_storage_mode":"managed"}"#, person)
    #expect(answer.status == 400)
    fixture.web.set(
      ScriptedProvider.register,
      json:
        #"{"client_id":"c","client_secret":"s3","token_endpoint_auth_method":"client_secret_post"}"#,
      status: 201)
    for _ in 0..<2 { _ = try await fixture.connect(person) }
    #expect(fixture.web.asked(ScriptedProvider.register).count == 2)
    #expect(
      try await fixture.count(fixture.bindery, "SELECT count(*) FROM oauth_registrations") == 0)
    let exchange = try Form(parsing: fixture.web.asked(ScriptedProvider.token)[0])
    #expect(exchange.only("client_secret") == "s3")
  }

  @Test("with a master key a client's secret is kept under it, and registered anew at its end")
  func registrations() async throws {
    let fixture = try APIFixture()
    let (_, person) = try await fixture.person("a@example.org")
    func registers(until end: Int64) {
      fixture.web.set(
        ScriptedProvider.register,
        json: #"{"client_id":"c","client_secret":"s3","client_secret_expires_at":\#(end),"#
          + #""token_endpoint_auth_method":"client_secret_post"}"#, status: 201)
    }
    registers(until: UnixTime.now.seconds + 3000)
    _ = try await fixture.connect(person)
    registers(until: UnixTime.now.seconds + 9000)
    for _ in 0..<3 { _ = try await fixture.connect(person) }
    #expect(fixture.web.asked(ScriptedProvider.register).count == 2)
    let exchanges = fixture.web.asked(ScriptedProvider.token)
    #expect(exchanges.count == 4)
    for exchange in exchanges {
      #expect(try Form(parsing: exchange).only("client_secret") == "s3")
    }
    #expect(
      try await fixture.count(
        fixture.bindery,
        """
        SELECT count(*) FROM oauth_registrations
        WHERE length(secret) = 314 AND length(secret_fingerprint) = 16
          AND instr(secret, CAST('s3' AS BLOB)) = 0
        """) == 1)
  }

  @Test("how long a connection will last is shown, and a refusal of the tokens it has now")
  func forecasts() async throws {
    let fixture = try APIFixture()
    let (user, person) = try await fixture.person("a@example.org")
    fixture.web.set(
      ScriptedProvider.token,
      json: #"{"access_token":"a","refresh_token":"r","refresh_token_expires_in":1000}"#)
    let made = try await fixture.connect(person).connection
    #expect(made.expiresAt != nil)
    let scheduler = try DatabaseThread(
      DatabaseFile(.tokens, in: fixture.folder), as: .scheduler)
    defer {
      scheduler.stop()
      scheduler.join()
    }
    let path = "/api/connections/\(made.id)"
    for (generation, expected) in [(2, nil), (1, "2027-01-15T08:00:02Z")] as [(Int64, String?)] {
      try await scheduler.run { (database) throws(DatabaseError) in
        try database.execute(
          """
          INSERT OR REPLACE INTO refresh_state (connection_id, generation, refresh_expires_at,
            needs_reauth_at) VALUES (?, ?, 1800000001, 1800000002)
          """, .text(made.id), .integer(generation))
      }
      let answer = await fixture.call(.get, path, nil, person)
      #expect(answer.body?.string("expires_at") == "2027-01-15T08:00:01Z")
      #expect(answer.body?.string("needs_reauth_at") == expected)
      let list = await fixture.call(.get, "/api/connections", nil, person)
      let text = String(decoding: list.response.body, as: UTF8.self)
      #expect(text.contains(#""needs_reauth_at":"2027"#) == (expected != nil))
    }
    #expect(try await fixture.accounts.connections(of: user.id).count == 1)
  }
}
