// What the edge sees of a credential, and that it never sees what was revoked: not through a read,
// not through what it remembers.

import Accounts
import Clocks
import Database
import Glibc
import JOSE
import Posix
import Testing

@Suite("Edge lookup") struct EdgeLookupTests {
  // A connection belongs to its thread, and a test may continue on another after each await.
  private func withLookup<Result>(
    in fixture: Fixture, _ body: (EdgeLookup) throws -> Result
  ) throws -> Result {
    try body(
      EdgeLookup(
        try Connection(DatabaseFile(.bindery, in: fixture.folder), as: .edge, access: .readOnly),
        epochs: try RevocationEpochs(runDirectory: fixture.folder, forWriting: false)))
  }

  private func find(_ value: [UInt8], in fixture: Fixture) throws -> EdgeCredential? {
    try withLookup(in: fixture) { lookup in
      try value.withUnsafeBytes { (bytes) throws in try lookup.find(bytes) }
    }
  }

  private func stands(
    _ credential: EdgeCredential, _ value: [UInt8], in fixture: Fixture
  ) throws -> Bool {
    try withLookup(in: fixture) { lookup in
      try value.withUnsafeBytes { try lookup.stillStands(credential, lookup: $0) }
    }
  }

  @Test("a live credential gives its connection, owner, wrap and policies") func live() async throws
  {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    let value = SHA256Digest.of("one")
    let (connection, credential) = try await fixture.addConnection(of: user, lookup: value)
    let policy = try #require(NetworkPolicy(entries: ["10.0.0.0/8", "anthropic"]))
    _ = try await fixture.accounts.changeConnection(
      connection.id, of: user.id, label: nil, networks: .some(policy), now: Fixture.now)
    let found = try #require(try find(value, in: fixture))
    #expect(found.credentialID == credential)
    #expect(found.connectionID == connection.id)
    #expect(found.ownerID == user.id)
    #expect(found.service == "linear")
    #expect(found.status == .active)
    #expect(found.wrap == [UInt8](repeating: 7, count: 314))
    #expect(found.admits(try #require(IPAddress("10.1.2.3"))))
    #expect(found.admits(try #require(IPAddress("160.79.105.1"))))
    #expect(!found.admits(try #require(IPAddress("11.0.0.1"))))
    #expect(found.credentialNetworks == nil)
  }

  @Test("unknown, revoked and foreign lookups are one answer") func gone() async throws {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    #expect(try find(SHA256Digest.of("nobody"), in: fixture) == nil)
    let value = SHA256Digest.of("one")
    let (connection, credential) = try await fixture.addConnection(of: user, lookup: value)
    #expect(try find(value, in: fixture) != nil)
    try await fixture.accounts.revokeCredential(
      credential, of: connection.id, user: user.id, now: Fixture.now)
    #expect(try find(value, in: fixture) == nil)
  }

  @Test("a revoked connection takes all its credentials and wraps along") func connection()
    async throws
  {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    let value = SHA256Digest.of("one")
    let (connection, _) = try await fixture.addConnection(of: user, lookup: value, managed: true)
    #expect(try await fixture.accounts.managedWrap(connection.id, of: user.id) != nil)
    _ = try await fixture.accounts.revokeConnection(connection.id, of: user.id, now: Fixture.now)
    #expect(try find(value, in: fixture) == nil)
    let left = try await fixture.thread.run { (database) throws(DatabaseError) -> Int64? in
      try database.first(
        """
        SELECT (SELECT count(*) FROM credentials WHERE wrap IS NOT NULL)
          + (SELECT count(*) FROM connections WHERE managed_wrap IS NOT NULL)
        """
      ) { (row) throws(DatabaseError) in try row.integer(0) }
    }
    #expect(left == 0)
    await #expect(throws: AccountError.notFound) {
      _ = try await fixture.accounts.revokeConnection(connection.id, of: user.id, now: Fixture.now)
    }
  }

  @Test("a mark is stale after a bump of its slot, and only then") func marks() async throws {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    let value = SHA256Digest.of("one")
    let (connection, credential) = try await fixture.addConnection(of: user, lookup: value)
    let writer = try RevocationEpochs(runDirectory: fixture.folder, forWriting: true)
    let reader = try RevocationEpochs(runDirectory: fixture.folder, forWriting: false)
    let found = try #require(try find(value, in: fixture))
    var other = ConnectionID.random()
    while RevocationEpochs.slot(of: other) == RevocationEpochs.slot(of: connection.id) {
      other = .random()
    }
    writer.bump(other)
    #expect(reader.isCurrent(found.mark))
    #expect(try stands(found, value, in: fixture))
    writer.bump(connection.id)
    #expect(!reader.isCurrent(found.mark))
    #expect(try stands(found, value, in: fixture))
    let again = try #require(try find(value, in: fixture))
    #expect(reader.isCurrent(again.mark))
    writer.bumpEverything()
    #expect(!reader.isCurrent(again.mark))
    try await fixture.accounts.revokeCredential(
      credential, of: connection.id, user: user.id, now: Fixture.now)
    #expect(try !stands(again, value, in: fixture))
  }

  @Test("a change while a value is read never leaves it under a current mark") func race() throws {
    let fixture = try Fixture()
    let writer = try RevocationEpochs(runDirectory: fixture.folder, forWriting: true)
    let reader = try RevocationEpochs(runDirectory: fixture.folder, forWriting: false)
    let id = ConnectionID.random()
    var reads = 0
    let once = reader.marking { () -> (value: Int, connection: ConnectionID)? in
      reads += 1
      if reads == 1 { writer.bump(id) }  // committed and bumped between our read and our mark
      return (reads, id)
    }
    #expect(once?.value == 2)
    let always = reader.marking { () -> (value: Int, connection: ConnectionID)? in
      writer.bump(id)
      return (0, id)
    }
    let mark = try #require(always?.mark)
    #expect(!reader.isCurrent(mark))
  }

  @Test("the epoch file is shared, private to the group, and of one size") func file() throws {
    let fixture = try Fixture()
    _ = try RevocationEpochs(runDirectory: fixture.folder, forWriting: false)
    _ = try RevocationEpochs(runDirectory: fixture.folder, forWriting: true)
    var facts = stat()
    #expect(stat("\(fixture.folder)/epochs", &facts) == 0)
    #expect(facts.st_mode & 0o777 == 0o660)
    #expect(facts.st_size == (4096 + 2) * 8)
  }
}
