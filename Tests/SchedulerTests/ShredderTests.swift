// The shredder over real databases: what goes, what stays, and that no byte of a destroyed blob
// is left in the file or its log.

import Accounts
import Clocks
import Database
import Glibc
import Logging
import Synchronization
import TestFolders
import Testing
import Vault

@testable import bindery_scheduler

/// Both databases, migrated, in a folder of their own.
private struct Fixture {
  private let home = TestFolder("shredder")
  let auth: DatabaseThread
  let authTokens: DatabaseThread
  let shredder: Shredder
  let hurried = Counter()

  final class Counter: Sendable {
    let value = Atomic<Int>(0)
  }

  init() async throws {
    let folder = home.path
    _ = try MigrationRunner(directory: folder).run()
    let (bindery, tokens) = (DatabaseFile(.bindery, in: folder), DatabaseFile(.tokens, in: folder))
    auth = try DatabaseThread(bindery, as: .auth)
    authTokens = try DatabaseThread(tokens, as: .auth)
    let hurried = hurried
    shredder = Shredder(
      bindery: try DatabaseThread(bindery, as: .scheduler, access: .readOnly),
      tokens: try DatabaseThread(tokens, as: .scheduler), log: .discarding
    ) { hurried.value.add(1, ordering: .relaxed) }
    try await auth.run { (database) throws(DatabaseError) in
      try database.execute(
        "INSERT INTO users (id, email, email_key, created_at) VALUES (?, 'a@b', 'a@b', 1)",
        .text(Self.id(0)))
    }
  }

  var folder: String { home.path }

  static func id(_ number: Int) -> String {
    let digits = String(number)
    return "00000000-0000-4000-8000-" + String(repeating: "0", count: 12 - digits.count) + digits
  }

  /// A blob with a recognizable text, for a connection that has a row or not.
  func connect(_ number: Int, withRow: Bool = true) async throws {
    let marker = Array("blob-marker-\(number)-".utf8)
    let sealed = [UInt8]((0..<40).map { _ in marker }.joined())
    try await authTokens.run { (database) throws(TokenStoreError) in
      try TokenStore(database).insert(
        TokenBlob(generation: 1, sealed: sealed, expiresAt: nil), of: Self.id(number),
        at: UnixTime(seconds: 1))
    }
    guard withRow else { return }
    try await auth.run { (database) throws(DatabaseError) in
      try database.execute(
        """
        INSERT INTO connections (id, user_id, service, label, status, auth_type,
          key_storage_mode, created_at)
        VALUES (?, ?, 'demo', '', 'active', 'api_key', 'zero_knowledge', 1)
        """, .text(Self.id(number)), .text(Self.id(0)))
    }
  }

  func revoke(_ number: Int) async throws {
    try await auth.run { (database) throws(DatabaseError) in
      try database.execute(
        "UPDATE connections SET status = 'revoked', revoked_at = 2 WHERE id = ?",
        .text(Self.id(number)))
    }
  }

  func blobs() async throws -> [String] {
    try await authTokens.run { (database) throws(DatabaseError) in
      try TokenStore(database).connections(after: "", limit: 10_000)
    }
  }

  /// Whether the bytes of a blob are anywhere in the token database's files.
  func leaves(_ number: Int) -> Bool {
    let marker = Array("blob-marker-\(number)-".utf8)
    for suffix in ["", "-wal"] {
      guard let file = fopen("\(folder)/tokens.sqlite\(suffix)", "r") else { continue }
      defer { fclose(file) }
      var all: [UInt8] = []
      var room = [UInt8](repeating: 0, count: 65_536)
      while case let count = fread(&room, 1, room.count, file), count > 0 { all += room[..<count] }
      if all.count >= marker.count {
        for start in 0...(all.count - marker.count)
        where all[start] == marker[0] && all[start..<start + marker.count].elementsEqual(marker) {
          return true
        }
      }
    }
    return false
  }
}

@Suite("Shredder") struct ShredderTests {
  @Test("destroys the blob of a revoked connection, and says when there is none") func revoked()
    async throws
  {
    let fixture = try await Fixture()
    try await fixture.connect(1)
    try await fixture.connect(2)
    try await fixture.revoke(1)
    #expect(try await fixture.shredder.shred(Fixture.id(1)) == .shredded)
    #expect(try await fixture.shredder.shred(Fixture.id(1)) == .nothing)
    #expect(try await fixture.blobs() == [Fixture.id(2)])
    #expect(fixture.hurried.value.load(ordering: .relaxed) == 1)
  }

  @Test("refuses to destroy the blob of a live connection") func live() async throws {
    let fixture = try await Fixture()
    try await fixture.connect(1)
    #expect(try await fixture.shredder.shred(Fixture.id(1)) == .refused)
    #expect(try await fixture.blobs() == [Fixture.id(1)])
  }

  @Test("sweeps the revoked among many, page after page") func sweep() async throws {
    let fixture = try await Fixture()
    let count = Shredder.pageMax * 2 + 7
    for number in 1...count { try await fixture.connect(number) }
    for number in stride(from: 3, through: count, by: 3) { try await fixture.revoke(number) }
    #expect(try await fixture.shredder.sweep() == count / 3)
    #expect(try await fixture.shredder.sweep() == 0)
    #expect(
      try await fixture.blobs() == (1...count).filter { $0 % 3 != 0 }.map { Fixture.id($0) })
  }

  @Test("leaves a blob alone whose row is on its way") func rowOnItsWay() async throws {
    let fixture = try await Fixture()
    try await fixture.connect(1, withRow: false)
    #expect(try await fixture.shredder.sweep() == 0)
    #expect(try await fixture.blobs() == [Fixture.id(1)])
  }

  @Test("leaves no byte of a destroyed blob in file or log") func bytes() async throws {
    let fixture = try await Fixture()
    let checkpointer = try Checkpointer(
      DatabaseFile(.tokens, in: fixture.folder), every: .milliseconds(20))
    try await fixture.connect(1)
    try await fixture.connect(2)
    #expect(fixture.leaves(1))
    try await fixture.revoke(1)
    #expect(try await fixture.shredder.shred(Fixture.id(1)) == .shredded)
    checkpointer.hurry()
    let end = Instant.now.advanced(by: .seconds(20))
    while fixture.leaves(1), Instant.now < end { await Task.yield() }
    #expect(!fixture.leaves(1))
    #expect(fixture.leaves(2))
    checkpointer.stop()
  }
}
