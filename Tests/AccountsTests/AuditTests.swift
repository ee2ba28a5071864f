// The audit log is only ever appended to, finds every change that got past that, is cut after its
// retention and not before, and tells nobody's name once an account is gone.

import Clocks
import JOSE
import Testing

@testable import Accounts
@testable import Database

@Suite("Audit log") struct AuditTests {
  private func run(
    _ fixture: Fixture, _ sql: StaticString, _ values: [Value] = []
  ) async throws {
    try await fixture.thread.run { (database) throws(AccountError) in
      _ = try database.change(sql, values)
    }
  }

  private func check(_ fixture: Fixture) throws -> AuditReport {
    let database = try Connection(
      DatabaseFile(.bindery, in: fixture.folder), as: .scheduler, access: .readOnly)
    var check = AuditCheck()
    while !check.report.isComplete { try check.advance(database) }
    return check.report
  }

  /// Writes as nobody may who goes through this code: without the triggers.
  private func tamper(_ fixture: Fixture, _ sql: StaticString) throws {
    let database = try Connection(DatabaseFile(.bindery, in: fixture.folder), policy: .schema)
    for trigger: StaticString in [
      "DROP TRIGGER audit_log_append", "DROP TRIGGER audit_log_stays",
      "DROP TRIGGER audit_log_keeps",
    ] {
      try database.execute(trigger)
    }
    try database.execute(sql)
  }

  /// Five rows: an account, its sign-in, three failures.
  private func filled() async throws -> Fixture {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    for id in [user.id, nil, user.id] {
      try await fixture.accounts.noteFailedSignIn(of: id, now: Fixture.now)
    }
    return fixture
  }

  @Test("hangs together, row by row") func whole() async throws {
    let report = try check(try await filled())
    #expect(report.brokenAt == nil)
    #expect(report.rows == 5)
    #expect(report.head == 5)
    #expect(report.headHash != AuditEntry.origin)
  }

  @Test("the chain is the digest that its documents say") func digest() {
    let entry = AuditEntry(
      sequence: 1, at: 2, event: "e", subject: [UInt8](repeating: 3, count: 16), about: "a=b")
    let input: [UInt8] =
      Array("bindery audit v1\0".utf8) + [UInt8](repeating: 0, count: 32)
      + [0, 0, 0, 0, 0, 0, 0, 1] + [0, 0, 0, 0, 0, 0, 0, 2]
      + [0, 0, 0, 0, 0, 0, 0, 1] + Array("e".utf8)
      + [0, 0, 0, 0, 0, 0, 0, 16] + [UInt8](repeating: 3, count: 16)
      + [0, 0, 0, 0, 0, 0, 0, 3] + Array("a=b".utf8)
    #expect(entry.hash(after: AuditEntry.origin) == SHA256Digest.of(input))
  }

  @Test(
    "its own service can not change, delete or insert rows of it",
    arguments: [
      "UPDATE audit_log SET event = 'x' WHERE sequence = 2", "DELETE FROM audit_log",
      "DELETE FROM audit_log WHERE sequence = 5",
      "INSERT INTO audit_log VALUES (7, 1, 'x', NULL, '', zeroblob(32))",
      "INSERT OR REPLACE INTO audit_log VALUES (2, 1, 'x', NULL, '', zeroblob(32))",
      "INSERT INTO audit_cuts SELECT sequence, hash, at FROM audit_log WHERE sequence = 2",
      "INSERT INTO audit_cuts VALUES (9, zeroblob(32), 1)",
    ] as [StaticString])
  func refused(sql: StaticString) async throws {
    let fixture = try await filled()
    await #expect(throws: AccountError.self) { try await run(fixture, sql) }
    #expect(try check(fixture).rows == 5)
  }

  @Test(
    "a change behind its back is found where it is",
    arguments: [
      ("UPDATE audit_log SET at = at + 1 WHERE sequence = 3", 3),
      ("UPDATE audit_log SET subject = NULL WHERE sequence = 3", 3),
      ("UPDATE audit_log SET about = about || 'x' WHERE sequence = 4", 4),
      ("DELETE FROM audit_log WHERE sequence = 2", 2),
      ("DELETE FROM audit_log WHERE sequence = 1", 1),
      ("UPDATE audit_log SET hash = zeroblob(32) WHERE sequence = 5", 5),
      ("INSERT INTO audit_log VALUES (6, 1, 'x', NULL, '', zeroblob(32))", 6),
      (
        "INSERT INTO audit_log SELECT sequence + 2, at, event, subject, about, hash FROM audit_log WHERE sequence = 5",
        6
      ),
    ] as [(StaticString, Int64)])
  func found(sql: StaticString, row: Int64) async throws {
    let fixture = try await filled()
    try tamper(fixture, sql)
    let report = try check(fixture)
    #expect(report.brokenAt == row)
    #expect(report.rows == row - 1)
  }

  @Test("more than a page is walked through") func pages() async throws {
    let fixture = try Fixture()
    let count = AuditCheck.pageMax * 2
    try await fixture.thread.run { (database) throws(AccountError) in
      try database.transaction { () throws(AccountError) in
        for _ in 0..<count { try database.note(.signInFailed, at: Fixture.now, user: nil) }
      }
    }
    let report = try check(fixture)
    #expect(report.rows == count)
    #expect(report.brokenAt == nil)
  }

  @Test("is cut after its retention, goes on behind the cut, and not before") func cut()
    async throws
  {
    let fixture = try Fixture()
    let now = UnixTime.now
    let old = now.advanced(bySeconds: -AuditEntry.keepSeconds - 10)
    for time in [old, old, now] {
      try await fixture.accounts.noteFailedSignIn(of: nil, now: time)
    }
    let before = now.advanced(bySeconds: -60)
    #expect(try await fixture.accounts.tidy(now: before).auditRows == 0)
    #expect(try await fixture.accounts.tidy(now: now).auditRows == 2)
    #expect(try await fixture.accounts.tidy(now: now).auditRows == 0)
    try await fixture.accounts.noteFailedSignIn(of: nil, now: now)
    let report = try check(fixture)
    #expect(report.rows == 2)
    #expect(report.head == 4)
    #expect(report.brokenAt == nil)
  }

  @Test("an old row behind a younger one stays until that goes") func order() async throws {
    let fixture = try Fixture()
    let now = UnixTime.now
    let old = now.advanced(bySeconds: -AuditEntry.keepSeconds - 10)
    for time in [now, old] { try await fixture.accounts.noteFailedSignIn(of: nil, now: time) }
    #expect(try await fixture.accounts.tidy(now: now).auditRows == 0)
  }
}
