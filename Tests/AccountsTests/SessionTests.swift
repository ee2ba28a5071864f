// Sign-ins: who holds the cookie, and how a refresh token rotates when answers get lost or a copy
// is in other hands.

import Accounts
import Clocks
import Testing

@Suite("Sessions") struct SessionTests {
  @Test("a cookie names its person until the session ends") func cookie() async throws {
    let fixture = try Fixture()
    let (user, tokens) = try await fixture.addUser()
    let found = try await fixture.accounts.session(cookie: tokens.cookie, now: Fixture.now)
    #expect(found?.user == user)
    #expect(found?.session == tokens.session)
    let end = Fixture.now.advanced(bySeconds: SessionLife.secondsMax)
    #expect(try await fixture.accounts.session(cookie: tokens.cookie, now: end) == nil)
    #expect(
      try await fixture.accounts.session(cookie: tokens.refreshToken, now: Fixture.now) == nil)
    try await fixture.accounts.closeSession(tokens.session, now: Fixture.now)
    #expect(try await fixture.accounts.session(cookie: tokens.cookie, now: Fixture.now) == nil)
    #expect(try await fixture.accounts.session(tokens.session, now: Fixture.now) == nil)
  }

  @Test("a refresh token shown again within the grace gives the same successor") func grace()
    async throws
  {
    let fixture = try Fixture()
    let (_, tokens) = try await fixture.addUser()
    let accounts = fixture.accounts
    let first = try #require(
      try await accounts.refreshSession(tokens.refreshToken, now: Fixture.now))
    let late = Fixture.now.advanced(bySeconds: 60)
    let again = try #require(try await accounts.refreshSession(tokens.refreshToken, now: late))
    #expect(first.refreshToken == again.refreshToken)
    #expect(first.refreshToken != tokens.refreshToken)
    let next = try #require(try await accounts.refreshSession(first.refreshToken, now: late))
    #expect(next.refreshToken != first.refreshToken)
  }

  @Test("an outlived refresh token ends the session", arguments: [true, false])
  func reuse(successorUsed: Bool) async throws {
    let fixture = try Fixture()
    let (_, tokens) = try await fixture.addUser()
    let accounts = fixture.accounts
    let first = try #require(
      try await accounts.refreshSession(tokens.refreshToken, now: Fixture.now))
    var latest = first.refreshToken
    if successorUsed {
      latest = try #require(try await accounts.refreshSession(latest, now: Fixture.now))
        .refreshToken
    }
    let when = Fixture.now.advanced(bySeconds: successorUsed ? 1 : 61)
    #expect(try await accounts.refreshSession(tokens.refreshToken, now: when) == nil)
    #expect(try await accounts.refreshSession(latest, now: when) == nil)
    #expect(try await accounts.session(cookie: tokens.cookie, now: when) == nil)
  }

  @Test("64 parallel uses of one refresh token give one successor") func parallel() async throws {
    let fixture = try Fixture()
    let (_, tokens) = try await fixture.addUser()
    let accounts = fixture.accounts
    let successors = await withTaskGroup(of: String?.self) { group in
      for _ in 0..<64 {
        group.addTask {
          try? await accounts.refreshSession(tokens.refreshToken, now: Fixture.now)?.refreshToken
        }
      }
      var found: Set<String?> = []
      for await successor in group { found.insert(successor) }
      return found
    }
    #expect(successors.count == 1)
    #expect(successors.first != .some(nil))
  }

  @Test("a guess at a refresh token ends nothing", arguments: ["", "a", "AAAA", "=", "é"])
  func guess(text: String) async throws {
    let fixture = try Fixture()
    let (_, tokens) = try await fixture.addUser()
    #expect(try await fixture.accounts.refreshSession(text, now: Fixture.now) == nil)
    #expect(try await fixture.accounts.session(cookie: tokens.cookie, now: Fixture.now) != nil)
  }
}
