// Tidying deletes what has ended and nothing else, and counts sixty days from when a suspension was
// first seen.

import Accounts
import Clocks
import Database
import JOSE
import Testing

@Suite("Tidying") struct TidyTests {
  private let now = Fixture.now

  private func run(_ fixture: Fixture, _ sql: StaticString, _ values: Value) async throws {
    try await fixture.thread.run { (database) throws(DatabaseError) in
      try database.execute(sql, values)
    }
  }

  private func count(_ fixture: Fixture, _ sql: StaticString) async throws -> Int64 {
    try await fixture.thread.run { (database) throws(DatabaseError) in
      try database.first(sql) { (row) throws(DatabaseError) in try row.integer(0) } ?? -1
    }
  }

  @Test("ends sign-ins at their time") func sessions() async throws {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    let later = now.advanced(bySeconds: 60)
    _ = try await fixture.accounts.openSession(
      of: user.id, seconds: SessionLife.secondsMax, now: later)
    let end = try await count(fixture, "SELECT min(expires_at) FROM sessions")
    #expect(try await fixture.accounts.tidy(now: UnixTime(seconds: end - 1)).sessions == 0)
    let tidied = try await fixture.accounts.tidy(now: UnixTime(seconds: end))
    #expect(tidied.sessions == 1)
    #expect(try await count(fixture, "SELECT count(*) FROM sessions") == 1)
  }

  @Test("forgets a settled revocation after thirty days, an open one never")
  func revocations() async throws {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    for state in ["pending", "revoked"] {
      let (record, _) = try await fixture.connect(user, lookup: SHA256Digest.of(state))
      _ = try await fixture.accounts.revokeConnection(record.id, of: user.id, now: now)
      guard state == "revoked" else { continue }
      try await fixture.accounts.settleParting(of: record.id, as: .revoked, now: now)
    }
    #expect(try await count(fixture, "SELECT count(*) FROM upstream_revocations") == 2)
    let days = Int64(30 * 86_400)
    let early = now.advanced(bySeconds: days - 1)
    #expect(try await fixture.accounts.tidy(now: early).revocations == 0)
    #expect(try await fixture.accounts.tidy(now: now.advanced(bySeconds: days)).revocations == 1)
    #expect(try await count(fixture, "SELECT count(*) FROM upstream_revocations") == 1)
  }

  @Test("names connections that were suspended for sixty days without a pause")
  func suspended() async throws {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    let (record, _) = try await fixture.addConnection(of: user)
    _ = try await fixture.addConnection(of: user, lookup: SHA256Digest.of("other"))
    let accounts = fixture.accounts
    let days = Int64(60 * 86_400)
    let id = Value.text(record.id.text)
    func tooLong(_ time: UnixTime) async throws -> [ConnectionID] {
      try await accounts.suspendedTooLong(now: time, limit: 10).map(\.connection)
    }

    try await run(fixture, "UPDATE connections SET status = 'suspended' WHERE id = ?", id)
    _ = try await accounts.tidy(now: now)
    #expect(try await tooLong(now.advanced(bySeconds: days - 1)).isEmpty)
    #expect(try await tooLong(now.advanced(bySeconds: days)) == [record.id])

    // Paid again: the next suspension begins anew.
    try await run(fixture, "UPDATE connections SET status = 'active' WHERE id = ?", id)
    _ = try await accounts.tidy(now: now.advanced(bySeconds: 10))
    try await run(fixture, "UPDATE connections SET status = 'suspended' WHERE id = ?", id)
    _ = try await accounts.tidy(now: now.advanced(bySeconds: 20))
    #expect(try await tooLong(now.advanced(bySeconds: days)).isEmpty)
    #expect(try await tooLong(now.advanced(bySeconds: days + 20)) == [record.id])
  }
}
