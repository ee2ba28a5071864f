// Programs' keys and spaces in the store: whom a key stands for, what the edge finds for it, and that
// nothing of it is left when it, its connection, its space or its owner ends.

import Accounts
import Clocks
import Database
import Testing
import Vault

@Suite("Programs' keys") struct KeyStoreTests {
  static let now = Fixture.now

  /// A key as its holder has it.
  struct Held {
    let record: ProgramKeyRecord
    let shown: PresentedKey
  }

  static func make(
    _ kind: ProgramKeyKind, _ permissions: SpacePermissions? = nil, expiresIn: Int64? = nil
  ) throws -> Held {
    let text = CredentialSecret.random().makeKey(kind)
    return Held(
      record: ProgramKeyRecord(
        id: .random(), name: "key", permissions: permissions, createdAt: now,
        expiresAt: expiresIn.map { now.advanced(bySeconds: $0) }),
      shown: try #require(PresentedKey(text)))
  }

  private func add(
    _ fixture: Fixture, to user: User, expiresIn: Int64? = nil
  ) async throws -> Held {
    let held = try Self.make(.user, expiresIn: expiresIn)
    try await fixture.accounts.addKey(held.record, hash: held.shown.hash, of: user.id)
    return held
  }

  private func addSpace(
    _ fixture: Fixture, of user: User, _ connections: [ConnectionID]
  ) async throws -> SpaceID {
    let id = SpaceID.random()
    try await fixture.accounts.addSpace(
      Space(id: id, userID: user.id, name: "space", createdAt: Self.now, connections: connections))
    return id
  }

  private func addKey(
    _ fixture: Fixture, to space: SpaceID, of user: User, _ permissions: SpacePermissions
  ) async throws -> Held {
    let held = try Self.make(.space, permissions)
    try await fixture.accounts.addKey(
      held.record, hash: held.shown.hash, of: space, user: user.id)
    return held
  }

  private func reach(
    _ key: PresentedKey, in fixture: Fixture, service: String = "linear",
    named: ConnectionID? = nil, at time: UnixTime = now
  ) throws -> KeyReach {
    try lookup(fixture).reach(of: key, service: service, named: named, now: time)
  }

  private func lookup(_ fixture: Fixture) throws -> EdgeLookup {
    EdgeLookup(
      try Connection(DatabaseFile(.bindery, in: fixture.folder), as: .edge, access: .readOnly),
      epochs: try RevocationEpochs(runDirectory: fixture.folder, forWriting: false))
  }

  private func reached(_ reach: KeyReach) -> ConnectionID? {
    if case .managed(let found) = reach { found.id } else { nil }
  }

  private func isUnknown(_ reach: KeyReach) -> Bool {
    if case .unknown = reach { true } else { false }
  }

  private func isZeroKnowledge(_ reach: KeyReach) -> Bool {
    if case .zeroKnowledge = reach { true } else { false }
  }

  private func isNothing(_ reach: KeyReach) -> Bool {
    if case .nothing = reach { true } else { false }
  }

  @Test("a key stands for its owner until it is revoked") func holder() async throws {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    let (other, _) = try await fixture.addUser("b@example.org")
    let held = try await add(fixture, to: user)
    let holder = try #require(try await fixture.accounts.holder(of: held.shown, now: Self.now))
    #expect(holder.user == user && holder.space == nil && holder.key == held.record.id)
    let unknown = try Self.make(.user).shown
    #expect(try await fixture.accounts.holder(of: unknown, now: Self.now) == nil)
    await #expect(throws: AccountError.notFound) {
      try await fixture.accounts.revokeKey(held.record.id, of: other.id, now: Self.now)
    }
    #expect(try await fixture.accounts.holder(of: held.shown, now: Self.now) != nil)
    _ = try await fixture.accounts.revokeKey(held.record.id, of: user.id, now: Self.now)
    #expect(try await fixture.accounts.holder(of: held.shown, now: Self.now) == nil)
    #expect(try await fixture.accounts.keys(of: user.id).isEmpty)
  }

  @Test("a key ends when its time is over, everywhere") func expiry() async throws {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    let (connection, _) = try await fixture.addConnection(of: user, managed: true)
    let held = try await add(fixture, to: user, expiresIn: 10)
    let end = Self.now.advanced(bySeconds: 10)
    #expect(try await fixture.accounts.holder(of: held.shown, now: Self.now) != nil)
    #expect(try await fixture.accounts.holder(of: held.shown, now: end) == nil)
    #expect(reached(try reach(held.shown, in: fixture)) == connection.id)
    #expect(isUnknown(try reach(held.shown, in: fixture, at: end)))
    #expect(
      try await fixture.accounts.managedWrap(
        of: connection.id, reachedBy: held.shown, now: Self.now) != nil)
    #expect(
      try await fixture.accounts.managedWrap(of: connection.id, reachedBy: held.shown, now: end)
        == nil)
  }

  @Test("its last use is noted once a minute, and what the edge notes counts") func use()
    async throws
  {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    let held = try await add(fixture, to: user)
    func used() async throws -> UnixTime? {
      try await fixture.accounts.keys(of: user.id).first?.lastUsedAt
    }
    #expect(try await used() == nil)
    _ = try await fixture.accounts.holder(of: held.shown, now: Self.now)
    #expect(try await used() == Self.now)
    _ = try await fixture.accounts.holder(of: held.shown, now: Self.now.advanced(bySeconds: 59))
    #expect(try await used() == Self.now)
    _ = try await fixture.accounts.holder(of: held.shown, now: Self.now.advanced(bySeconds: 60))
    #expect(try await used() == Self.now.advanced(bySeconds: 60))
    let (connection, _) = try await fixture.addConnection(of: user, managed: true)
    let edge = try Connection(DatabaseFile(.bindery, in: fixture.folder), as: .edge)
    try edge.transaction { () throws(DatabaseError) in
      try edge.execute(
        "INSERT INTO credential_use VALUES (?, ?, ?, 1)", .text(connection.id.text),
        .text(held.record.id.text), .integer(Self.now.seconds + 500))
    }
    #expect(try await used() == Self.now.advanced(bySeconds: 500))
  }

  @Test("a key reaches the oldest active managed connection, or the one that is named")
  func choice() async throws {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    let (other, _) = try await fixture.addUser("b@example.org")
    let held = try await add(fixture, to: user)
    #expect(isNothing(try reach(held.shown, in: fixture)))
    let closed = try await fixture.connect(user).connection
    #expect(isZeroKnowledge(try reach(held.shown, in: fixture)))
    let first = try await fixture.connect(
      user, managed: true, at: Self.now.advanced(bySeconds: 1)
    ).connection
    let second = try await fixture.connect(
      user, managed: true, at: Self.now.advanced(bySeconds: 2)
    ).connection
    let foreign = try await fixture.connect(other, managed: true).connection
    #expect(reached(try reach(held.shown, in: fixture)) == first.id)
    #expect(reached(try reach(held.shown, in: fixture, named: second.id)) == second.id)
    #expect(isZeroKnowledge(try reach(held.shown, in: fixture, named: closed.id)))
    #expect(isNothing(try reach(held.shown, in: fixture, named: foreign.id)))
    #expect(isNothing(try reach(held.shown, in: fixture, service: "todoist", named: first.id)))
    #expect(isNothing(try reach(held.shown, in: fixture, service: "todoist")))
    try await fixture.thread.run { (database) throws(DatabaseError) in
      try database.transaction { () throws(DatabaseError) in
        try database.execute(
          "UPDATE connections SET status = 'suspended' WHERE id = ?", .text(first.id.text))
      }
    }
    #expect(reached(try reach(held.shown, in: fixture)) == second.id)
    _ = try await fixture.accounts.revokeConnection(second.id, of: user.id, now: Self.now)
    // And says that it is suspended.
    #expect(reached(try reach(held.shown, in: fixture)) == first.id)
    #expect(
      try lookup(fixture).find(second.id, reachedBy: held.shown, wrap: [1]) == nil)
    let found = try #require(
      try lookup(fixture).find(first.id, reachedBy: held.shown, wrap: [1, 2]))
    #expect(found.status == .suspended && found.wrap == [1, 2] && found.isOAuth)
    #expect(found.credentialID.text == held.record.id.text && found.ownerID == user.id)
  }

  @Test("what is revoked is found neither by the edge nor by auth, and bumped connections are told")
  func revoked() async throws {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    let (connection, _) = try await fixture.addConnection(of: user, managed: true)
    let held = try await add(fixture, to: user)
    #expect(
      try lookup(fixture).find(connection.id, reachedBy: held.shown, wrap: []) != nil)
    let told = try await fixture.accounts.revokeKey(
      held.record.id, of: user.id, now: Self.now)
    #expect(told == [connection.id])
    #expect(isUnknown(try reach(held.shown, in: fixture)))
    #expect(try lookup(fixture).find(connection.id, reachedBy: held.shown, wrap: []) == nil)
    #expect(
      try await fixture.accounts.managedWrap(
        of: connection.id, reachedBy: held.shown, now: Self.now) == nil)
  }

  @Test("a change to zero knowledge takes the reach away, and back to managed gives it again")
  func mode() async throws {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    let (connection, _) = try await fixture.addConnection(of: user, managed: true)
    let held = try await add(fixture, to: user)
    let closed = try await fixture.accounts.changeMode(
      of: connection.id, user: user.id, managedWrap: nil, now: Self.now)
    #expect(closed.keyStorageMode == .zeroKnowledge)
    #expect(isZeroKnowledge(try reach(held.shown, in: fixture)))
    #expect(try lookup(fixture).find(connection.id, reachedBy: held.shown, wrap: []) == nil)
    let open = try await fixture.accounts.changeMode(
      of: connection.id, user: user.id,
      managedWrap: ManagedWrap(sealed: [4], fingerprint: "0123456789abcdef"), now: Self.now)
    #expect(open.keyStorageMode == .managed)
    #expect(reached(try reach(held.shown, in: fixture)) == connection.id)
    await #expect(throws: AccountError.notFound) {
      try await fixture.accounts.changeMode(
        of: connection.id, user: .random(), managedWrap: nil, now: Self.now)
    }
  }

  @Test("a space's key reaches what is in its space, if it may use it") func space() async throws {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    let outside = try await fixture.connect(user, managed: true).connection
    let inside = try await fixture.connect(
      user, managed: true, at: Self.now.advanced(bySeconds: 5)
    ).connection
    let space = try await addSpace(fixture, of: user, [inside.id])
    let able = try await addKey(fixture, to: space, of: user, .use)
    let unable = try await addKey(fixture, to: space, of: user, [.read, .write])
    #expect(reached(try reach(able.shown, in: fixture)) == inside.id)
    #expect(isNothing(try reach(able.shown, in: fixture, named: outside.id)))
    #expect(try lookup(fixture).find(outside.id, reachedBy: able.shown, wrap: []) == nil)
    #expect(try lookup(fixture).find(inside.id, reachedBy: able.shown, wrap: []) != nil)
    guard case .mayNotUse = try reach(unable.shown, in: fixture) else {
      Issue.record("used without permission")
      return
    }
    #expect(try lookup(fixture).find(inside.id, reachedBy: unable.shown, wrap: []) == nil)
    for (key, connection) in [(able, outside), (unable, inside)] {
      #expect(
        try await fixture.accounts.managedWrap(
          of: connection.id, reachedBy: key.shown, now: Self.now) == nil)
    }
    #expect(
      try await fixture.accounts.managedWrap(
        of: inside.id, reachedBy: able.shown, now: Self.now)?.owner == user.id)
    let holder = try #require(try await fixture.accounts.holder(of: able.shown, now: Self.now))
    #expect(holder.space?.id == space && holder.space?.permissions == .use)
  }

  @Test("a space holds its owner's live connections, and says which leave it") func contents()
    async throws
  {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    let (other, _) = try await fixture.addUser("b@example.org")
    let one = try await fixture.connect(user, managed: true).connection
    let two = try await fixture.connect(user).connection
    let foreign = try await fixture.connect(other, managed: true).connection
    let accounts = fixture.accounts
    let space = try await addSpace(fixture, of: user, [one.id, one.id])
    await #expect(throws: AccountError.notFound) {
      try await accounts.changeSpace(
        space, of: user.id, name: nil, connections: [two.id, foreign.id], now: Self.now)
    }
    #expect(try await accounts.space(space, of: user.id).connections == [one.id])
    let changed = try await accounts.changeSpace(
      space, of: user.id, name: "new", connections: [two.id], now: Self.now)
    #expect(changed.space.connections == [two.id] && changed.space.name == "new")
    #expect(changed.left == [one.id])
    await #expect(throws: AccountError.notFound) {
      try await accounts.space(space, of: other.id)
    }
    await #expect(throws: AccountError.notFound) {
      try await accounts.removeSpace(space, of: other.id, now: Self.now)
    }
    let next = try await fixture.connect(user, replacing: two.id).connection
    #expect(try await accounts.space(space, of: user.id).connections == [next.id])
    _ = try await accounts.revokeConnection(next.id, of: user.id, now: Self.now)
    #expect(try await accounts.space(space, of: user.id).connections.isEmpty)
    #expect(try await accounts.space(space, holds: next.id) == false)
  }

  @Test("a space takes its keys along") func removed() async throws {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    let connection = try await fixture.connect(user, managed: true).connection
    let space = try await addSpace(fixture, of: user, [connection.id])
    let held = try await addKey(fixture, to: space, of: user, [.read, .use])
    #expect(
      try await fixture.accounts.keys(of: space, user: user.id).map(\.permissions)
        == [[.read, .use]])
    let left = try await fixture.accounts.removeSpace(space, of: user.id, now: Self.now)
    #expect(left == [connection.id])
    #expect(try await fixture.accounts.holder(of: held.shown, now: Self.now) == nil)
    #expect(isUnknown(try reach(held.shown, in: fixture)))
    #expect(try await fixture.accounts.connections(of: user.id).count == 1)
  }

  @Test("there are bounds") func bounds() async throws {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    for _ in 0..<KeyLimits.keysMax { _ = try await add(fixture, to: user) }
    await #expect(throws: AccountError.tooMany) { try await add(fixture, to: user) }
    let space = try await addSpace(fixture, of: user, [])
    for _ in 1..<KeyLimits.spacesMax { _ = try await addSpace(fixture, of: user, []) }
    await #expect(throws: AccountError.tooMany) { try await addSpace(fixture, of: user, []) }
    for _ in 0..<KeyLimits.keysMax { _ = try await addKey(fixture, to: space, of: user, []) }
    await #expect(throws: AccountError.tooMany) {
      try await addKey(fixture, to: space, of: user, [])
    }
  }

  @Test(
    "a key has one text",
    arguments: [
      "", "userk_", "userk", "spacek_", "userk_" + String(repeating: "A", count: 85),
      "userk_" + String(repeating: "A", count: 87), "USERK_" + String(repeating: "A", count: 86),
      "userk_" + String(repeating: "A", count: 85) + "B",
      "userk_" + String(repeating: "=", count: 86),
      " userk_" + String(repeating: "A", count: 86),
      "userk_" + String(repeating: "A", count: 85) + "é",
      "bnd_test_" + String(repeating: "A", count: 86), String(repeating: "A", count: 86),
    ])
  func text(text: String) { #expect(PresentedKey(text) == nil) }

  @Test("its hash is SHA-256 of the whole text") func hash() throws {
    let text = "userk_" + String(repeating: "A", count: 86)
    let key = try #require(PresentedKey(text))
    #expect(key.kind == .user && key.hash == Digest256(of: Array(text.utf8)))
    let other = try #require(PresentedKey("spacek_" + String(repeating: "A", count: 86)))
    #expect(other.kind == .space && other.hash != key.hash)
  }
}
