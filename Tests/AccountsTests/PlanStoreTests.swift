// A plan in force: what is allowed, what there is, and the suspending in between are one transaction.
// Time is an argument; nothing here waits.

import Accounts
import Clocks
import Database
import JOSE
import Testing
import Vault

@Suite("The store of plans") final class PlanStoreTests {
  // For the length of the test, whose database goes with it.
  private var held: Fixture?

  static let day: Int64 = 86_400
  static let terms = PlanTerms(trialSeconds: 5 * day, trialConnections: 2, graceSeconds: 3 * day)

  /// Plans in force since the fixture's time, billing in contact.
  private func start() async throws -> (Fixture, SQLiteAccounts, User) {
    let fixture = try Fixture()
    held = fixture
    let accounts = SQLiteAccounts(fixture.thread, plans: Self.terms)
    try await accounts.preparePlans(now: Fixture.now)
    return (fixture, accounts, try await fixture.addUser().0)
  }

  private func after(_ seconds: Int64) -> UnixTime { Fixture.now.advanced(bySeconds: seconds) }

  private func paying(
    _ version: Int64, _ quantity: Int64, plan: Plan = .active, pastDue: Int64? = nil,
    until: Int64? = nil
  ) -> PlanStanding {
    PlanStanding(
      version: version, plan: plan, quantity: quantity, pastDueSince: pastDue.map(after),
      accessUntil: until.map(after))
  }

  private func connect(
    _ accounts: SQLiteAccounts, _ user: User, at offset: Int64 = 0, replacing: ConnectionID? = nil
  ) async throws(AccountError) -> ConnectionID {
    let id = ConnectionID.random()
    let time = after(offset)
    return try await accounts.addConnection(
      ConnectionRecord(
        id: id, userID: user.id, service: "linear", label: "", authType: .oauth,
        keyStorageMode: .zeroKnowledge, createdAt: time),
      serviceName: "Linear", managedWrap: nil,
      credential: NewCredential(
        record: CredentialRecord(id: .random(), connectionID: id, name: "first", createdAt: time),
        lookup: SHA256Digest.of(id.text), wrap: [UInt8](repeating: 7, count: 314)),
      claim: NewClaim(
        token: Ticket().hash(for: .claim), sealed: [UInt8](repeating: 9, count: 570)),
      replacing: replacing
    ).connection.id
  }

  private func active(_ accounts: SQLiteAccounts, _ user: User) async throws -> [ConnectionID] {
    try await accounts.connections(of: user.id).filter { $0.status == .active }.map(\.id)
  }

  private func events(_ fixture: Fixture) async throws -> [String] {
    try await fixture.thread.run { (database) throws(DatabaseError) in
      try database.all(
        """
        SELECT event || ' ' || replace(about, char(10), ' ') FROM audit_log
        WHERE event LIKE 'plan%' OR event LIKE 'connection_%ed' ORDER BY sequence
        """
      ) { (row) throws(DatabaseError) in try row.text(0) }
    }
  }

  @Test("gives the trial's connections and no more") func trial() async throws {
    let (_, accounts, user) = try await start()
    _ = try await connect(accounts, user)
    _ = try await connect(accounts, user)
    await #expect(throws: AccountError.planForbids(.limitReached)) {
      try await connect(accounts, user)
    }
    await #expect(throws: AccountError.planForbids(.limitReached)) {
      try await accounts.checkRoom(of: user.id, replacing: nil, now: Fixture.now)
    }
    #expect(try await active(accounts, user).count == 2)
  }

  @Test("counts a replaced connection once, and a suspended one not at all")
  func replacing() async throws {
    let (_, accounts, user) = try await start()
    let first = try await connect(accounts, user)
    let second = try await connect(accounts, user, at: 1)
    try await accounts.checkRoom(of: user.id, replacing: second, now: Fixture.now)
    let third = try await connect(accounts, user, at: 2, replacing: second)
    #expect(try await active(accounts, user) == [first, third])

    // Only one is left: what the third replaced would take a place that is not there.
    let later = 6 * Self.day
    try await accounts.noteContact(caughtUpAt: after(later), now: after(later))
    _ = try await accounts.setPlan(paying(1, 1), why: [], of: user.id, now: after(later))
    #expect(try await active(accounts, user) == [first])
    await #expect(throws: AccountError.planForbids(.limitReached)) {
      try await accounts.checkRoom(of: user.id, replacing: third, now: after(later))
    }
    await #expect(throws: AccountError.planForbids(.limitReached)) {
      try await connect(accounts, user, at: later, replacing: third)
    }
    #expect(try await accounts.connection(third, of: user.id).status == .suspended)
    _ = try await connect(accounts, user, at: later, replacing: first)
    #expect(try await active(accounts, user).count == 1)
  }

  @Test("suspends the newest first and reactivates the oldest first") func order() async throws {
    let (fixture, accounts, user) = try await start()
    let first = try await accounts.setPlan(paying(1, 5), why: ["paid"], of: user.id, now: after(0))
    #expect(first.isApplied && first.touched.isEmpty)
    var ids: [ConnectionID] = []
    // In the same second, so that the order of arrival decides.
    for index in 0..<5 { ids.append(try await connect(accounts, user, at: index < 3 ? 0 : 1)) }

    let late = after(10 * Self.day)
    try await accounts.noteContact(caughtUpAt: late, now: late)
    let down = try await accounts.setPlan(paying(2, 2), why: [], of: user.id, now: late)
    #expect(down.suspended == 3 && Set(down.touched) == Set(ids))
    #expect(try await active(accounts, user) == Array(ids[..<2]))
    let up = try await accounts.setPlan(paying(3, 4), why: [], of: user.id, now: late)
    #expect(up.reactivated == 2)
    #expect(try await active(accounts, user) == Array(ids[..<4]))
    let none = try await accounts.setPlan(
      paying(4, 0, plan: .canceled), why: [], of: user.id, now: late)
    #expect(none.suspended == 4)
    #expect(try await active(accounts, user).isEmpty)

    let told = try await events(fixture).filter { !$0.hasPrefix("connection_added") }
    func line(_ event: String, _ index: Int) -> String { "\(event) connection=\(ids[index].text)" }
    #expect(
      told == [
        "plan_changed plan=active quantity=5 version=1",
        "plan_changed plan=active quantity=2 version=2",
        line("connection_suspended", 4), line("connection_suspended", 3),
        line("connection_suspended", 2),
        "plan_changed plan=active quantity=4 version=3",
        line("connection_reactivated", 2), line("connection_reactivated", 3),
        "plan_changed plan=canceled quantity=0 version=4",
        line("connection_suspended", 3), line("connection_suspended", 2),
        line("connection_suspended", 1), line("connection_suspended", 0),
      ])
  }

  @Test("obeys no standing that is not newer") func versions() async throws {
    let (fixture, accounts, user) = try await start()
    #expect(
      try await accounts.setPlan(paying(7, 5), why: ["seven"], of: user.id, now: after(0)).isApplied
    )
    for version in [Int64(7), 6, 1] {
      let outcome = try await accounts.setPlan(
        paying(version, 0, plan: .canceled), why: ["old"], of: user.id, now: after(1))
      #expect(!outcome.isApplied && outcome.touched.isEmpty)
    }
    let view = try #require(try await accounts.plan(of: user.id, now: after(1))).view
    #expect(view.rules.standing == paying(7, 5))
    #expect(view.why == ["seven"] && view.setAt == after(0))
    #expect(try await events(fixture).count == 1)
    await #expect(throws: AccountError.notFound) {
      try await accounts.setPlan(paying(8, 1), why: [], of: .random(), now: after(1))
    }
  }

  @Test("applies what the clock ends when it is due, and when somebody looks")
  func clock() async throws {
    let (_, accounts, user) = try await start()
    let first = try await connect(accounts, user)
    let second = try await connect(accounts, user, at: 1)
    // Once after connecting, then at the trial's end.
    #expect(try await accounts.reviewPlans(now: after(2), limit: 10)?.suspended == 0)
    #expect(try await accounts.reviewPlans(now: after(3), limit: 10) == nil)
    let end = 5 * Self.day
    try await accounts.noteContact(caughtUpAt: after(end - 100), now: after(end - 100))
    _ = try await accounts.reviewPlans(now: after(end - 1), limit: 10)
    #expect(try await active(accounts, user) == [first, second])
    let ended = try #require(try await accounts.reviewPlans(now: after(end), limit: 10))
    #expect(ended.suspended == 2 && Set(ended.touched) == [first, second])
    #expect(try await accounts.reviewPlans(now: after(end), limit: 10) == nil)

    // A grace that ends is seen by whoever asks before the review.
    let grace = paying(1, 2, pastDue: end)
    _ = try await accounts.setPlan(grace, why: [], of: user.id, now: after(end))
    #expect(try await active(accounts, user).count == 2)
    let over = end + 3 * Self.day
    try await accounts.noteContact(caughtUpAt: after(over), now: after(over))
    let seen = try #require(try await accounts.plan(of: user.id, now: after(over)))
    #expect(seen.view.active == 0 && seen.view.suspended == 2 && seen.outcome.suspended == 2)
  }

  @Test("puts ends off while billing is silent, and ends them when it is back")
  func silence() async throws {
    let (_, accounts, user) = try await start()
    _ = try await connect(accounts, user)
    let end = 5 * Self.day
    try await accounts.noteContact(caughtUpAt: after(end - 400), now: after(end - 400))
    _ = try await accounts.reviewPlans(now: after(end - 400), limit: 10)
    _ = try await accounts.reviewPlans(now: after(end), limit: 10)
    #expect(try await active(accounts, user).count == 1)
    let last = end - 400 + 72 * 3600
    _ = try await accounts.reviewPlans(now: after(last - 1), limit: 10)
    #expect(try await active(accounts, user).count == 1)
    // Back an hour before, with nothing to tell: the end holds at once.
    try await accounts.noteContact(caughtUpAt: after(last - 3600), now: after(last - 3600))
    #expect(try await accounts.reviewPlans(now: after(last - 3600), limit: 10)?.suspended == 1)
  }

  @Test("stops putting off 72 hours after billing's last word") func silenceEnds() async throws {
    let (_, accounts, user) = try await start()
    _ = try await connect(accounts, user)
    let end = 5 * Self.day
    let word = end - Self.day
    try await accounts.noteContact(caughtUpAt: after(word), now: after(word))
    for (offset, count) in [(end, 1), (word + 72 * 3600 - 1, 1), (word + 72 * 3600, 0)] {
      _ = try await accounts.reviewPlans(now: after(offset), limit: 10)
      #expect(try await active(accounts, user).count == count, "\(offset)")
    }
  }

  @Test("believes no word from the future, nor one that is older") func contact() async throws {
    let (fixture, accounts, _) = try await start()
    try await accounts.noteContact(caughtUpAt: after(9_999_999), now: after(10))
    try await accounts.noteContact(caughtUpAt: after(5), now: after(20))
    let at = try await fixture.thread.run { (database) throws(DatabaseError) in
      try database.first("SELECT caught_up_at FROM billing_contact") {
        (row) throws(DatabaseError) in try row.integer(0)
      }
    }
    #expect(at == after(10).seconds)
  }

  @Test("wakes the oldest suspended one when another goes") func disconnect() async throws {
    let (_, accounts, user) = try await start()
    _ = try await accounts.setPlan(paying(1, 3), why: [], of: user.id, now: after(0))
    var ids: [ConnectionID] = []
    for offset in 0..<3 { ids.append(try await connect(accounts, user, at: Int64(offset))) }
    let late = after(10 * Self.day)
    _ = try await accounts.setPlan(paying(2, 1), why: [], of: user.id, now: late)
    #expect(try await accounts.reviewPlans(now: late, limit: 10) == nil)
    _ = try await accounts.revokeConnection(ids[0], of: user.id, now: late)
    let woken = try #require(try await accounts.reviewPlans(now: late, limit: 10))
    #expect(woken.reactivated == 1 && Set(woken.touched) == Set(ids[1...]))
    #expect(try await active(accounts, user) == [ids[1]])
  }

  @Test("lets a plan that can not be read delay no other") func malformed() async throws {
    let (fixture, accounts, user) = try await start()
    let (other, _) = try await fixture.addUser("b@example.org")
    _ = try await connect(accounts, user)
    let id = try await connect(accounts, other)
    _ = try await accounts.setPlan(paying(1, 5), why: [], of: user.id, now: after(0))
    try await fixture.thread.run { (database) throws(DatabaseError) in
      try database.execute(
        "UPDATE plans SET quantity = 2000000, review_at = 0 WHERE user_id = ?",
        .text(user.id.text))
    }
    let end = after(5 * Self.day)
    try await accounts.noteContact(caughtUpAt: end, now: end)
    let outcome = try #require(try await accounts.reviewPlans(now: end, limit: 10))
    #expect(outcome.malformed == 1 && outcome.suspended == 1)
    #expect(try await accounts.connection(id, of: other.id).status == .suspended)
    #expect(try await accounts.reviewPlans(now: end, limit: 10) == nil)
  }

  @Test("leaves nobody suspended when plans are switched off") func switchedOff() async throws {
    let (fixture, accounts, user) = try await start()
    let id = try await connect(accounts, user)
    let end = after(5 * Self.day)
    try await accounts.noteContact(caughtUpAt: end, now: end)
    _ = try await accounts.reviewPlans(now: end, limit: 10)
    #expect(try await active(accounts, user).isEmpty)
    try await fixture.accounts.preparePlans(now: end)
    #expect(try await active(accounts, user) == [id])
    #expect(try await fixture.accounts.plan(of: user.id, now: end) == nil)
    #expect(try await fixture.accounts.reviewPlans(now: end, limit: 10) == nil)
    for _ in 0..<5 { _ = try await connect(fixture.accounts, user, at: 6 * Self.day) }

    // Switched on again: the trial began with the first time.
    try await accounts.preparePlans(now: end)
    #expect(try await accounts.reviewPlans(now: end, limit: 10)?.suspended == 6)
  }

  @Test("gives those who were here before plans a whole trial") func before() async throws {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    for _ in 0..<4 { _ = try await connect(fixture.accounts, user) }
    let accounts = SQLiteAccounts(fixture.thread, plans: Self.terms)
    let on = 400 * Self.day
    try await accounts.preparePlans(now: after(on))
    // Two of four: the trial's number holds from the first moment.
    #expect(try await accounts.reviewPlans(now: after(on), limit: 10)?.suspended == 2)
    let end = on + 5 * Self.day
    try await accounts.noteContact(caughtUpAt: after(end - 1), now: after(end - 1))
    _ = try await accounts.reviewPlans(now: after(end - 1), limit: 10)
    #expect(try await active(accounts, user).count == 2)
    #expect(try await accounts.reviewPlans(now: after(end), limit: 10)?.suspended == 2)
  }
}
