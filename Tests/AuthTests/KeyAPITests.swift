// Programs' keys, spaces, who may take which route, and the change of the key storage mode: through
// the API as programs and browsers call it.

import Accounts
import Clocks
import FoundationEssentials
import HTTPCodec
import RPC
import Testing
import Vault

@testable import bindery_auth

/// A connection as an answer shows it.
struct MadeConnection: Decodable {
  struct Connection: Decodable {
    let id: String
    let keyStorageMode: String

    private enum CodingKeys: String, CodingKey {
      case id
      case keyStorageMode = "key_storage_mode"
    }
  }
  let connection: Connection
  let apiKey: String?
  var id: String { connection.id }

  private enum CodingKeys: String, CodingKey {
    case connection
    case apiKey = "api_key"
  }

  static func make(
    _ fixture: APIFixture, _ fields: [(name: String, value: String)], _ mode: String
  ) async throws -> (id: String, apiKey: String) {
    let answer = await fixture.call(
      .post, "/api/connections/alpha/api-key",
      #"{"api_key":"good","key_storage_mode":"\#(mode)"}"#, fields)
    try #require(answer.status == 201)
    let made = try read(answer)
    return (made.id, try #require(made.apiKey))
  }

  static func read(_ answer: APIFixture.Answer) throws -> MadeConnection {
    try JSONDecoder().decode(MadeConnection.self, from: Data(answer.response.body))
  }
}

@Suite("Keys at the API") struct KeyAPITests {
  typealias Fields = [(name: String, value: String)]

  static func bearer(_ text: String) -> Fields { [("authorization", "Bearer \(text)")] }

  private func userKey(
    _ fixture: APIFixture, _ cookie: Fields, _ body: String? = nil
  ) async throws -> (id: String, text: String) {
    let answer = await fixture.call(.post, "/api/keys", body, cookie)
    #expect(answer.status == 201)
    let members = try #require(answer.body)
    return (
      try #require(members.string("id")), try #require(members.string("key"))
    )
  }

  private func connect(
    _ fixture: APIFixture, _ fields: Fields, managed: Bool = true
  ) async throws -> (id: String, apiKey: String) {
    try await MadeConnection.make(fixture, fields, managed ? "managed" : "zero_knowledge")
  }

  private func space(
    _ fixture: APIFixture, _ cookie: Fields, _ connections: [String], _ permissions: [String]
  ) async throws -> (id: String, key: String) {
    let list = connections.map { "\"\($0)\"" }.joined(separator: ",")
    let made = await fixture.call(
      .post, "/api/spaces", #"{"name":"Builds","connections":[\#(list)]}"#, cookie)
    try #require(made.status == 201)
    let id = try #require(made.body?.string("id"))
    let wanted = permissions.map { "\"\($0)\"" }.joined(separator: ",")
    let key = await fixture.call(
      .post, "/api/spaces/\(id)/keys", #"{"permissions":[\#(wanted)]}"#, cookie)
    try #require(key.status == 201)
    return (id, try #require(key.body?.string("key")))
  }

  @Test("a key is shown once, acts for its person, and ends at once") func life() async throws {
    let fixture = try APIFixture()
    let (user, cookie) = try await fixture.person("a@example.org")
    let (id, text) = try await userKey(fixture, cookie, #"{"name":"Laptop","expires_in":60}"#)
    #expect(text.utf8.count == 92 && text.hasPrefix("userk_"))
    let me = await fixture.call(.get, "/api/me", nil, Self.bearer(text))
    #expect(me.status == 200)
    #expect(me.body?.string("id") == user.id.text)
    let list = await fixture.call(.get, "/api/keys", nil, cookie)
    #expect(list.status == 200)
    #expect(!String(decoding: list.response.body, as: UTF8.self).contains(text))
    #expect(String(decoding: list.response.body, as: UTF8.self).contains(#""name":"Laptop""#))
    #expect(
      try await fixture.count(
        fixture.bindery, "SELECT count(*) FROM user_keys WHERE length(key_hash) = 32") == 1)
    let gone = await fixture.call(.delete, "/api/keys/\(id)", nil, cookie)
    #expect(gone.status == 200)
    #expect(await fixture.call(.get, "/api/me", nil, Self.bearer(text)).status == 401)
    #expect(await fixture.call(.delete, "/api/keys/\(id)", nil, cookie).status == 404)
  }

  @Test("a key may be named in the body") func named() async throws {
    let fixture = try APIFixture()
    let (_, cookie) = try await fixture.person("a@example.org")
    let (id, text) = try await userKey(fixture, cookie)
    let gone = await fixture.call(.delete, "/api/keys", #"{"id":"\#(id)"}"#, cookie)
    #expect(gone.status == 200)
    #expect(await fixture.call(.get, "/api/me", nil, Self.bearer(text)).status == 401)
    #expect(await fixture.call(.delete, "/api/keys", #"{"id":"x"}"#, cookie).status == 404)
    #expect(await fixture.call(.delete, "/api/keys", "{}", cookie).status == 400)
    #expect(await fixture.call(.delete, "/api/keys", nil, cookie).status == 415)
  }

  @Test("somebody else's key and space are not there") func foreign() async throws {
    let fixture = try APIFixture()
    let (_, cookie) = try await fixture.person("a@example.org")
    let (_, other) = try await fixture.person("b@example.org")
    let (id, text) = try await userKey(fixture, cookie)
    let connection = try await connect(fixture, cookie)
    let (space, key) = try await space(fixture, cookie, [connection.id], ["connections:read"])
    let path = "/api/spaces/\(space)"
    for (method, path, body) in [
      (.delete, "/api/keys/\(id)", nil), (.get, path, nil), (.delete, path, nil),
      (.patch, path, #"{"name":"mine"}"#), (.get, "\(path)/keys", nil),
      (.post, "\(path)/keys", "{}"), (.delete, "\(path)/keys/\(id)", nil),
      (.post, "/api/spaces", #"{"name":"x","connections":["\#(connection.id)"]}"#),
      (
        .patch, "/api/connections/\(connection.id)/mode",
        #"{"key_storage_mode":"zero_knowledge","credential":"\#(connection.apiKey)"}"#
      ),
    ] as [(HTTPCodec.Method, String, String?)] {
      let answer = await fixture.call(method, path, body, other)
      #expect(answer.status == 404, "\(method) \(path)")
      #expect(answer.body?.string("error") == "not_found")
    }
    #expect(await fixture.call(.get, "/api/me", nil, Self.bearer(text)).status == 200)
    #expect(await fixture.call(.get, "/api/connections", nil, Self.bearer(key)).status == 200)
  }

  @Test("a key makes no keys and ends no sign-in") func bounds() async throws {
    let fixture = try APIFixture()
    let (_, cookie) = try await fixture.person("a@example.org")
    let (id, text) = try await userKey(fixture, cookie)
    let (space, _) = try await space(fixture, cookie, [], [])
    for (method, path) in [
      (.get, "/api/keys"), (.post, "/api/keys"), (.delete, "/api/keys/\(id)"),
      (.delete, "/api/keys"), (.get, "/api/spaces/\(space)/keys"),
      (.post, "/api/spaces/\(space)/keys"), (.delete, "/api/spaces/\(space)/keys/\(id)"),
      (.post, "/api/auth/logout"),
    ] as [(HTTPCodec.Method, String)] {
      let answer = await fixture.call(method, path, nil, Self.bearer(text))
      #expect(answer.status == 403, "\(method) \(path)")
    }
    #expect(await fixture.call(.get, "/api/spaces", nil, Self.bearer(text)).status == 200)
    #expect(
      await fixture.call(.post, "/api/spaces", #"{"name":"x"}"#, Self.bearer(text)).status == 201)
  }

  @Test("a space's key sees its connections alone, and no person's route") func spaceKey()
    async throws
  {
    let fixture = try APIFixture()
    let (_, cookie) = try await fixture.person("a@example.org")
    let inside = try await connect(fixture, cookie)
    let outside = try await connect(fixture, cookie)
    let (_, key) = try await space(
      fixture, cookie, [inside.id],
      ["connections:read", "connections:use", "connections:write"])
    let fields = Self.bearer(key)
    for path in ["/api/me", "/api/keys", "/api/spaces", "/api/mcp/tools", "/api/nothing"] {
      #expect(await fixture.call(.get, path, nil, fields).status == 404, "\(path)")
    }
    #expect(await fixture.call(.post, "/api/auth/logout", nil, fields).status == 404)
    let list = await fixture.call(.get, "/api/connections", nil, fields)
    let text = String(decoding: list.response.body, as: UTF8.self)
    #expect(text.contains(inside.id) && !text.contains(outside.id))
    for rest in ["", "/credentials", "/activity"] {
      let seen = await fixture.call(.get, "/api/connections/\(inside.id)\(rest)", nil, fields)
      #expect(seen.status == 200)
      let hidden = await fixture.call(.get, "/api/connections/\(outside.id)\(rest)", nil, fields)
      #expect(hidden.status == 404)
    }
    for (method, rest, body) in [
      (.patch, "", #"{"label":"x"}"#), (.delete, "", nil),
      (.post, "/credentials", #"{"name":"x"}"#), (.delete, "/credentials/\(inside.id)", nil),
      (
        .patch, "/mode",
        #"{"key_storage_mode":"zero_knowledge","credential":"\#(outside.apiKey)"}"#
      ),
    ] as [(HTTPCodec.Method, String, String?)] {
      let path = "/api/connections/\(outside.id)\(rest)"
      #expect(await fixture.call(method, path, body, fields).status == 404, "\(method) \(path)")
    }
    let added = try await connect(fixture, fields)
    let after = await fixture.call(.get, "/api/connections/\(added.id)", nil, fields)
    #expect(after.status == 200)
    #expect(await fixture.call(.get, "/api/connections/\(added.id)", nil, cookie).status == 200)
  }

  static let rights: [(permissions: [String], read: Int, use: Int, write: Int)] = [
    ([], 403, 403, 403), (["connections:read"], 200, 403, 403),
    (["connections:use"], 403, 403, 403), (["connections:write"], 403, 403, 200),
    (["connections:write", "connections:use"], 403, 201, 200),
  ]

  @Test("each permission opens its routes and no others", arguments: rights)
  func permissions(row: (permissions: [String], read: Int, use: Int, write: Int)) async throws {
    let fixture = try APIFixture()
    let (_, cookie) = try await fixture.person("a@example.org")
    let connection = try await connect(fixture, cookie)
    let (_, key) = try await space(fixture, cookie, [connection.id], row.permissions)
    let path = "/api/connections/\(connection.id)"
    let fields = Self.bearer(key)
    for read in [path, "/api/connections", "\(path)/activity", "\(path)/credentials"] {
      #expect(await fixture.call(.get, read, nil, fields).status == row.read, "\(read)")
    }
    let made = await fixture.call(.post, "\(path)/credentials", #"{"name":"x"}"#, fields)
    #expect(made.status == row.use)
    let changed = await fixture.call(.patch, path, #"{"label":"x"}"#, fields)
    #expect(changed.status == row.write)
  }

  @Test(
    "what a body may not say",
    arguments: [
      #"{"name":""}"#, #"{"name":"a\u0000b"}"#, #"{"expires_in":0}"#, #"{"expires_in":31536001}"#,
      #"{"expires_in":"60"}"#, #"{"expires_in":1.5}"#, "[]", "{", #"{"name":"a","name":"b"}"#,
      #"{"permissions":["connections:*"]}"#, #"{"permissions":["connections:Read"]}"#,
      #"{"permissions":"connections:read"}"#, #"{"permissions":[null]}"#,
    ])
  func bodies(body: String) async throws {
    let fixture = try APIFixture()
    let (_, cookie) = try await fixture.person("a@example.org")
    let (space, _) = try await space(fixture, cookie, [], [])
    let answer = await fixture.call(.post, "/api/spaces/\(space)/keys", body, cookie)
    #expect(answer.status == 400)
    #expect(answer.body?.string("error") == "invalid_request")
  }

  @Test(
    "what a space may not be",
    arguments: [
      ("{}", 400), (#"{"name":" "}"#, 400), (#"{"name":"x","connections":["x"]}"#, 404),
      (#"{"name":"x","connections":"x"}"#, 400),
      (#"{"name":"x","connections":["00000000-0000-4000-8000-000000000000"]}"#, 404),
    ])
  func spaces(body: String, status: Int) async throws {
    let fixture = try APIFixture()
    let (_, cookie) = try await fixture.person("a@example.org")
    #expect(await fixture.call(.post, "/api/spaces", body, cookie).status == status)
    #expect(try await fixture.count(fixture.bindery, "SELECT count(*) FROM spaces") == 0)
  }

  @Test("revoking a key, leaving a space and a change of mode tell the edge") func epochs()
    async throws
  {
    let fixture = try APIFixture()
    let (_, cookie) = try await fixture.person("a@example.org")
    let connection = try await connect(fixture, cookie)
    let id = try #require(ConnectionID(connection.id))
    func bumps(_ work: () async throws -> Void) async throws -> Bool {
      let mark = try #require(
        fixture.epochs.marking { () throws(AccountError) in (value: true, connection: id) })
      try await work()
      return !fixture.epochs.isCurrent(mark.mark)
    }
    let (key, _) = try await userKey(fixture, cookie)
    #expect(
      try await bumps { _ = await fixture.call(.delete, "/api/keys/\(key)", nil, cookie) })
    let (space, _) = try await space(fixture, cookie, [connection.id], ["connections:use"])
    let path = "/api/spaces/\(space)"
    #expect(
      try await !bumps { _ = await fixture.call(.patch, path, #"{"name":"y"}"#, cookie) })
    #expect(
      try await bumps { _ = await fixture.call(.patch, path, #"{"connections":[]}"#, cookie) })
    _ = await fixture.call(
      .patch, path, #"{"connections":["\#(connection.id)"]}"#, cookie)
    #expect(try await bumps { _ = await fixture.call(.delete, path, nil, cookie) })
    let isTold = try await bumps {
      let answer = await fixture.call(
        .patch, "/api/connections/\(connection.id)/mode",
        #"{"key_storage_mode":"zero_knowledge","credential":"\#(connection.apiKey)"}"#, cookie)
      #expect(answer.status == 200)
    }
    #expect(isTold)
  }
}

@Suite("Order of authentication") struct AuthenticationOrderTests {
  @Test("cookie, then user key, then space key, then token") func order() async throws {
    let fixture = try APIFixture()
    let (first, cookie) = try await fixture.person("a@example.org")
    let (second, other) = try await fixture.person("b@example.org")
    let made = await fixture.call(.post, "/api/keys", nil, other)
    let key = try #require(made.body?.string("key"))
    let both = await fixture.call(.get, "/api/me", nil, cookie + KeyAPITests.bearer(key))
    #expect(both.body?.string("id") == first.id.text)
    let stale: KeyAPITests.Fields = [("cookie", "bindery_session=stale")]
    let next = await fixture.call(.get, "/api/me", nil, stale + KeyAPITests.bearer(key))
    #expect(next.body?.string("id") == second.id.text)
    let junk = await fixture.call(.get, "/api/me", nil, cookie + KeyAPITests.bearer("junk"))
    #expect(junk.status == 200)
    // The cookie decides, so its rule holds, whatever else is shown.
    let forged = await fixture.call(
      .post, "/api/spaces", #"{"name":"x"}"#, [cookie[0]] + KeyAPITests.bearer(key))
    #expect(forged.status == 403)
  }

  @Test(
    "what is no key is nobody's",
    arguments: [
      "userk_", "spacek_", "userk_" + String(repeating: "A", count: 86),
      "spacek_" + String(repeating: "A", count: 86), "userk_\u{e9}", "eyJ", "Userk_x", "",
    ])
  func nobody(text: String) async throws {
    let fixture = try APIFixture()
    let answer = await fixture.call(.get, "/api/me", nil, KeyAPITests.bearer(text))
    #expect(answer.status == 401)
    #expect(answer.body?.string("error") == "unauthorized")
  }

  @Test("routes for programs take no cookie") func programs() async throws {
    let fixture = try APIFixture()
    let (_, cookie) = try await fixture.person("a@example.org")
    let made = await fixture.call(.post, "/api/keys", nil, cookie)
    let key = try #require(made.body?.string("key"))
    for path in ["/api/mcp", "/api/mcp/", "/api/mcp/tools"] {
      for fields in [[], cookie, [("authorization", "Basic eA==")]] as [KeyAPITests.Fields] {
        let answer = await fixture.call(.get, path, nil, fields)
        #expect(answer.status == 401, "\(path)")
        #expect(answer.body?.string("error") == "MCP routes require Bearer token")
        #expect(answer.field("www-authenticate") == "Bearer")
      }
      let junk = await fixture.call(.get, path, nil, cookie + KeyAPITests.bearer("junk"))
      #expect(junk.status == 401)
      #expect(junk.body?.string("error") == "unauthorized")
      let known = await fixture.call(.get, path, nil, KeyAPITests.bearer(key))
      #expect(known.status == 404)
    }
    #expect(await fixture.call(.get, "/api/mcpx", nil, cookie).status == 404)
  }
}

@Suite("Key storage mode") struct ModeTests {
  private func connect(
    _ fixture: APIFixture, _ cookie: KeyAPITests.Fields, _ mode: String
  ) async throws -> (id: String, apiKey: String) {
    try await MadeConnection.make(fixture, cookie, mode)
  }

  @Test("a working credential moves a connection both ways, and it opens all the while")
  func both() async throws {
    let fixture = try APIFixture()
    let (user, cookie) = try await fixture.person("a@example.org")
    let made = try await connect(fixture, cookie, "zero_knowledge")
    let id = try #require(ConnectionID(made.id))
    func change(_ mode: String) async -> APIFixture.Answer {
      await fixture.call(
        .patch, "/api/connections/\(made.id)/mode",
        #"{"key_storage_mode":"\#(mode)","credential":"\#(made.apiKey)"}"#, cookie)
    }
    let managed = await change("managed")
    #expect(managed.status == 200)
    #expect(
      try MadeConnection.read(managed).connection.keyStorageMode == "managed")
    let wrap = try #require(try await fixture.accounts.managedWrap(id, of: user.id))
    let stored = try fixture.keys.revealDataKey(.managed(wrap), connection: id, owner: user.id)
    // The same data key: a further credential can be made without showing one.
    let further = await fixture.call(
      .post, "/api/connections/\(made.id)/credentials", #"{"name":"x"}"#, cookie)
    #expect(further.status == 201)
    #expect(stored.utf8.count == 43)
    #expect(await change("managed").status == 200)
    #expect(await change("zero_knowledge").status == 200)
    #expect(try await fixture.accounts.managedWrap(id, of: user.id) == nil)
    let closed = await fixture.call(
      .post, "/api/connections/\(made.id)/credentials", #"{"name":"x"}"#, cookie)
    #expect(closed.status == 400)
  }

  @Test("nothing else moves it") func refused() async throws {
    let fixture = try APIFixture()
    let (user, cookie) = try await fixture.person("a@example.org")
    let made = try await connect(fixture, cookie, "managed")
    let other = try await connect(fixture, cookie, "managed")
    let wrong = made.apiKey.dropLast(3) + "AAA"
    for (body, status) in [
      (#"{"key_storage_mode":"zero_knowledge"}"#, 400),
      (#"{"key_storage_mode":"zero_knowledge","credential":null}"#, 400),
      (#"{"key_storage_mode":"zero_knowledge","credential":"x"}"#, 403),
      (#"{"key_storage_mode":"zero_knowledge","credential":"\#(wrong)"}"#, 403),
      (#"{"key_storage_mode":"zero_knowledge","credential":"\#(other.apiKey)"}"#, 403),
      (#"{"key_storage_mode":"open","credential":"\#(made.apiKey)"}"#, 400),
      (#"{"credential":"\#(made.apiKey)"}"#, 400), ("{}", 400),
    ] {
      let answer = await fixture.call(
        .patch, "/api/connections/\(made.id)/mode", body, cookie)
      #expect(answer.status == status, "\(body)")
    }
    let id = try #require(ConnectionID(made.id))
    #expect(try await fixture.accounts.managedWrap(id, of: user.id) != nil)
  }

  @Test("without master keys nothing becomes managed") func off() async throws {
    let fixture = try APIFixture(["MANAGED_ENCRYPTION_MASTER_KEY": ""])
    let (_, cookie) = try await fixture.person("a@example.org")
    let made = try await connect(fixture, cookie, "zero_knowledge")
    let answer = await fixture.call(
      .patch, "/api/connections/\(made.id)/mode",
      #"{"key_storage_mode":"managed","credential":"\#(made.apiKey)"}"#, cookie)
    #expect(answer.status == 400)
    #expect(answer.body?.string("error") == "not_supported")
  }
}

@Suite("Data keys for programs") struct ProgramKeyCallTests {
  @Test("auth opens a data key for the key itself, where it reaches, and for nothing else")
  func unwrap() async throws {
    let fixture = try APIFixture()
    let (user, cookie) = try await fixture.person("a@example.org")
    let (_, other) = try await fixture.person("b@example.org")
    let made = try await MadeConnection.make(fixture, cookie, "managed")
    let closed = try await MadeConnection.make(fixture, cookie, "zero_knowledge")
    let id = try #require(ConnectionID(made.id))
    func key(_ fields: KeyAPITests.Fields) async throws -> String {
      try #require(await fixture.call(.post, "/api/keys", nil, fields).body?.string("key"))
    }
    let (mine, foreign) = (try await key(cookie), try await key(other))
    let calls = ProgramKeyCalls(store: fixture.accounts, keys: fixture.keys, log: .discarding)
    let opened = try await calls.unwrap(.init(connectionID: made.id, key: mine))
    let wrap = try #require(try await fixture.accounts.managedWrap(id, of: user.id))
    let stored = try fixture.keys.revealDataKey(.managed(wrap), connection: id, owner: user.id)
    #expect(opened == stored)
    for (connection, key) in [
      (made.id, foreign), (closed.id, mine), (ConnectionID.random().text, mine),
      (made.id, "userk_" + String(repeating: "A", count: 86)),
    ] {
      await #expect(throws: RPC.Refusal.conflict) {
        try await calls.unwrap(.init(connectionID: connection, key: key))
      }
    }
    let hash = Digest256(of: Array(mine.utf8))
    for key in [hash.hex, "userk_" + hash.hex, String(mine.dropFirst(6)), ""] {
      await #expect(throws: RPC.Refusal.malformedRequest) {
        try await calls.unwrap(.init(connectionID: made.id, key: key))
      }
    }
    await #expect(throws: RPC.Refusal.malformedRequest) {
      try await calls.unwrap(.init(connectionID: "x", key: mine))
    }
  }
}
