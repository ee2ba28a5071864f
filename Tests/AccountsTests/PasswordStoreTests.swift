// What happens to a password: it opens a session only as long as it is the stored one, it is set anew
// once for one reading of it, and everybody is signed out then.

import Accounts
import Clocks
import Testing

@Suite("Passwords in the store") struct PasswordStoreTests {
  private let new = StoredPassword(
    costN: 4, costR: 1, costP: 1, salt: [UInt8](repeating: 3, count: 16),
    hash: [UInt8](repeating: 4, count: 32))
  private let now = Fixture.now

  @Test("signing in upgrades a hash once, and goes on with either that was read") func upgrade()
    async throws
  {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    let accounts = fixture.accounts
    let first = try await accounts.signIn(
      user.id, password: Fixture.password, upgrade: new, now: now)
    #expect(first != nil)
    let stored = try #require(try await accounts.password(of: user.id))
    #expect(stored.user == user)
    #expect(stored.password == new)
    let late = try await accounts.signIn(
      user.id, password: Fixture.password, upgrade: new, now: now)
    #expect(late == nil)
    #expect(try await accounts.signIn(user.id, password: new, upgrade: nil, now: now) != nil)
  }

  @Test("a reset holds once, ends every sign-in, and leaves other people alone") func reset()
    async throws
  {
    let fixture = try Fixture()
    let accounts = fixture.accounts
    let (user, tokens) = try await fixture.addUser()
    let (_, foreign) = try await fixture.addUser("b@example.org")
    try await accounts.askForReset(of: user.id, now: now)
    #expect(
      try await accounts.resetPassword(of: user.id, old: Fixture.password, new: new, now: now))
    let again = try await accounts.resetPassword(
      of: user.id, old: Fixture.password, new: new, now: now)
    #expect(!again)
    #expect(try await accounts.session(cookie: tokens.cookie, now: now) == nil)
    #expect(try await accounts.refreshSession(tokens.refreshToken, now: now) == nil)
    #expect(try await accounts.session(cookie: foreign.cookie, now: now) != nil)
    #expect(try await accounts.resetAsked(of: user.id, now: now) == nil)
  }

  @Test("a link is made for an hour after somebody asked, and for nobody else") func asked()
    async throws
  {
    let fixture = try Fixture()
    let accounts = fixture.accounts
    let (user, _) = try await fixture.addUser()
    #expect(try await accounts.resetAsked(of: user.id, now: now) == nil)
    try await accounts.askForReset(of: user.id, now: now)
    let asked = try #require(
      try await accounts.resetAsked(of: user.id, now: now.advanced(bySeconds: 3599)))
    #expect(asked.password == Fixture.password)
    #expect(asked.until == now.advanced(bySeconds: 3600))
    let late = now.advanced(bySeconds: 3600)
    #expect(try await accounts.resetAsked(of: user.id, now: late) == nil)
    try await accounts.askForReset(of: user.id, now: late)
    #expect(try await accounts.resetAsked(of: user.id, now: late) != nil)
  }
}

@Suite("People of Clerk") struct ClerkStoreTests {
  private let now = Fixture.now

  @Test("the first call makes the account, however many come at once") func once() async throws {
    let fixture = try Fixture()
    let email = EmailAddress("c@example.org")
    let found = try await withThrowingTaskGroup(of: (User, Bool)?.self) { group in
      for _ in 0..<32 {
        group.addTask {
          let found = try await fixture.accounts.clerkUser(
            "user_1", email: email, issuedAt: Fixture.now, usersMax: 1, now: Fixture.now)
          return found.map { ($0.user, $0.isNew) }
        }
      }
      var all: [(User, Bool)] = []
      for try await one in group { if let one { all.append(one) } }
      return all
    }
    #expect(found.count == 32)
    #expect(Set(found.map(\.0.id)).count == 1)
    #expect(found.filter(\.1).count == 1)
    let other = try await fixture.accounts.clerkSubject(of: found[0].0.id)
    #expect(other == "user_1")
  }

  @Test("the address follows Clerk's, and never leads to an account of ours") func email()
    async throws
  {
    let fixture = try Fixture()
    let accounts = fixture.accounts
    let (local, _) = try await fixture.addUser("c@example.org")
    let address = try #require(EmailAddress("c@example.org"))
    let made = try await accounts.clerkUser(
      "user_1", email: address, issuedAt: now, usersMax: nil, now: now)
    let user = try #require(made?.user)
    #expect(user.id != local.id)
    #expect(user.email == "c@example.org")
    #expect(try await accounts.user(email: address)?.user.id == local.id)
    #expect(try await accounts.password(of: user.id) == nil)
    let changed = try await accounts.clerkUser(
      "user_1", email: EmailAddress("d@example.org"), issuedAt: now, usersMax: nil, now: now)
    #expect(changed?.user.email == "d@example.org")
    #expect(changed?.isNew == false)
    let silent = try await accounts.clerkUser(
      "user_1", email: nil, issuedAt: now, usersMax: nil, now: now)
    #expect(silent?.user.email == "d@example.org")
  }

  @Test("MAX_USERS refuses somebody new and nobody known") func usersMax() async throws {
    let fixture = try Fixture()
    _ = try await fixture.addUser()
    await #expect(throws: AccountError.usersMaxReached) {
      _ = try await fixture.accounts.clerkUser(
        "user_1", email: nil, issuedAt: Fixture.now, usersMax: 1, now: Fixture.now)
    }
    _ = try await fixture.accounts.clerkUser(
      "user_1", email: nil, issuedAt: now, usersMax: 2, now: now)
    let known = try await fixture.accounts.clerkUser(
      "user_1", email: nil, issuedAt: now, usersMax: 1, now: now)
    #expect(known?.isNew == false)
  }

  @Test("a token from before a deletion makes no account, a later one does") func farewell()
    async throws
  {
    let fixture = try Fixture()
    let accounts = fixture.accounts
    let made = try await accounts.clerkUser(
      "user_1", email: nil, issuedAt: now, usersMax: nil, now: now)
    let user = try #require(made?.user)
    let end = now.advanced(bySeconds: 10)
    let erased = try await accounts.eraseAccount(user.id, now: end)
    #expect(erased.connections.isEmpty)
    #expect(erased.clerkSubject == "user_1")
    let old = try await accounts.clerkUser(
      "user_1", email: nil, issuedAt: end, usersMax: nil, now: end)
    #expect(old == nil)
    let later = end.advanced(bySeconds: 1)
    let new = try await accounts.clerkUser(
      "user_1", email: nil, issuedAt: later, usersMax: nil, now: later)
    #expect(new?.isNew == true)
    #expect(new?.user.id != user.id)
  }
}
