// The pure rules of the API: routes, origins, answers, bodies. Requests to the running service are
// the acceptance tests' business.

import Accounts
import Clocks
import HTTPCodec
import HTTPServer
import Posix
import Testing

@testable import bindery_auth

@Suite("Routes") struct RouteTests {
  @Test("each route is found by its own shape, and HEAD is GET") func shapes() {
    for route in Route.allCases {
      let path = route.shape.pattern.split(separator: "/").map { segment -> String in
        segment.hasPrefix("{") ? "x" : String(segment)
      }
      let match = Route.match(route.shape.method, "/" + path.joined(separator: "/"))
      guard case .route(let found, _) = match else {
        Issue.record("\(route) is not found")
        continue
      }
      #expect(found == route)
    }
    #expect(Route.match(.head, "/api/me") == .route(.me, parameters: []))
  }

  @Test(
    "what is not a route is not nearly one",
    arguments: [
      "", "/", "/api", "/api/", "/api/me/", "//api/me", "/api//me", "/API/me", "/api/me/x",
      "/api/connections/", "/api/connections//api-key", "/api/connections/x/credentials/",
      "/api/key", "/oauth/token", "/dashboard", "/api/auth/forgotten",
    ])
  func others(path: String) { #expect(Route.match(.get, path) == .none) }

  @Test("a known path with another method names the methods it has") func methods() {
    #expect(Route.match(.put, "/api/connections/x") == .otherMethods("GET, PATCH, DELETE"))
    #expect(Route.match(.get, "/api/auth/login") == .otherMethods("POST"))
  }
}

@Suite("Origins") struct OriginTests {
  private func policy() throws -> OriginPolicy {
    OriginPolicy(
      admin: [
        try #require(WebURL("https://app.example")), try #require(WebURL("http://localhost:3000")),
      ],
      own: try #require(WebURL("https://bindery.example")))
  }

  private func request(_ origins: [String], method: HTTPCodec.Method = .options) -> Request {
    Request(
      method: method, path: "/api/me", query: nil, fields: origins.map { ("origin", $0) },
      body: [], client: nil, viaEdge: true)
  }

  static let rows: [([String], reads: Bool, changes: Bool)] = [
    (["https://app.example"], true, true), (["http://localhost:3000"], true, true),
    (["https://bindery.example"], false, true), (["https://app.example."], false, false),
    (["https://app.example:443"], false, false), (["http://app.example"], false, false),
    (["https://APP.example"], false, false), (["https://app.example.attacker.org"], false, false),
    (["https://evilapp.example"], false, false), (["null"], false, false), ([""], false, false),
    ([], false, false), (["https://app.example", "https://app.example"], false, false),
    (["https://app.example/"], false, false), (["https://app.example https://b"], false, false),
  ]

  @Test("an origin is one of the configured ones, byte for byte", arguments: rows)
  func exact(origins: [String], reads: Bool, changes: Bool) throws {
    let policy = try policy()
    let fields = policy.fields(for: request(origins))
    #expect(fields.contains { $0.name == "access-control-allow-origin" } == reads)
    #expect(fields.contains { $0.name == "vary" })
    #expect(policy.preflight(request(origins)).status == (reads ? 204 : 403))
    #expect(policy.admitsChange(request(origins)) == changes)
  }

  @Test("a sign-in without an origin is a program's, with a foreign one nobody's") func signIn()
    throws
  {
    let policy = try policy()
    #expect(policy.admitsSignIn(request([])))
    #expect(!policy.admitsSignIn(request(["https://attacker.example"])))
    #expect(!policy.admitsSignIn(request(["null"])))
  }
}

@Suite("Answers") struct AnswerTests {
  @Test("JSON is escaped for parsers and for pages") func json() {
    let value: JSONText = [
      "a": "\"\\\u{0}\n<script>&é\u{2028}", "b": nil, "c": [1, true, -5], "d": [:],
    ]
    #expect(
      String(decoding: value.bytes, as: UTF8.self)
        == #"{"a":"\"\\\u0000\u000a\u003cscript\u003e\u0026é\#u{2028}","b":null,"c":[1,true,-5],"d":{}}"#
    )
  }

  @Test(
    "times are RFC 3339 in UTC",
    arguments: [
      (0, "1970-01-01T00:00:00Z"), (951_782_399, "2000-02-28T23:59:59Z"),
      (951_782_400, "2000-02-29T00:00:00Z"), (1_709_164_800, "2024-02-29T00:00:00Z"),
      (1_735_689_599, "2024-12-31T23:59:59Z"), (4_102_444_800, "2100-01-01T00:00:00Z"),
      (4_107_542_400, "2100-03-01T00:00:00Z"), (-1, "1969-12-31T23:59:59Z"),
    ] as [(Int64, String)])
  func times(seconds: Int64, text: String) {
    #expect(Timestamp.text(UnixTime(seconds: seconds)) == text)
  }

  @Test("milliseconds keep three digits") func milliseconds() {
    #expect(Timestamp.text(milliseconds: 1_709_164_800_007) == "2024-02-29T00:00:00.007Z")
  }

  @Test("a client behind a trusted proxy is the last address that is not one") func client() {
    let addresses = ClientAddress(trusted: [CIDR("10.0.0.0/8")].compactMap { $0 })
    let rows: [(peer: String, edge: Bool, forwarded: [String], client: String)] = [
      ("10.0.0.1", false, ["203.0.113.9"], "203.0.113.9"),
      ("10.0.0.1", false, ["198.51.100.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
      ("10.0.0.1", false, ["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
      ("10.0.0.1", false, ["198.51.100.1, junk"], "10.0.0.1"),
      ("10.0.0.1", false, [], "10.0.0.1"),
      ("192.0.2.1", false, ["203.0.113.9"], "192.0.2.1"),
      ("192.0.2.1", true, ["203.0.113.9"], "192.0.2.1"),
    ]
    for row in rows {
      let request = Request(
        method: .get, path: "/", query: nil,
        fields: row.forwarded.map { ("x-forwarded-for", $0) }, body: [],
        client: IPAddress(row.peer), viaEdge: row.edge)
      #expect(addresses.resolve(request).client == IPAddress(row.client), "\(row)")
    }
  }
}

@Suite("Bodies") struct BodyTests {
  private func request(_ body: String, type: [String] = ["application/json"]) -> Request {
    Request(
      method: .post, path: "/", query: nil, fields: type.map { ("content-type", $0) },
      body: Array(body.utf8), client: nil, viaEdge: true)
  }

  @Test("null and absent are told apart where they mean different things") func change() throws {
    let absent = try RequestBody.read(request(#"{"label":"x"}"#), as: ChangeBody.self)
    #expect(absent.networks == nil)
    let null = try RequestBody.read(request(#"{"networks":null}"#), as: ChangeBody.self)
    #expect(null.networks == .some(nil))
    #expect(null.label == nil)
    let list = try RequestBody.read(request(#"{"networks":["::1"]}"#), as: ChangeBody.self)
    #expect(list.networks == .some(["::1"]))
  }

  @Test(
    "only application/json is read",
    arguments: [
      (["application/json"], true), (["Application/JSON; charset=utf-8"], true),
      (["application/json ;x"], true), (["text/plain"], false), ([], false),
      (["application/jsonp"], false), (["application/json", "text/plain"], false),
      (["multipart/form-data"], false),
    ] as [([String], Bool)])
  func mediaType(types: [String], accepted: Bool) {
    let outcome = Result { try RequestBody.read(request("{}", type: types), as: RevokeBody.self) }
    let isRead = (try? outcome.get()) != nil
    #expect(isRead == accepted)
  }

  @Test(
    "a body with two meanings is refused",
    arguments: [
      #"{"credential":"a","credential":"b"}"#, "", "{", "[]", "null", "\u{feff}{}", "{} x",
      #"{"credential":1}"#,
    ])
  func malformed(text: String) {
    #expect(throws: Refusal.bodyMalformed) {
      try RequestBody.read(request(text), as: RevokeBody.self)
    }
  }

  @Test(
    "a label is what shows, trimmed",
    arguments: [
      ("  Work  ", "Work"), ("\u{3000}x\u{a0}", "x"), ("", nil), ("   ", nil), ("a\u{0}b", nil),
      ("a\nb", nil), ("a\u{202e}b", nil), ("a\u{2028}b", nil), ("👩‍👩‍👧", "👩‍👩‍👧"),
      (String(repeating: "x", count: 100), String(repeating: "x", count: 100)),
      (String(repeating: "x", count: 101), nil), (String(repeating: " ", count: 200) + "x", "x"),
      (String(repeating: " ", count: 300) + "x", nil), ("a\u{ffff}", nil),
    ] as [(String, String?)])
  func label(text: String, expected: String?) { #expect(PlainText.admit(text) == expected) }

  @Test("tool names are bounded") func tools() throws {
    let body = try RequestBody.read(
      request(#"{"name":"x","tools":["a b"]}"#), as: CredentialBody.self)
    #expect(throws: Refusal.bodyInvalid(.tools)) { try body.admittedTools() }
    let empty = try RequestBody.read(request(#"{"name":"x","tools":[]}"#), as: CredentialBody.self)
    #expect(throws: Refusal.bodyInvalid(.tools)) { try empty.admittedTools() }
  }
}
