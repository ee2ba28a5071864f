// Requests through the whole API: what each refusal looks like from outside, and what is in the
// databases after each step.

import Accounts
import Clocks
import HTTPServer
import JOSE
import Testing

@testable import bindery_auth

@Suite("API") struct APIFlowTests {
  @Test("unknown routes are unknown only to those who signed in") func unknown() async throws {
    let fixture = try APIFixture()
    let (_, cookie) = try await fixture.person("a@example.org")
    let stranger = await fixture.call(.get, "/api/nothing")
    #expect(stranger.status == 401)
    #expect(stranger.body?.string("error") == "unauthorized")
    #expect(stranger.field("www-authenticate") == "Bearer")
    let known = await fixture.call(.get, "/api/nothing", nil, cookie)
    #expect(known.status == 404)
    #expect(known.body?.string("message") == "Unknown API route")
    #expect(await fixture.call(.get, "/nothing").status == 404)
    let method = await fixture.call(.put, "/api/connections", nil, cookie)
    #expect(method.status == 405)
    #expect(method.field("allow") == "GET")
  }

  @Test("every answer carries the fields of safety, errors and preflights too") func fields()
    async throws
  {
    let fixture = try APIFixture()
    let origin = [(name: "origin", value: APIFixture.admin)]
    let answers = [
      await fixture.call(.get, "/api/services", nil, origin),
      await fixture.call(.get, "/api/me", nil, origin),
      await fixture.call(.post, "/api/auth/login", "{", origin),
      await fixture.call(.options, "/api/me", nil, origin),
    ]
    #expect(answers.map(\.status) == [200, 401, 400, 204])
    for answer in answers {
      #expect(answer.field("access-control-allow-origin") == APIFixture.admin)
      #expect(answer.field("access-control-allow-credentials") == "true")
      #expect(answer.field("vary") == "Origin")
      #expect(answer.field("x-content-type-options") == "nosniff")
      #expect(answer.field("x-frame-options") == "DENY")
      #expect(answer.field("cache-control") == "no-store")
      #expect(answer.field("strict-transport-security") == nil)
    }
    let foreign = await fixture.call(.get, "/api/me", nil, [("origin", "http://127.0.0.1:3001")])
    #expect(foreign.field("access-control-allow-origin") == nil)
  }

  @Test("over https, and only there, the browser is told to stay with it") func https()
    async throws
  {
    let fixture = try APIFixture([
      "PUBLIC_URL": "https://bindery.example", "ADMIN_URL": "https://app.example",
    ])
    let answer = await fixture.call(.get, "/api/services")
    #expect(answer.field("strict-transport-security") == "max-age=31536000; includeSubDomains")
  }

  @Test("a key that its service refuses leaves nothing behind") func refusedKey() async throws {
    let fixture = try APIFixture()
    let (_, cookie) = try await fixture.person("a@example.org")
    let answer = await fixture.call(
      .post, "/api/connections/alpha/api-key", #"{"api_key":"bad"}"#, cookie)
    #expect(answer.status == 400)
    #expect(answer.body?.string("error") == "invalid_api_key")
    #expect(try await fixture.count(fixture.tokens, "SELECT count(*) FROM token_blobs") == 0)
    #expect(try await fixture.count(fixture.bindery, "SELECT count(*) FROM connections") == 0)
  }

  @Test("connect, then revoke: nothing opens any more, and the edge was told") func revoke()
    async throws
  {
    let fixture = try APIFixture()
    let (user, cookie) = try await fixture.person("a@example.org")
    for mode in ["zero_knowledge", "managed"] {
      let made = await fixture.call(
        .post, "/api/connections/alpha/api-key",
        #"{"api_key":"good","key_storage_mode":"\#(mode)"}"#, cookie)
      #expect(made.status == 201)
      #expect(made.body?.string("api_key")?.utf8.count == 95)
    }
    let connections = try await fixture.accounts.connections(of: user.id)
    #expect(connections.map(\.label) == ["Alpha 1", "Alpha 2"])
    #expect(try await fixture.count(fixture.tokens, "SELECT count(*) FROM token_blobs") == 2)
    for connection in connections {
      let before = fixture.epochs.marking { () -> (value: Int, connection: ConnectionID)? in
        (0, connection.id)
      }
      let answer = await fixture.call(
        .delete, "/api/connections/\(connection.id)", nil, cookie)
      #expect(answer.status == 200)
      #expect(answer.body?.string("upstream_revocation") == "unsupported")
      let mark = try #require(before?.mark)
      #expect(!fixture.epochs.isCurrent(mark))
    }
    #expect(fixture.shredder.all == connections.map(\.id))
    #expect(
      try await fixture.count(
        fixture.bindery,
        """
        SELECT (SELECT count(*) FROM credentials WHERE wrap IS NOT NULL)
          + (SELECT count(*) FROM connections WHERE managed_wrap IS NOT NULL OR label <> '')
        """) == 0)
  }

  @Test("every route of a connection answers a stranger like nothing at all") func strangers()
    async throws
  {
    let fixture = try APIFixture()
    let (owner, cookie) = try await fixture.person("a@example.org")
    let (_, other) = try await fixture.person("b@example.org")
    _ = await fixture.call(
      .post, "/api/connections/alpha/api-key", #"{"api_key":"good","key_storage_mode":"managed"}"#,
      cookie)
    let id = try #require(try await fixture.accounts.connections(of: owner.id).first).id
    let path = "/api/connections/\(id)"
    let nowhere = "/api/connections/\(ConnectionID.random())"
    for (mine, theirs) in [(path, nowhere), (path + "/credentials", nowhere + "/credentials")] {
      let seen = await fixture.call(.get, mine, nil, other)
      let missing = await fixture.call(.get, theirs, nil, other)
      #expect(seen.status == 404)
      #expect(seen.response.body == missing.response.body)
    }
    #expect(await fixture.call(.get, path + "/activity", nil, other).status == 404)
    #expect(await fixture.call(.patch, path, #"{"label":"x"}"#, other).status == 404)
    #expect(
      await fixture.call(.post, path + "/credentials", #"{"name":"x"}"#, other).status == 404)
    #expect(await fixture.call(.delete, path, nil, other).status == 404)
    #expect(fixture.shredder.all.isEmpty)
    #expect(await fixture.call(.get, path, nil, cookie).status == 200)
  }

  @Test("a sign-in by a foreign page, or without an e-mail address, is none") func signIn()
    async throws
  {
    let fixture = try APIFixture(["MAX_USERS": "1"])
    let good = #"{"email":"a@example.org","password":"correct horse battery"}"#
    let foreign = await fixture.call(
      .post, "/api/auth/register", good, [("origin", "https://attacker.example")])
    #expect(foreign.status == 403)
    let made = await fixture.call(.post, "/api/auth/register", good)
    #expect(made.status == 201)
    let token = try #require(made.body?.string("access_token"))
    let bearer = [(name: "authorization", value: "bearer \(token)")]
    #expect(await fixture.call(.get, "/api/me", nil, bearer).status == 200)
    #expect(await fixture.call(.post, "/api/auth/logout", nil, bearer).status == 200)
    #expect(await fixture.call(.get, "/api/me", nil, bearer).status == 401)
    let full = await fixture.call(
      .post, "/api/auth/register", #"{"email":"b@example.org","password":"correct horse battery"}"#)
    #expect(full.status == 403)
    #expect(full.body?.string("error") == "max_users_reached")
  }

  @Test("local accounts that are switched off are off") func off() async throws {
    let fixture = try APIFixture([
      "AUTH_LOCAL_ACCOUNTS": "false",
      "CLERK_JWKS_URL": "https://clerk.example/.well-known/jwks.json",
    ])
    for path in ["register", "login", "token"] {
      #expect(await fixture.call(.post, "/api/auth/\(path)", "{}").status == 403)
    }
  }
}
