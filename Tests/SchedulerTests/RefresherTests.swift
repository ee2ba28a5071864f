// One exchange a generation, durable before it is answered; what fails keeps the tokens, unless the
// provider itself says that they are dead.

import Clocks
import Database
import OAuth
import Synchronization
import Testing
import Vault

@testable import bindery_scheduler

/// Something that has happened or not.
private final class Flag: Sendable {
  private let held = Atomic<Bool>(false)
  var isUp: Bool { held.load(ordering: .relaxed) }
  func raise() { held.store(true, ordering: .relaxed) }
}

@Suite("Refresher") struct RefresherTests {
  private static let good =
    #"{"access_token":"access-2","refresh_token":"refresh-2","expires_in":3600}"#

  @Test("exchanges, stores the next generation and closes the intent") func success() async throws {
    let fixture = try await RefreshFixture { _, _ in (200, Self.good) }
    #expect(await fixture.refresh() == .init(.fresh))
    let stored = try #require(try await fixture.stored())
    #expect(stored.generation == 2)
    #expect(stored.grant.accessToken == "access-2" && stored.grant.refreshToken == "refresh-2")
    #expect(stored.grant.clientID == "client" && stored.grant.scope == "read")
    #expect(try await fixture.openIntents() == 0)
    #expect(
      fixture.endpoint.forms == [
        "grant_type=refresh_token&refresh_token=refresh-1"
          + "&resource=https%3A%2F%2Fmcp.example%2Fmcp&client_id=client"
      ])
    // Whoever still holds the first generation is told to read again; nothing is exchanged.
    #expect(await fixture.refresh(1, wasRefused: true) == .init(.fresh))
    #expect(fixture.endpoint.forms.count == 1)
  }

  @Test("makes one exchange for a hundred callers in two processes") func singleFlight()
    async throws
  {
    let fixture = try await RefreshFixture { _, _ in
      try? await Task.sleep(for: .milliseconds(100))
      return (200, Self.good)
    }
    let other = Refresher(try fixture.otherParts())
    await withTaskGroup(of: Refresher.Outcome.self) { group in
      let (first, key) = (fixture.refresher, fixture.key.base64URL)
      for number in 0..<100 {
        group.addTask {
          await (number % 2 == 0 ? first : other).refresh(
            RefreshFixture.connection, generation: 1, key: DataKey(base64URL: key)!,
            wasRefused: number % 3 == 0, urgency: .onDemand)
        }
      }
      for await outcome in group { #expect(outcome == .init(.fresh)) }
    }
    #expect(fixture.endpoint.forms.count == 1)
    #expect(try await fixture.stored()?.generation == 2)
  }

  @Test("keeps the refresh token that the answer does not mention") func keepsToken() async throws {
    let fixture = try await RefreshFixture { _, _ in (200, #"{"access_token":"access-2"}"#) }
    #expect(await fixture.refresh() == .init(.fresh))
    let stored = try #require(try await fixture.stored())
    #expect(stored.grant.refreshToken == "refresh-1")
    #expect(stored.grant.expiresAt == nil)
  }

  @Test("a dead grant is dead for its generation, and not asked about again") func deadGrant()
    async throws
  {
    let fixture = try await RefreshFixture { _, _ in (400, #"{"error":"invalid_grant"}"#) }
    #expect(await fixture.refresh() == .init(.needsReauthorization))
    #expect(await fixture.refresh(wasRefused: true) == .init(.needsReauthorization))
    #expect(fixture.endpoint.forms.count == 1)
    let state = try #require(try await fixture.state())
    #expect(state.generation == 1 && state.needsReauthAt != nil)
    #expect(try await fixture.stored()?.grant.refreshToken == "refresh-1")
  }

  @Test(
    "trouble at the provider costs no grant",
    arguments: [
      (503, "<html>"), (200, "<html>"), (429, ""), (401, #"{"error":"invalid_client"}"#),
      (400, #"{"error":"invalid_request"}"#), (200, "{}"), (0, ""),
    ])
  func trouble(_ status: Int, _ body: String) async throws {
    let fixture = try await RefreshFixture { _, _ in (status, body) }
    let first = await fixture.refresh()
    #expect(first.outcome == .later && (first.retryAfterSeconds ?? 0) >= 1)
    let state = try #require(try await fixture.state())
    #expect(state.needsReauthAt == nil && state.failures == 1 && state.nextTryAt != nil)
    #expect(try await fixture.openIntents() == 0)
    #expect(await fixture.refresh().outcome == .later)
    #expect(try await fixture.stored()?.grant.refreshToken == "refresh-1")
  }

  @Test("does not ask again before its time") func tooEarly() async throws {
    // Half a minute at least, for an error that is nobody's trouble.
    let fixture = try await RefreshFixture { _, _ in (400, #"{"error":"invalid_request"}"#) }
    #expect(await fixture.refresh().outcome == .later)
    #expect(await fixture.refresh(wasRefused: true).outcome == .later)
    #expect(fixture.endpoint.forms.count == 1)
  }

  @Test("works again when the provider does") func recovery() async throws {
    let fixture = try await RefreshFixture { _, count in
      count == 1 ? (503, "") : (200, Self.good)
    }
    let first = await fixture.refresh()
    try await Task.sleep(for: .seconds((first.retryAfterSeconds ?? 1) + 1))
    #expect(await fixture.refresh() == .init(.fresh))
    #expect(try await fixture.state()?.failures == 0)
  }

  @Test("tokens that work are left alone; refused ones are not") func early() async throws {
    let fixture = try await RefreshFixture(life: 3600) { _, _ in (200, Self.good) }
    #expect(await fixture.refresh() == .init(.fresh))
    #expect(fixture.endpoint.forms.isEmpty)
    #expect(await fixture.refresh(wasRefused: true) == .init(.fresh))
    #expect(fixture.endpoint.forms.count == 1)
  }

  @Test("a run that leaves tokens alone does not answer for those that were refused")
  func joinedByRefused() async throws {
    let fixture = try await RefreshFixture(life: 3600) { _, _ in (200, Self.good) }
    let locks = try fixture.otherParts().locks
    #expect(locks.take(RefreshFixture.connection))
    async let mild = fixture.refresh()
    while await fixture.refresher.count == 0 { await Task.yield() }
    async let refused = fixture.refresh(wasRefused: true)
    try await Task.sleep(for: .milliseconds(50))
    locks.release(RefreshFixture.connection)
    #expect(await mild == .init(.fresh))
    #expect(await refused == .init(.fresh))
    #expect(fixture.endpoint.forms.count == 1)
    #expect(try await fixture.stored()?.generation == 2)
    #expect(await fixture.refresher.count == 0)
  }

  @Test("without a refresh token only refused tokens need the person") func noRefreshToken()
    async throws
  {
    let fixture = try await RefreshFixture(refreshToken: nil) { _, _ in (200, Self.good) }
    #expect(await fixture.refresh() == .init(.unrefreshable))
    #expect(try await fixture.state() == nil)
    #expect(await fixture.refresh(wasRefused: true) == .init(.needsReauthorization))
    #expect(fixture.endpoint.forms.isEmpty)
  }

  @Test("creates nothing anew when the connection goes during the exchange") func revokedMeanwhile()
    async throws
  {
    let (stream, gate) = AsyncStream.makeStream(of: Void.self)
    let fixture = try await RefreshFixture { _, _ in
      for await _ in stream { break }
      return (200, Self.good)
    }
    async let outcome = fixture.refresh()
    while fixture.endpoint.forms.isEmpty { try await Task.sleep(for: .milliseconds(5)) }
    try await fixture.revoke()
    gate.yield()
    _ = await outcome
    #expect(try await fixture.stored() == nil)
    #expect(try await fixture.state() == nil)
    #expect(try await fixture.openIntents() == 0)
  }

  @Test("asks nothing for a connection that goes while it waits for its turn") func revokedBefore()
    async throws
  {
    // The gate's clock stands still, and so its queue, until the connection is gone.
    let flag = Flag()
    let start = Instant.now
    let fixture = try await RefreshFixture(
      gateClock: { flag.isUp ? .now.advanced(bySeconds: 1) : start }
    ) { _, _ in (200, Self.good) }
    let gate = fixture.parts.gates.gate(of: "demo")
    #expect(await gate.admit(.onDemand) == .go)
    async let outcome = fixture.refresh()
    while await gate.waiting == 0 { try await Task.sleep(for: .milliseconds(1)) }
    try await fixture.auth.run { (database) throws(DatabaseError) in
      try database.execute("UPDATE connections SET status = 'revoked', revoked_at = 2")
    }
    flag.raise()
    #expect(await outcome == .init(.unrefreshable))
    #expect(fixture.endpoint.forms.isEmpty)
    #expect(try await fixture.openIntents() == 0)
  }

  @Test("locks a connection once, in one process and in another, and its neighbours not")
  func locks() async throws {
    let fixture = try await RefreshFixture { _, _ in (200, Self.good) }
    let (first, second) = (fixture.parts.locks, try RefreshLocks(directory: fixture.folder))
    let names = (0..<RefreshLocks.slots * 2).map { "connection-\($0)" }  // bytes are shared
    #expect(names.allSatisfy(first.take))
    #expect(!names.contains(where: first.take))
    #expect(!names.contains(where: second.take))
    names.dropFirst().forEach(first.release)
    #expect(!second.take(names[0]) && !first.take(names[0]) && first.take(names[1]))
    first.release(names[0])
    first.release(names[1])
    first.release(names[1])
    #expect(second.take(names[0]) && !first.take(names[0]))
  }

  @Test("an intent that a crash left is tried again with the old token") func afterCrash()
    async throws
  {
    let fixture = try await RefreshFixture { _, _ in (200, Self.good) }
    let attempt = try await fixture.tokens.run { (database) throws(TokenStoreError) in
      try RefreshLedger(database).begin(
        RefreshFixture.connection, generation: 1, atMilliseconds: 1)
    }
    #expect(attempt == 1)
    #expect(try await fixture.openIntents() == 1)
    #expect(await fixture.refresh() == .init(.fresh))
    #expect(fixture.endpoint.forms.count == 1)
    #expect(try await fixture.openIntents() == 0)
  }

  @Test("waits for another process that has the lock, then gives up for now") func lockedOut()
    async throws
  {
    let fixture = try await RefreshFixture { _, _ in (200, Self.good) }
    let other = try RefreshLocks(directory: fixture.folder)
    #expect(other.take(RefreshFixture.connection))
    var parts = try fixture.otherParts()
    parts.lockPatience = .milliseconds(50)
    #expect(await fixture.refresh(by: Refresher(parts)).outcome == .later)
    #expect(fixture.endpoint.forms.isEmpty)
    other.release(RefreshFixture.connection)
    #expect(await fixture.refresh() == .init(.fresh))
  }
}
