// What connecting by OAuth keeps between two requests: taken once, in time, by whom it belongs to;
// and what a revocation keeps until the provider was told.

import Accounts
import Clocks
import Database
import JOSE
import Testing
import Vault

@Suite("Connect stores") struct ConnectStoreTests {
  static let now = Fixture.now

  private func key(_ state: Ticket, _ browser: Ticket) -> AuthorizationKey {
    AuthorizationKey(state: state.hash(for: .state), browser: browser.hash(for: .browser))
  }

  private func pending(_ user: User, replaces: ConnectionID? = nil) -> PendingAuthorization {
    PendingAuthorization(
      userID: user.id, service: "linear", keyStorageMode: .managed, replaces: replaces,
      returnTo: "https://a.example/dashboard", sealed: [UInt8](repeating: 5, count: 314))
  }

  private func later(_ seconds: Int64) -> UnixTime { Self.now.advanced(bySeconds: seconds) }

  @Test("of a hundred takers of one authorization one gets it") func once() async throws {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    let key = key(Ticket(), Ticket())
    let kept = pending(user, replaces: .random())
    try await fixture.accounts.addAuthorization(kept, key: key, now: Self.now)
    let accounts = fixture.accounts
    let taken = try await withThrowingTaskGroup(of: PendingAuthorization?.self) { group in
      for _ in 0..<100 {
        group.addTask { try await accounts.takeAuthorization(key, now: Self.now) }
      }
      var taken: [PendingAuthorization] = []
      for try await one in group { if let one { taken.append(one) } }
      return taken
    }
    #expect(taken == [kept])
  }

  @Test("an authorization is for its browser, and stays for it") func browser() async throws {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    let (state, browser) = (Ticket(), Ticket())
    try await fixture.accounts.addAuthorization(
      pending(user), key: key(state, browser), now: Self.now)
    let wrong = [
      key(state, Ticket()), key(Ticket(), browser),
      AuthorizationKey(state: browser.hash(for: .state), browser: state.hash(for: .browser)),
      AuthorizationKey(state: state.hash(for: .claim), browser: browser.hash(for: .browser)),
    ]
    for wrong in wrong {
      #expect(try await fixture.accounts.takeAuthorization(wrong, now: Self.now) == nil)
    }
    #expect(
      try await fixture.accounts.takeAuthorization(key(state, browser), now: later(599)) != nil)
  }

  @Test("after ten minutes an authorization is gone, whoever asks") func expiry() async throws {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    let key = key(Ticket(), Ticket())
    try await fixture.accounts.addAuthorization(pending(user), key: key, now: Self.now)
    #expect(try await fixture.accounts.takeAuthorization(key, now: later(600)) == nil)
    #expect(try await fixture.accounts.takeAuthorization(key, now: Self.now) == nil)
  }

  @Test("a person has a hundred authorizations under way, until some end") func bound()
    async throws
  {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    for _ in 0..<100 {
      try await fixture.accounts.addAuthorization(
        pending(user), key: key(Ticket(), Ticket()), now: Self.now)
    }
    await #expect(throws: AccountError.tooMany) {
      try await fixture.accounts.addAuthorization(
        pending(user), key: key(Ticket(), Ticket()), now: later(599))
    }
    try await fixture.accounts.addAuthorization(
      pending(user), key: key(Ticket(), Ticket()), now: later(600))
  }

  @Test("a claim is its owner's, once, for five minutes") func claims() async throws {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    let (stranger, _) = try await fixture.addUser("b@example.org")
    let token = Ticket().hash(for: .claim)
    let made = try await fixture.connect(user, claim: token)
    let accounts = fixture.accounts
    await #expect(throws: AccountError.notOwner) {
      _ = try await accounts.takeClaim(token, of: stranger.id, now: later(1))
    }
    await #expect(throws: AccountError.notFound) {
      _ = try await accounts.takeClaim(
        Ticket().hash(for: .claim), of: user.id, now: later(1))
    }
    let claimed = try await accounts.takeClaim(token, of: user.id, now: later(299))
    #expect(claimed.connection == made.connection)
    #expect(claimed.sealed == [UInt8](repeating: 9, count: 570))
    await #expect(throws: AccountError.notFound) {
      _ = try await accounts.takeClaim(token, of: user.id, now: later(299))
    }
    let late = Ticket().hash(for: .claim)
    _ = try await fixture.connect(user, claim: late)
    await #expect(throws: AccountError.notFound) {
      _ = try await accounts.takeClaim(late, of: user.id, now: later(300))
    }
  }

  @Test("one that replaces another stands in its place, and the other is gone") func replacing()
    async throws
  {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    let (old, _) = try await fixture.addConnection(of: user, label: "Work")
    let policy = NetworkPolicy(entries: ["2001:db8::/32"])
    _ = try await fixture.accounts.changeConnection(
      old.id, of: user.id, label: nil, networks: .some(policy), now: Self.now)
    let made = try await fixture.connect(user, replacing: old.id, at: later(50))
    #expect(made.replaced == .silent)
    let all = try await fixture.accounts.connections(of: user.id)
    #expect(all == [made.connection])
    #expect(all[0].label == "Work")
    #expect(all[0].networks == policy)
    #expect(all[0].createdAt == old.createdAt)
    let accounts = fixture.accounts
    await #expect(throws: AccountError.notFound) {
      _ = try await fixture.connect(user, replacing: old.id)
    }
    #expect(try await accounts.connections(of: user.id) == [made.connection])
    let (stranger, _) = try await fixture.addUser("b@example.org")
    await #expect(throws: AccountError.notFound) {
      _ = try await fixture.connect(stranger, replacing: made.connection.id)
    }
    #expect(try await accounts.connections(of: user.id) == [made.connection])
  }

  @Test("at the limit one may replace, not add") func limit() async throws {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    let (old, _) = try await fixture.addConnection(of: user)
    let id = user.id.text
    try await fixture.thread.run { (database) throws(DatabaseError) in
      try database.execute(
        """
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)
        INSERT INTO connections (id, user_id, service, label, status, auth_type, key_storage_mode,
          created_at) SELECT printf('00000000-0000-4000-8000-%012d', i), ?, 'x', 'x', 'active',
          'api_key', 'zero_knowledge', 1 FROM n
        """, .text(id))
    }
    await #expect(throws: AccountError.tooMany) { _ = try await fixture.connect(user) }
    _ = try await fixture.connect(user, replacing: old.id)
    #expect(try await fixture.accounts.connections(of: user.id).count == 10_000)
  }

  @Test("a registration is found, replaced, and dropped by the client it is of")
  func registrations() async throws {
    let fixture = try Fixture()
    let accounts = fixture.accounts
    let place = RegistrationPlace(issuer: "https://a.example", redirectURI: "https://b.example/c")
    let first = StoredRegistration(
      clientID: "one", authentication: "none", secret: nil, managementURI: nil, expiresAt: nil)
    let second = StoredRegistration(
      clientID: "two", authentication: "post",
      secret: ManagedWrap(
        sealed: [UInt8](repeating: 1, count: 314), fingerprint: "0123456789abcdef"),
      managementURI: "https://a.example/r/two", expiresAt: later(100))
    #expect(try await accounts.registration(at: place) == nil)
    try await accounts.keepRegistration(first, at: place, now: Self.now)
    try await accounts.keepRegistration(second, at: place, now: Self.now)
    try await accounts.dropRegistration(of: "one", at: place)
    #expect(try await accounts.registration(at: place) == second)
    try await accounts.forgetExpired(now: later(100))
    #expect(try await accounts.registration(at: place) == nil)
    try await accounts.keepRegistration(first, at: place, now: Self.now)
    try await accounts.dropRegistration(of: "one", at: place)
    #expect(try await accounts.registration(at: place) == nil)
  }
}

@Suite("Parting") struct PartingTests {
  static let now = Fixture.now

  private func presence(
    _ fixture: Fixture, _ id: ConnectionID
  ) async throws -> ConnectionPresence {
    try await fixture.thread.run { (database) throws(DatabaseError) in
      try ConnectionPresence.of(id.text, in: database)
    }
  }

  private func parted(
    _ fixture: Fixture, _ lookup: [UInt8]
  ) async throws -> PartedCredential? {
    let digest = try #require(Digest256(lookup))
    return try await fixture.thread.run { (database) throws(AccountError) in
      try PartedCredential.find(digest, in: database)
    }
  }

  private func state(_ fixture: Fixture, _ id: ConnectionID) async throws -> PartingState? {
    try await fixture.thread.run { (database) throws(DatabaseError) in
      try PartedCredential.state(of: id.text, in: database)
    }
  }

  @Test("a managed connection keeps its wrap until its provider was told") func managed()
    async throws
  {
    let fixture = try Fixture()
    let accounts = fixture.accounts
    let (user, _) = try await fixture.addUser()
    let lookup = SHA256Digest.of("m")
    let made = try await fixture.connect(user, managed: true, lookup: lookup).connection
    let live = try #require(try await accounts.openableWrap(of: made.id))
    #expect(live.owner == user.id)
    #expect(try await presence(fixture, made.id) == .live)
    let parting = try await accounts.revokeConnection(made.id, of: user.id, now: Self.now)
    #expect(parting == .pending(live.wrap))
    #expect(try await presence(fixture, made.id) == .parting(since: Self.now))
    #expect(try await accounts.openableWrap(of: made.id)?.wrap == live.wrap)
    #expect(try await parted(fixture, lookup) == nil)
    let waiting = try await fixture.thread.run { (database) throws(AccountError) in
      try PartedConnection.after(.start, limit: 10, in: database)
    }
    #expect(waiting.map(\.connection) == [made.id])
    #expect(waiting.map(\.service) == [made.service])
    try await accounts.settleParting(of: made.id, as: .pending, now: Self.now)
    #expect(try await presence(fixture, made.id) == .parting(since: Self.now))
    #expect(try await state(fixture, made.id) == .pending)
    try await accounts.settleParting(of: made.id, as: .revoked, now: Self.now)
    #expect(try await state(fixture, made.id) == .revoked)
    #expect(try await presence(fixture, made.id) == .revoked)
    #expect(try await accounts.openableWrap(of: made.id) == nil)
  }

  @Test("whoever waits for a provider is found, page by page, the longest waiting first")
  func pages() async throws {
    let fixture = try Fixture()
    let accounts = fixture.accounts
    let (user, _) = try await fixture.addUser()
    var expected: [ConnectionID] = []
    for number in 0..<7 {
      let lookup = SHA256Digest.of("page \(number)")
      let made = try await fixture.connect(user, managed: number != 3, lookup: lookup).connection
      let when = Self.now.advanced(bySeconds: Int64(number / 2))  // two at a time
      _ = try await accounts.revokeConnection(made.id, of: user.id, now: when)
      if number == 5 { try await accounts.settleParting(of: made.id, as: .revoked, now: when) }
      if number != 3, number != 5 { expected.append(made.id) }
    }
    var (found, place) = ([ConnectionID](), PartedConnection.Place.start)
    while true {
      let from = place
      let page = try await fixture.thread.run { (database) throws(AccountError) in
        try PartedConnection.after(from, limit: 2, in: database)
      }
      guard let last = page.last else { break }
      #expect(page.count <= 2)
      place = last.place
      found += page.map(\.connection)
    }
    #expect(found == expected)
  }

  @Test("a zero-knowledge connection keeps the wraps of its credentials") func zeroKnowledge()
    async throws
  {
    let fixture = try Fixture()
    let accounts = fixture.accounts
    let (user, _) = try await fixture.addUser()
    let lookup = SHA256Digest.of("z")
    let made = try await fixture.connect(user, lookup: lookup).connection
    #expect(try await accounts.openableWrap(of: made.id) == nil)
    let parting = try await accounts.revokeConnection(made.id, of: user.id, now: Self.now)
    #expect(parting == .pending(nil))
    let found = try #require(try await parted(fixture, lookup))
    #expect(found.connectionID == made.id)
    #expect(found.ownerID == user.id)
    #expect(found.wrap == [UInt8](repeating: 7, count: 314))
    let month = Self.now.advanced(bySeconds: 30 * 86_400)
    try await accounts.forgetExpired(now: UnixTime(seconds: month.seconds - 1))
    #expect(try await parted(fixture, lookup) == found)
    try await accounts.forgetExpired(now: month)
    #expect(try await parted(fixture, lookup) == nil)
    #expect(try await presence(fixture, made.id) == .revoked)
  }

  @Test("nothing is kept that could not be used: no way to tell, or nobody to open it")
  func silent() async throws {
    let fixture = try Fixture()
    let accounts = fixture.accounts
    let (user, _) = try await fixture.addUser()
    let (key, _) = try await fixture.addConnection(of: user, managed: true)
    let deaf = try await fixture.connect(user, revocable: false).connection
    let bare = try await fixture.connect(user, lookup: SHA256Digest.of("b")).connection
    let only = try await accounts.credentials(of: bare.id, user: user.id)[0]
    try await accounts.revokeCredential(only.id, of: bare.id, user: user.id, now: Self.now)
    for id in [key.id, deaf.id, bare.id] {
      #expect(try await accounts.revokeConnection(id, of: user.id, now: Self.now) == .silent)
      #expect(try await presence(fixture, id) == .revoked)
      #expect(try await accounts.openableWrap(of: id) == nil)
    }
  }
}
