// Whether the statements of key rotation replace exactly what they must, one at a time and against
// others; and whether every column that names a master key is known to them.

import Clocks
import Database
import Testing
import Vault

@testable import Accounts

@Suite("Rotation store") struct RotationStoreTests {
  static let old = "0123456789abcdef"
  static let new = "fedcba9876543210"
  static let now = Fixture.now

  let fixture: Fixture
  var store: SQLiteAccounts { fixture.accounts }

  init() throws { fixture = try Fixture() }

  private func managed(_ count: Int) async throws -> (User, [ConnectionID]) {
    let (user, _) = try await fixture.addUser()
    var ids: [ConnectionID] = []
    for number in 0..<count {
      let (record, _) = try await fixture.addConnection(
        of: user, lookup: [UInt8](repeating: UInt8(number + 1), count: 32), managed: true)
      ids.append(record.id)
    }
    return (user, ids)
  }

  private func rows(after place: Int64 = .min, _ max: Int64 = 100) async throws -> [SealedRow] {
    try await store.sealedRows(.connectionWrap, under: Self.old, after: place, countMax: max)
  }

  private func replace(
    _ rows: [SealedRow], _ rotation: KeyRotation, unreadable: Int64 = 0
  ) async throws -> (replaced: Int64, rotation: KeyRotation) {
    try await store.replace(
      rows.map { RewrappedRow(row: $0, sealed: [9, 9]) }, in: .connectionWrap,
      unreadable: unreadable, rotation: rotation.id, now: Self.now)
  }

  @Test("every column that names a key of sealed values is in the list")
  func columns() async throws {
    var found: Set<String> = []
    for kind in DatabaseFile.Kind.allCases {
      let thread = try DatabaseThread(DatabaseFile(kind, in: fixture.folder), as: .auth)
      let tables = try await thread.run { (database) throws(DatabaseError) in
        try database.all("SELECT name, sql FROM sqlite_schema WHERE type = 'table'") {
          (row) throws(DatabaseError) in [try row.text(0), try row.optionalText(1) ?? ""]
        }
      }
      thread.stop()
      thread.join()
      for table in tables {
        for line in table[1].split(separator: "\n") {
          guard let word = line.split(separator: " ").first, word.hasSuffix("fingerprint") else {
            continue
          }
          found.insert("\(table[0]).\(word)")
        }
      }
    }
    // What a rotation goes to is no value under a key.
    let listed = Set(MasterSealedColumn.allCases.map(\.fingerprintColumn))
    #expect(found == listed.union(["key_rotations.target_fingerprint"]))
  }

  @Test("rows come in pages, by key, and are counted")
  func pages() async throws {
    let (_, ids) = try await managed(5)
    var seen: [String] = []
    var place = Int64.min
    while let page = Optional(try await rows(after: place, 2)), let last = page.last {
      #expect(page.count <= 2)
      seen += page.map(\.id)
      place = last.place
    }
    #expect(seen == ids.map(\.text))
    #expect(
      try await store.sealedCounts() == [
        SealedCount(column: .connectionWrap, fingerprint: Self.old, count: 5)
      ])
    #expect(
      try await store.sealedRows(.connectionWrap, under: Self.new, after: .min, countMax: 9) == [])
  }

  @Test("a row that was revoked or replaced meanwhile stays as it is")
  func overtaken() async throws {
    let (user, ids) = try await managed(4)
    let rotation = try await store.startRotation(to: Self.new, rate: nil, now: Self.now)
    #expect(rotation.total == 4 && rotation.state == .running && rotation.done == 0)
    let page = try await rows()
    _ = try await store.revokeConnection(ids[0], of: user.id, now: Self.now)
    let stranger = page.map {
      $0.id == ids[1].text
        ? SealedRow(
          place: $0.place, id: $0.id, owner: $0.owner, sealed: [8]) : $0
    }
    let (replaced, after) = try await replace(stranger, rotation)
    #expect(replaced == 2 && after.done == 2)
    #expect(try await fixture.wrap(ids[0], of: user) == nil)
    #expect(
      try await fixture.wrap(ids[1], of: user)
        == ManagedWrap(sealed: [1, 2, 3], fingerprint: Self.old))
    for id in ids[2...] {
      #expect(
        try await fixture.wrap(id, of: user) == ManagedWrap(sealed: [9, 9], fingerprint: Self.new))
    }
    // The same page once more finds nothing that is still what it was.
    #expect(try await replace(page, rotation).replaced == 1)
    #expect(try await replace(page, rotation).replaced == 0)
  }

  @Test("a rotation ends when nothing is left but what does not open")
  func ending() async throws {
    _ = try await managed(3)
    let rotation = try await store.startRotation(to: Self.new, rate: 7, now: Self.now)
    let page = try await rows()
    _ = try await replace(Array(page.prefix(2)), rotation, unreadable: 1)
    var found = try await store.finishRotation(rotation.id, unreadable: 0, now: Self.now)
    #expect(found.state == .running && found.failed == 1 && found.rate == 7)
    found = try await store.finishRotation(rotation.id, unreadable: 1, now: Self.now)
    #expect(found.state == .failed && found.reason == "rows_unreadable" && found.failed == 1)
    #expect(try await replace(page, rotation).replaced == 0, "it is over")

    let second = try await store.startRotation(to: Self.new, rate: nil, now: Self.now)
    #expect(second.id != rotation.id && second.total == 1)
    try await store.beginPass(second.id, now: Self.now)
    _ = try await replace(page, second)
    found = try await store.finishRotation(second.id, unreadable: 0, now: Self.now)
    #expect(found.state == .completed && found.reason == nil && found.finishedAt == Self.now)
    #expect(try await store.rotation() == found)
  }

  @Test("one is open at most; held it replaces nothing; another key takes over")
  func holding() async throws {
    _ = try await managed(1)
    await #expect(throws: AccountError.notFound) {
      try await store.holdRotation(true, rate: nil, now: Self.now)
    }
    let rotation = try await store.startRotation(to: Self.new, rate: 5, now: Self.now)
    var held = try await store.holdRotation(true, rate: nil, now: Self.now)
    #expect(held.state == .paused && held.rate == 5)
    let page = try await rows()
    #expect(try await replace(page, rotation).replaced == 0)
    #expect(
      try await store.finishRotation(rotation.id, unreadable: 9, now: Self.now).state == .paused)
    held = try await store.holdRotation(false, rate: 6, now: Self.now)
    #expect(held.state == .running && held.rate == 6)
    let same = try await store.startRotation(to: Self.new, rate: nil, now: Self.now)
    #expect(same.id == rotation.id && same.rate == nil)
    let other = try await store.startRotation(to: "00000000000000aa", rate: nil, now: Self.now)
    #expect(other.id != rotation.id && other.isOpen)
    #expect(try await replace(page, rotation).rotation.reason == "superseded")
    // Ended ones are forgotten after 30 days.
    let later = Self.now.advanced(bySeconds: 31 * 86_400)
    _ = try await store.startRotation(to: other.target, rate: nil, now: later)
    await #expect(throws: AccountError.notFound) { try await replace(page, rotation) }
  }

  /// Holds one key; a value under another is refused or, under `old`, re-wrapped.
  struct OneKey: MasterSealing {
    let holdsOld: Bool
    func current(_ wrap: ManagedWrap, at place: SealContext) -> ManagedWrap? {
      guard wrap.fingerprint != RotationStoreTests.new else { return wrap }
      return holdsOld ? ManagedWrap(sealed: [7], fingerprint: RotationStoreTests.new) : nil
    }
  }

  @Test("a value sealed before the active key changed is stored under the new one, or not at all")
  func lateRows() async throws {
    let (user, _) = try await fixture.addUser()
    let late = SQLiteAccounts(fixture.thread, sealing: OneKey(holdsOld: true))
    let (record, _) = try await fixture.addConnection(of: user, managed: true, through: late)
    #expect(
      try await fixture.wrap(record.id, of: user) == ManagedWrap(sealed: [7], fingerprint: Self.new)
    )
    let gone = SQLiteAccounts(fixture.thread, sealing: OneKey(holdsOld: false))
    await #expect(throws: AccountError.masterKeyGone) {
      try await fixture.addConnection(
        of: user, lookup: [UInt8](repeating: 5, count: 32), managed: true, through: gone)
    }
    #expect(try await store.connections(of: user.id).count == 1)

    let place = RegistrationPlace(issuer: "https://a.example", redirectURI: "https://b.example")
    let registration = StoredRegistration(
      clientID: "c", authentication: "post",
      secret: ManagedWrap(sealed: [UInt8](repeating: 3, count: 314), fingerprint: Self.old),
      managementURI: nil, expiresAt: nil)
    await #expect(throws: AccountError.masterKeyGone) {
      try await gone.keepRegistration(registration, at: place, now: Self.now)
    }
    #expect(try await store.registration(at: place) == nil)
  }
}
