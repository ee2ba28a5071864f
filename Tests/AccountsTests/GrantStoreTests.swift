// Grants in the database: what happens once, what ends with what, and what is forgotten when. Time is an
// argument, so that ninety days pass in a line.

import Accounts
import Clocks
import Database
import JOSE
import Testing
import Vault

@Suite("Grant store") struct GrantStoreTests {
  private let fixture: Fixture
  private let user: User
  private let connection: ConnectionRecord
  private let wrap = [UInt8](repeating: 9, count: 314)

  init() async throws {
    fixture = try Fixture()
    user = try await fixture.addUser().0
    connection = try await fixture.addConnection(of: user, lookup: SHA256Digest.of("1")).0
  }

  private func digest(_ text: String) -> Digest256 { Digest256(of: Array(text.utf8)) }

  private func later(_ seconds: Int64) -> UnixTime { Fixture.now.advanced(bySeconds: seconds) }

  private func add(_ code: String, to other: ConnectionID? = nil) async throws -> GrantRecord {
    let grant = GrantRecord(
      id: .random(), userID: user.id, connectionID: other ?? connection.id, clientID: "client",
      clientName: "Client", resource: "r", scope: "mcp", createdAt: Fixture.now,
      expiresAt: later(GrantLife.secondsMax))
    try await fixture.accounts.addGrant(
      grant,
      code: CodeRecord(
        hash: digest(code), challenge: [UInt8](repeating: 1, count: 32), redirectURI: "u",
        expiresAt: later(GrantLife.codeSecondsMax), wrap: wrap), now: Fixture.now)
    return grant
  }

  private func refresh(_ current: String, previous: String? = nil) -> RefreshRecord {
    RefreshRecord(
      family: digest("family"), current: digest(current), previous: previous.map { digest($0) },
      salt: [UInt8](repeating: 2, count: 32), wrap: wrap, rotatedAt: Fixture.now)
  }

  private func access(_ text: String) -> AccessTokenRecord {
    AccessTokenRecord(
      lookup: digest(text), wrap: wrap, expiresAt: later(GrantLife.accessSecondsMax))
  }

  private func withLookup(_ body: (EdgeLookup) throws -> Void) throws {
    try body(
      EdgeLookup(
        try Connection(DatabaseFile(.bindery, in: fixture.folder), as: .edge, access: .readOnly),
        epochs: try RevocationEpochs(runDirectory: fixture.folder, forWriting: false)))
  }

  /// A zero-knowledge connection without a credential that lives, and a grant of it.
  private func heldByClient(isTaken: Bool) async throws -> ConnectionID {
    let accounts = fixture.accounts
    let own = try await fixture.connect(user).connection.id
    for credential in try await accounts.credentials(of: own, user: user.id) {
      try await accounts.revokeCredential(credential.id, of: own, user: user.id, now: Fixture.now)
    }
    let grant = try await add("code", to: own)
    if isTaken {
      #expect(
        try await accounts.spendCode(
          of: grant.id, for: refresh("r1"), access: access("a1"), now: Fixture.now))
    }
    return own
  }

  @Test("the end of a connection keeps what its clients can tell the provider with, for a month")
  func parting() async throws {
    let accounts = fixture.accounts
    let own = try await heldByClient(isTaken: true)
    #expect(try await accounts.partedGrant(family: digest("family")) == nil)
    #expect(
      try await accounts.revokeConnection(own, of: user.id, now: Fixture.now) == .pending(nil))
    #expect(try await accounts.grant(family: digest("family"), now: Fixture.now) == nil)
    let kept = try #require(try await accounts.partedGrant(family: digest("family")))
    #expect(kept.connectionID == own && kept.ownerID == user.id)
    #expect(kept.current == digest("r1") && kept.wrap == wrap)
    #expect(try await accounts.partedGrant(family: digest("other")) == nil)
    try await accounts.forgetExpired(now: later(ConnectLife.partingSecondsMax - 1))
    #expect(try await accounts.partedGrant(family: digest("family")) == kept)
    try await accounts.forgetExpired(now: later(ConnectLife.partingSecondsMax))
    #expect(try await accounts.partedGrant(family: digest("family")) == nil)
  }

  @Test("a provider that was told leaves nothing of it") func settled() async throws {
    let accounts = fixture.accounts
    let own = try await heldByClient(isTaken: true)
    _ = try await accounts.revokeConnection(own, of: user.id, now: Fixture.now)
    try await accounts.settleParting(of: own, as: .pending, now: Fixture.now)
    #expect(try await accounts.partedGrant(family: digest("family")) != nil)
    try await accounts.settleParting(of: own, as: .revoked, now: Fixture.now)
    #expect(try await accounts.partedGrant(family: digest("family")) == nil)
  }

  @Test("a grant that nobody took up, or that has ended, tells nobody", arguments: [true, false])
  func unheld(isTaken: Bool) async throws {
    let own = try await heldByClient(isTaken: isTaken)
    let when = isTaken ? later(GrantLife.secondsMax) : Fixture.now
    #expect(
      try await fixture.accounts.revokeConnection(own, of: user.id, now: when) == .silent)
    #expect(try await fixture.accounts.partedGrant(family: digest("family")) == nil)
  }

  @Test("a code is exchanged once and in time") func codes() async throws {
    let grant = try await add("code")
    let accounts = fixture.accounts
    let found = try #require(try await accounts.grant(code: digest("code"), now: Fixture.now))
    #expect(found.grant == grant && found.code.wrap == wrap)
    #expect(try await accounts.grant(code: digest("other"), now: Fixture.now) == nil)
    let late = later(GrantLife.codeSecondsMax)
    #expect(
      try await !accounts.spendCode(
        of: grant.id, for: refresh("r1"), access: access("a1"), now: late))
    #expect(
      try await accounts.spendCode(
        of: grant.id, for: refresh("r1"), access: access("a1"), now: Fixture.now))
    #expect(
      try await !accounts.spendCode(
        of: grant.id, for: refresh("r2"), access: access("a2"), now: Fixture.now))
    let spent = try #require(try await accounts.grant(code: digest("code"), now: Fixture.now))
    #expect(spent.code.wrap == nil)
    #expect(try await accounts.grant(accessToken: digest("a2"), now: Fixture.now) == nil)
  }

  @Test("of two rotations from one token the first holds") func rotation() async throws {
    let grant = try await add("code")
    let accounts = fixture.accounts
    _ = try await accounts.spendCode(
      of: grant.id, for: refresh("r1"), access: access("a1"), now: Fixture.now)
    let next = refresh("r2", previous: "r1")
    #expect(
      try await accounts.rotate(
        grant.id, from: digest("r1"), to: next, access: access("a2"), now: Fixture.now))
    #expect(
      try await !accounts.rotate(
        grant.id, from: digest("r1"), to: refresh("r3"), access: access("a3"), now: Fixture.now))
    let found = try #require(try await accounts.grant(family: digest("family"), now: Fixture.now))
    #expect(found.refresh.current == digest("r2") && found.refresh.previous == digest("r1"))
    #expect(
      try await accounts.addAccessToken(
        access("a4"), to: grant.id, while: digest("r2"), now: Fixture.now))
    #expect(
      try await !accounts.addAccessToken(
        access("a5"), to: grant.id, while: digest("r1"), now: Fixture.now))
    for (token, lives) in [("a1", true), ("a2", true), ("a3", false), ("a4", true), ("a5", false)] {
      let found = try await accounts.grant(accessToken: digest(token), now: Fixture.now)
      #expect((found != nil) == lives, "\(token)")
    }
    #expect(
      try await accounts.grant(accessToken: digest("a1"), now: later(GrantLife.accessSecondsMax))
        == nil)
  }

  @Test("a grant ends with its tokens, with its connection, and with its time")
  func ends() async throws {
    let accounts = fixture.accounts
    let grant = try await add("one")
    _ = try await accounts.spendCode(
      of: grant.id, for: refresh("r1"), access: access("a1"), now: Fixture.now)
    #expect(try await accounts.endGrant(grant.id, because: .revoked, now: Fixture.now))
    #expect(try await !accounts.endGrant(grant.id, because: .revoked, now: Fixture.now))
    #expect(try await accounts.grant(accessToken: digest("a1"), now: Fixture.now) == nil)

    let second = try await add("two")
    _ = try await accounts.spendCode(
      of: second.id, for: refresh("r2"), access: access("a2"), now: Fixture.now)
    let listed = try await accounts.grants(of: connection.id, user: user.id, now: Fixture.now)
    #expect(listed.map(\.id) == [second.id])
    _ = try await add("three")
    try await accounts.forgetEndedGrants(now: later(GrantLife.codeSecondsMax))
    #expect(try await accounts.grant(code: digest("three"), now: Fixture.now) == nil)
    _ = try await accounts.revokeConnection(connection.id, of: user.id, now: Fixture.now)
    #expect(try await accounts.grant(family: digest("family"), now: Fixture.now) == nil)
    #expect(try await accounts.grant(accessToken: digest("a2"), now: Fixture.now) == nil)
    await #expect(throws: AccountError.notFound) { _ = try await add("four") }
  }

  @Test("somebody else's grants are not there") func owners() async throws {
    let accounts = fixture.accounts
    let grant = try await add("code")
    let (other, _) = try await fixture.addUser("other@example.org")
    await #expect(throws: AccountError.notFound) {
      _ = try await accounts.grants(of: connection.id, user: other.id, now: Fixture.now)
    }
    await #expect(throws: AccountError.notFound) {
      try await accounts.revokeGrant(
        grant.id, of: connection.id, user: other.id, now: Fixture.now)
    }
    await #expect(throws: AccountError.notFound) {
      try await accounts.revokeGrant(
        .random(), of: connection.id, user: user.id, now: Fixture.now)
    }
    try await accounts.revokeGrant(grant.id, of: connection.id, user: user.id, now: Fixture.now)
  }

  @Test("a client that leads to no grant is forgotten, one that does stays") func clients()
    async throws
  {
    let accounts = fixture.accounts
    let client = StoredClient(
      id: "client", name: "Client", redirectURIs: ["https://c/a", "https://c/b"],
      authentication: .none, secretHash: nil)
    try await accounts.addClient(client, now: Fixture.now)
    #expect(try await accounts.client("client", now: Fixture.now) == client)
    #expect(try await accounts.client("Client", now: Fixture.now) == nil)
    let idle = later(GrantLife.idleClientSeconds)
    #expect(try await accounts.client("client", now: idle) == nil)
    _ = try await add("code")
    #expect(try await accounts.client("client", now: idle) == client)
    #expect(try await accounts.client("client", now: later(GrantLife.usedClientSeconds)) == nil)
  }

  @Test("the edge finds signing keys and access tokens, each as itself") func edge() async throws {
    let accounts = fixture.accounts
    let keys = try SigningKeys(file: SigningKeys.generateFile())
    let more = try SigningKeys(file: keys.fileAddingKey())
    try await accounts.publishKeys(keys.publicKeys, now: Fixture.now)
    try await accounts.publishKeys(more.publicKeys, now: Fixture.now)
    try withLookup { lookup in
      for (id, key) in more.publicKeys {
        let found = try lookup.signingKey(id)
        #expect(found?.x == key.x && found?.y == key.y)
      }
      let unknown = try lookup.signingKey("unknown")
      #expect(unknown == nil)
    }
    try await accounts.publishKeys([more.publicKeys[1]], now: Fixture.now)
    let grant = try await add("code")
    _ = try await accounts.spendCode(
      of: grant.id, for: refresh("r1"), access: access("a1"), now: Fixture.now)
    try withLookup { lookup in
      let gone = try lookup.signingKey(keys.active.keyID)
      #expect(gone == nil)
      let token = digest("a1")
      let found = try token.withBytes { (bytes) throws in try lookup.find(bytes, .accessToken) }
      #expect(found?.connectionID == connection.id && found?.wrap == wrap)
      #expect(found?.credentialID.text == grant.id.text)
      let none = try token.withBytes { (bytes) throws in try lookup.find(bytes, .secret) }
      #expect(none == nil)
    }
  }
}
