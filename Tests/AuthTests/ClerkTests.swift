// Tokens of Clerk are believed when everything about them is right, and nobody else's are. Its keys are
// fetched as seldom as that allows.

import Clocks
import HTTPClient
import HTTPCodec
import JOSE
import Logging
import Synchronization
import Testing

@testable import bindery_auth

@Suite("Clerk") struct ClerkTests {
  private func start(
    _ clerk: ScriptedClerk, _ change: [String: String] = [:]
  ) throws -> APIFixture {
    let fixture = try APIFixture(ScriptedClerk.settings.merging(change) { $1 })
    fixture.web.set(ScriptedClerk.keySet, json: #"{"keys":[\#(clerk.jwk)]}"#)
    return fixture
  }

  private func bearer(_ token: String) -> [(name: String, value: String)] {
    [("authorization", "Bearer \(token)")]
  }

  @Test("the first call makes the account, and all later ones are the same person")
  func person() async throws {
    let clerk = try ScriptedClerk()
    let fixture = try start(clerk)
    let first = await fixture.call(.get, "/api/me", nil, bearer(clerk.token()))
    #expect(first.status == 200)
    #expect(first.body?.string("email") == "c@example.org")
    let second = await fixture.call(
      .get, "/api/me", nil, bearer(clerk.token(["email": "\"d@example.org\"", "sts": nil])))
    #expect(second.body?.string("id") == first.body?.string("id"))
    #expect(second.body?.string("email") == "d@example.org")
    let other = await fixture.call(
      .get, "/api/me", nil, bearer(clerk.token(["sub": "\"user_2\"", "email": nil])))
    #expect(other.status == 200)
    #expect(other.body?.string("id") != first.body?.string("id"))
    #expect(other.body?.string("email") == "")
    #expect(fixture.mails.all.map(\.mail) == [.newUser, .newUser])
    #expect(fixture.web.asked(ScriptedClerk.keySet).count == 1)
    // Their sessions are Clerk's: there is none of ours to end.
    #expect(
      await fixture.call(.post, "/api/auth/logout", nil, bearer(clerk.token())).status == 200)
    #expect(try await fixture.count(fixture.bindery, "SELECT count(*) FROM sessions") == 0)
  }

  private static let now = UnixTime.now.seconds

  @Test(
    "a claim that is wrong, missing or too old is refused",
    arguments: [
      ["iss": "\"https://clerk.example/\""], ["iss": "\"https://other.example\""], ["iss": nil],
      ["azp": "\"https://attacker.example\""], ["azp": "5"], ["azp": "null"],
      ["aud": "\"https://attacker.example\""], ["aud": "[\"\(APIFixture.origin)\"]"],
      ["exp": nil], ["exp": "\(now - 31)"], ["exp": "\"\(now + 60)\""], ["exp": "\(now + 60).5"],
      ["exp": "\(now + 90_000)"], ["exp": "-1"],
      ["iat": nil], ["iat": "\(now + 3600)", "exp": "\(now + 3700)"],
      ["nbf": "\(now + 3600)"], ["nbf": "\"0\""],
      ["sub": nil], ["sub": "\"\""], ["sub": "\"a/b\""], ["sub": "\"a b\""], ["sub": "7"],
      ["sts": "\"pending\""], ["sts": "true"],
    ] as [[String: String?]])
  func claims(change: [String: String?]) async throws {
    let clerk = try ScriptedClerk()
    let fixture = try start(clerk)
    let answer = await fixture.call(.get, "/api/me", nil, bearer(clerk.token(change)))
    #expect(answer.status == 401)
    #expect(try await fixture.count(fixture.bindery, "SELECT count(*) FROM users") == 0)
  }

  @Test(
    "a claim that need not be there may be missing, or be right",
    arguments: [
      ["azp": nil], ["nbf": nil], ["azp": "\"\(APIFixture.origin)\""],
      ["aud": "\"\(APIFixture.origin)\""],
      ["email": "\"no address\""], ["email": "5"],
    ] as [[String: String?]])
  func optional(change: [String: String?]) async throws {
    let clerk = try ScriptedClerk()
    let fixture = try start(clerk)
    #expect(await fixture.call(.get, "/api/me", nil, bearer(clerk.token(change))).status == 200)
  }

  @Test(
    "a header that is not Clerk's is refused",
    arguments: [
      #"{"alg":"none","kid":"ins_1","typ":"JWT"}"#, #"{"alg":"HS256","kid":"ins_1","typ":"JWT"}"#,
      #"{"alg":"RS512","kid":"ins_1","typ":"JWT"}"#, #"{"alg":"PS256","kid":"ins_1"}"#,
      #"{"alg":"RS256","typ":"JWT"}"#, #"{"alg":"RS256","kid":"ins_2","typ":"JWT"}"#,
      #"{"alg":"RS256","kid":"ins_1","typ":"at+jwt"}"#,
      #"{"alg":"RS256","kid":"ins_1","typ":"bindery-session+jwt"}"#,
      #"{"alg":"RS256","kid":"ins_1","jku":"https://attacker.example/"}"#,
      #"{"alg":"RS256","kid":"ins_1","crit":["b64"],"b64":false}"#,
      #"{"alg":"RS256","kid":"ins_1","kid":"ins_1"}"#,
    ])
  func headers(header: String) async throws {
    let clerk = try ScriptedClerk()
    let fixture = try start(clerk)
    let answer = await fixture.call(.get, "/api/me", nil, bearer(clerk.token(header: header)))
    #expect(answer.status == 401)
  }

  @Test("a foreign key of the same name, and a short key, are refused") func keys() async throws {
    let clerk = try ScriptedClerk()
    let fixture = try start(clerk)
    let forger = try ScriptedClerk()
    #expect(await fixture.call(.get, "/api/me", nil, bearer(forger.token())).status == 401)
    let short = try ScriptedClerk(bits: 1024)
    let second = try start(short)
    #expect(await second.call(.get, "/api/me", nil, bearer(short.token())).status == 401)
  }

  @Test("MAX_USERS holds for people of Clerk, too") func usersMax() async throws {
    let clerk = try ScriptedClerk()
    let fixture = try start(clerk, ["MAX_USERS": "1"])
    #expect(await fixture.call(.get, "/api/me", nil, bearer(clerk.token())).status == 200)
    let refused = await fixture.call(
      .get, "/api/me", nil, bearer(clerk.token(["sub": "\"user_2\""])))
    #expect(refused.status == 403)
    #expect(refused.body?.string("error") == "max_users_reached")
    #expect(await fixture.call(.get, "/api/me", nil, bearer(clerk.token())).status == 200)
  }

  @Test("without keys nobody is judged; junk is refused without asking for any")
  func unreachable() async throws {
    let clerk = try ScriptedClerk()
    let fixture = try start(clerk)
    fixture.web.set(ScriptedClerk.keySet, json: "{}", status: 500)
    #expect(await fixture.call(.get, "/api/me", nil, bearer("a.b.c")).status == 401)
    #expect(fixture.web.asked(ScriptedClerk.keySet).isEmpty)
    let answer = await fixture.call(.get, "/api/me", nil, bearer(clerk.token()))
    #expect(answer.status == 503)
    #expect(answer.field("retry-after") == "1")
    #expect(!fixture.web.asked(ScriptedClerk.keySet).isEmpty)
  }

  @Test("deleting an account deletes the person at Clerk; gone there is good")
  func deletion() async throws {
    let clerk = try ScriptedClerk()
    for (status, warnings) in [(200, false), (404, false), (500, true), (401, true)] {
      let fixture = try start(clerk)
      let url = "https://api.clerk.example/v1/users/user_1"
      fixture.web.set(url, json: "{}", status: status)
      let token = bearer(clerk.token())
      let answer = await fixture.call(.delete, "/api/account", nil, token)
      #expect(answer.status == 200)
      #expect((answer.body?["warnings"] == .strings(["clerk_account_kept"])) == warnings)
      #expect(fixture.web.asked(url).count == 1)
      #expect(await fixture.call(.get, "/api/me", nil, token).status == 401)
      #expect(try await fixture.count(fixture.bindery, "SELECT count(*) FROM users") == 0)
    }
  }
}

/// A clock that stands until it is moved.
private final class Hands: Sendable {
  private let at = Mutex(Instant(nanoseconds: 1_000_000_000_000))
  var now: Instant { at.withLock { $0 } }
  func move(_ time: Duration) { at.withLock { $0 = $0.advanced(by: time) } }
}

@Suite("Clerk's keys") struct ClerkKeysTests {
  private let web = ScriptedProvider()
  private let hands = Hands()
  private let keys: ClerkKeys

  init() throws {
    keys = ClerkKeys(
      url: try #require(WebURL(ScriptedClerk.keySet)), fetching: web, log: .discarding,
      now: { [hands] in hands.now })
  }

  private func publish(_ clerks: ScriptedClerk...) {
    web.set(
      ScriptedClerk.keySet, json: #"{"keys":[\#(clerks.map(\.jwk).joined(separator: ","))]}"#)
  }

  private var fetches: Int { web.asked(ScriptedClerk.keySet).count }

  private func finds(_ keyID: String) async -> String {
    switch await keys.find(keyID) {
    case .key: "key"
    case .unknown: "unknown"
    case .unreachable: "unreachable"
    }
  }

  @Test("64 first callers make one fetch") func once() async throws {
    publish(try ScriptedClerk())
    await withTaskGroup(of: String.self) { group in
      for _ in 0..<64 { group.addTask { await finds("ins_1") } }
      for await found in group { #expect(found == "key") }
    }
    #expect(fetches == 1)
  }

  @Test("an unknown name makes one fetch in half a minute, and finds a new key") func unknown()
    async throws
  {
    let (old, new) = (try ScriptedClerk(), try ScriptedClerk(keyID: "ins_2"))
    publish(old)
    #expect(await finds("ins_1") == "key")
    for number in 0..<20 { #expect(await finds("x\(number)") == "unknown") }
    #expect(fetches == 1)
    publish(old, new)
    hands.move(.seconds(29))
    #expect(await finds("ins_2") == "unknown")
    hands.move(.seconds(1))
    #expect(await finds("ins_2") == "key")
    #expect(fetches == 2)
  }

  @Test("old keys are used while a newer set is fetched, and go with it") func refresh()
    async throws
  {
    publish(try ScriptedClerk())
    #expect(await finds("ins_1") == "key")
    publish(try ScriptedClerk(keyID: "ins_2"))
    hands.move(ClerkKeys.freshFor)
    #expect(await finds("ins_1") == "key")
    let deadline = Instant.now.advanced(by: .seconds(60))
    while await finds("ins_1") == "key", Instant.now < deadline { await Task.yield() }
    #expect(await finds("ins_1") == "unknown")
    #expect(fetches == 2)
  }

  @Test("what is known holds for a day when Clerk is away, and no longer") func stale()
    async throws
  {
    publish(try ScriptedClerk())
    #expect(await finds("ins_1") == "key")
    web.set(ScriptedClerk.keySet, json: "<html>", status: 200)
    hands.move(ClerkKeys.goodFor - .seconds(1))
    #expect(await finds("ins_1") == "key")
    hands.move(.seconds(40))
    // The first of these may have waited for the fetch that began before, the second has its own.
    for _ in 0..<2 { #expect(await finds("ins_1") == "unreachable") }
    publish(try ScriptedClerk())
    #expect(await finds("ins_1") == "unreachable")
    hands.move(.seconds(30))
    #expect(await finds("ins_1") == "key")
  }
}
