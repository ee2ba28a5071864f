// A person on the way to a provider and back, for tests: what their browser holds, what it asks, and
// what is there in the end.

import Accounts
import Bytes
import Database
import FoundationEssentials
import HTTPCodec
import Testing
import Vault

@testable import bindery_auth

/// One authorization as the person's browser sees it.
struct ConnectJourney {
  let fixture: APIFixture
  /// The parameters of the address that the person was sent to.
  let sent: Form
  let address: String
  /// The cookie that came with the answer, as it goes back.
  let cookie: (name: String, value: String)
  let cookieField: String

  var state: String { sent.only("state") ?? "" }

  /// Begins a connection.
  init(
    _ fixture: APIFixture, _ person: [(name: String, value: String)], _ body: String? = nil,
    service: String = "beta"
  ) async throws {
    let answer = await fixture.call(
      .post, "/api/connections/\(service)/authorize", body, person)
    try #require(answer.status == 200, "\(String(decoding: answer.response.body, as: UTF8.self))")
    self.fixture = fixture
    address = try #require(answer.body?.string("url"))
    let query = try #require(address.split(separator: "?", maxSplits: 1).last)
    sent = try Form(parsing: String(query))
    cookieField = try #require(answer.field("set-cookie"))
    cookie = ("cookie", String(cookieField.prefix { $0 != ";" }))
  }

  /// Comes back, by default with a code and in the same browser.
  func back(
    _ query: String = "code=c1", state: String? = nil, cookie: (name: String, value: String)? = nil,
    method: HTTPCodec.Method = .get
  ) async -> APIFixture.Answer {
    await fixture.call(
      method, "/api/connections/callback", nil, [cookie ?? self.cookie],
      query: "\(query)&state=\(state ?? self.state)")
  }

  /// Comes back with a code; gives the claim token.
  func claim() async throws -> String {
    let answer = await back()
    #expect(answer.status == 302)
    let location = try #require(answer.field("location"))
    try #require(location.contains("?claim="), "\(location)")
    return String(location.suffix(43))
  }
}

/// What a claim shows.
struct ShownClaim: Decodable {
  struct Connection: Decodable {
    let id: String
    let label: String
    let authType: String
    let keyStorageMode: String
    let expiresAt: String?
  }
  let connection: Connection
  let secretUrl: String
  let apiKey: String

  init(_ answer: APIFixture.Answer) throws {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    self = try decoder.decode(ShownClaim.self, from: Data(answer.response.body))
  }
}

extension APIFixture {
  /// Connects a service by OAuth, all the way.
  func connect(
    _ person: [(name: String, value: String)], _ body: String? = nil
  ) async throws -> ShownClaim {
    let token = try await ConnectJourney(self, person, body).claim()
    let answer = await call(
      .get, "/api/connections/claim", nil, person, query: "token=\(token)")
    try #require(answer.status == 200)
    return try ShownClaim(answer)
  }

  /// Rows that a connection consists of, blobs too.
  func remains() async throws -> [Int64] {
    [
      try await count(bindery, "SELECT count(*) FROM connections WHERE revoked_at IS NULL"),
      try await count(bindery, "SELECT count(*) FROM pending_authorizations"),
      try await count(bindery, "SELECT count(*) FROM claims"),
      try await count(tokens, "SELECT count(*) FROM token_blobs"),
    ]
  }

  /// What the credential in `secretURL` opens: the token set in the connection's blob.
  func grant(of connection: String, _ secretURL: String) async throws -> OAuthGrant? {
    let presented = try #require(keys.present(secretURL))
    let id = try #require(ConnectionID(connection))
    let owner = try await bindery.run { (database) throws(DatabaseError) in
      try database.first("SELECT user_id FROM connections WHERE id = ?", .text(connection)) {
        (row) throws(DatabaseError) in try row.text(0)
      }
    }
    let user = try #require(owner.flatMap { UserID($0) })
    let found = try #require(
      try await accounts.credentialWrap(
        lookup: presented.lookup, of: id, user: user, now: .now))
    let text = try keys.revealDataKey(
      .credential(id: found.id, wrap: found.wrap, secret: presented), connection: id, owner: user)
    guard let key = DataKey(base64URL: text) else { throw SealError.refused }
    let blob = try await tokens.run { (database) throws(DatabaseError) in
      try TokenStore(database).blob(of: connection)
    }
    let stored = try #require(blob)
    var grant: OAuthGrant?
    try stored.sealed.withUnsafeBytes { bytes in
      try SealEngine().open(
        bytes, under: key,
        context: .tokenBlob(connection: connection, owner: user.text, generation: 1)
      ) { (plain) throws(SealError) in grant = OAuthGrant(tokenSet: plain) }
    }
    return grant
  }
}
