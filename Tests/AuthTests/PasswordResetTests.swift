// Forgotten passwords: asking tells nothing, a link works once, for its own account, for an hour, as
// long as the password stands that it was made for.

import Accounts
import Clocks
import HTTPCodec
import JOSE
import Testing

@testable import bindery_auth

@Suite("Password reset") struct PasswordResetTests {
  private static let password = "correct horse battery"
  private static let new = "another horse battery"

  private func body(_ members: [String: String]) -> String {
    "{\(members.map { "\"\($0)\":\"\($1)\"" }.joined(separator: ","))}"
  }

  private func register(_ fixture: APIFixture, _ email: String) async throws -> UserID {
    let made = await fixture.call(
      .post, "/api/auth/register", body(["email": email, "password": Self.password]))
    #expect(made.status == 201)
    let address = try #require(EmailAddress(email))
    return try #require(try await fixture.accounts.user(email: address)).user.id
  }

  private func login(_ fixture: APIFixture, _ password: String) async -> Int {
    await fixture.call(
      .post, "/api/auth/login", body(["email": "a@example.org", "password": password])
    ).status
  }

  private func forget(_ fixture: APIFixture, _ email: String) async -> APIFixture.Answer {
    await fixture.call(.post, "/api/auth/forgot-password", body(["email": email]))
  }

  private func reset(
    _ fixture: APIFixture, _ token: String, _ password: String = new
  ) async -> APIFixture.Answer {
    await fixture.call(
      .post, "/api/auth/reset-password", body(["token": token, "password": password]))
  }

  /// Waits for what is done behind the answer.
  private func mailed(_ fixture: APIFixture, _ count: Int) async -> [AccountMail] {
    let deadline = Instant.now.advanced(by: .seconds(60))
    while fixture.mails.all.count < count, Instant.now < deadline { await Task.yield() }
    return fixture.mails.all.map(\.mail)
  }

  private func token(_ fixture: APIFixture, _ user: UserID) async throws -> String? {
    try await ResetTokenCalls(users: fixture.accounts, tokens: fixture.resetTokens)
      .token(user.text, now: .now)
  }

  @Test("the whole way: asked for, mailed, used once; everybody is signed out") func way()
    async throws
  {
    let fixture = try APIFixture()
    let user = try await register(fixture, "a@example.org")
    #expect(try await token(fixture, user) == nil)
    let asked = await forget(fixture, "A@example.org")
    #expect(asked.status == 202)
    #expect(await mailed(fixture, 2) == [.newUser, .passwordReset])
    let link = try #require(try await token(fixture, user))
    let second = try #require(try await token(fixture, user))
    #expect(await reset(fixture, link).status == 200)
    #expect(await mailed(fixture, 3) == [.newUser, .passwordReset, .passwordChanged])
    #expect(try await fixture.count(fixture.bindery, "SELECT count(*) FROM sessions") == 0)
    for spent in [link, second] {
      let again = await reset(fixture, spent)
      #expect(again.status == 400)
      #expect(again.body?.string("error") == "invalid_token")
    }
    #expect(try await token(fixture, user) == nil)
    #expect(await login(fixture, Self.password) == 401)
    #expect(await login(fixture, Self.new) == 200)
  }

  @Test("8 uses of one link at once are one") func race() async throws {
    let fixture = try APIFixture()
    let user = try await register(fixture, "a@example.org")
    try await fixture.accounts.askForReset(of: user, now: .now)
    let link = try #require(try await token(fixture, user))
    let statuses = await withTaskGroup(of: Int.self) { group in
      for _ in 0..<8 { group.addTask { await reset(fixture, link).status } }
      return await group.reduce(into: [Int]()) { $0.append($1) }
    }
    #expect(statuses.filter { $0 == 200 }.count == 1)
    #expect(statuses.allSatisfy { [200, 400].contains($0) })
  }

  @Test("asking is answered alike, whoever is asked for") func alike() async throws {
    let fixture = try APIFixture()
    _ = try await register(fixture, "a@example.org")
    let known = await forget(fixture, "a@example.org")
    for email in ["nobody@example.org", "no address", "", String(repeating: "a", count: 300)] {
      let other = await forget(fixture, email)
      #expect(other.status == 202)
      #expect(other.response.body == known.response.body)
      #expect(other.response.fields.map(\.name) == known.response.fields.map(\.name))
    }
    #expect(await mailed(fixture, 2) == [.newUser, .passwordReset])
  }

  @Test("an account gets three mails an hour from one network, and the answer stays") func few()
    async throws
  {
    let fixture = try APIFixture()
    _ = try await register(fixture, "a@example.org")
    for _ in 0..<6 { #expect(await forget(fixture, "a@example.org").status == 202) }
    _ = await mailed(fixture, 4)
    _ = await forget(fixture, "nobody@example.org")
    #expect(fixture.mails.all.filter { $0.mail == .passwordReset }.count == 3)
  }

  @Test("tokens of other kinds, times, people and passwords open nothing") func foreign()
    async throws
  {
    let fixture = try APIFixture()
    let user = try await register(fixture, "a@example.org")
    let other = try await register(fixture, "b@example.org")
    let session = await fixture.call(
      .post, "/api/auth/login", body(["email": "a@example.org", "password": Self.password]))
    let access = try #require(session.body?.string("access_token"))
    let refresh = try #require(session.body?.string("refresh_token"))
    let tokens = fixture.resetTokens
    let mine = try #require(try await fixture.accounts.password(of: user)).password
    let hers = try #require(try await fixture.accounts.password(of: other)).password
    let now = UnixTime.now
    let late = now.advanced(bySeconds: -1)
    let forger = ResetTokens(
      keys: CurrentSigningKeys(try SigningKeys(file: SigningKeys.generateFile())),
      issuer: APIFixture.origin)
    let elsewhere = ResetTokens(keys: fixture.signingKeys, issuer: "https://other.example")
    let end = now.advanced(bySeconds: 3600)
    let good = tokens.make(for: user, password: mine, until: end, now: now)
    for bad in [
      "", "a.b.c", access, refresh, good + "x", String(good.dropLast()),
      tokens.make(for: user, password: hers, until: end, now: now),
      tokens.make(for: .random(), password: mine, until: end, now: now),
      tokens.make(for: user, password: mine, until: late, now: now.advanced(bySeconds: -3600)),
      forger.make(for: user, password: mine, until: end, now: now),
      elsewhere.make(for: user, password: mine, until: end, now: now),
    ] {
      #expect(await reset(fixture, bad).status == 400)
    }
    // And a link signs nobody in.
    let me = await fixture.call(.get, "/api/me", nil, [("authorization", "Bearer \(good)")])
    #expect(me.status == 401)
    #expect(await reset(fixture, good, "short").status == 400)
    #expect(await reset(fixture, good).status == 200)
    #expect(await login(fixture, Self.new) == 200)
  }

  @Test("a page of somebody else's can do neither; switched off, nobody can") func refused()
    async throws
  {
    let fixture = try APIFixture()
    let foreign = [(name: "origin", value: "https://attacker.example")]
    for path in ["forgot-password", "reset-password"] {
      #expect(await fixture.call(.post, "/api/auth/\(path)", "{}", foreign).status == 403)
      #expect(await fixture.call(.post, "/api/auth/\(path)", "{}").status == 400)
      #expect(await fixture.call(.post, "/api/auth/\(path)").status == 415)
    }
    let off = try APIFixture(
      ["AUTH_LOCAL_ACCOUNTS": "false"].merging(ScriptedClerk.settings) { $1 })
    for path in ["forgot-password", "reset-password"] {
      #expect(await off.call(.post, "/api/auth/\(path)", "{}").status == 403)
    }
  }
}

@Suite("Signing in") struct SigningInTests {
  @Test("a hash with other parameters is upgraded, and parallel sign-ins all succeed")
  func upgrade() async throws {
    let fixture = try APIFixture()
    let email = try #require(EmailAddress("a@example.org"))
    let salt = [UInt8](repeating: 1, count: 16)
    guard let secret = PasswordRules.admitNew("correct horse battery") else {
      Issue.record("a good password is refused")
      return
    }
    let old = PasswordHash.make(secret, salt: salt, n: 1024, r: 8, p: 1)
    let added = try await fixture.accounts.addUser(
      email: email, password: old, usersMax: nil, now: .now)
    let body = #"{"email":"a@example.org","password":"correct horse battery"}"#
    let statuses = await withTaskGroup(of: Int.self) { group in
      for _ in 0..<4 {
        group.addTask { await fixture.call(.post, "/api/auth/login", body).status }
      }
      return await group.reduce(into: [Int]()) { $0.append($1) }
    }
    #expect(statuses == [200, 200, 200, 200])
    let stored = try #require(try await fixture.accounts.password(of: added.user.id)).password
    #expect(!PasswordHash.isOutdated(stored))
    #expect(stored.salt != salt)
    #expect(await fixture.call(.post, "/api/auth/login", body).status == 200)
  }

  @Test("failures are noted, of an account or of none, and not what was typed") func noted()
    async throws
  {
    let fixture = try APIFixture()
    let (user, _) = try await fixture.person("a@example.org")
    for email in ["a@example.org", "nobody@example.org"] {
      let body = #"{"email":"\#(email)","password":"canary canary"}"#
      #expect(await fixture.call(.post, "/api/auth/login", body).status == 401)
    }
    #expect(
      try await fixture.count(
        fixture.bindery,
        "SELECT count(*) FROM audit_log WHERE event = 'sign_in_failed' AND about = ''") == 2)
    #expect(
      try await fixture.count(
        fixture.bindery,
        """
        SELECT count(*) FROM audit_log AS l JOIN audit_subjects AS s USING (subject)
        WHERE event = 'sign_in_failed'
        """) == 1)
    _ = user
  }
}
