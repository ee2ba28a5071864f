// Plans where people connect by OAuth: who has no room is not sent away, and who loses it on the way
// comes back with a reason, without a connection, and with what was to be replaced as it was.

import Accounts
import Clocks
import Testing

@testable import bindery_auth

@Suite("Plans and connecting by OAuth") struct PlanTests {
  private static let on = ["STRIPE_PRICE_CONNECTIONS": "price", "TRIAL_DAYS": "0"]
  private static let back = APIFixture.origin + "/dashboard?error="

  private func start() async throws -> (APIFixture, User, [(name: String, value: String)]) {
    let fixture = try APIFixture(Self.on)
    try await fixture.accounts.preparePlans(now: .now)
    let (user, person) = try await fixture.person("a@example.org")
    return (fixture, user, person)
  }

  private func pay(
    _ fixture: APIFixture, _ user: User, _ version: Int64, _ quantity: Int64, _ plan: Plan = .active
  ) async throws {
    let standing = PlanStanding(version: version, plan: plan, quantity: quantity)
    _ = try await fixture.accounts.setPlan(standing, why: [], of: user.id, now: .now)
  }

  private func refusal(
    _ fixture: APIFixture, _ person: [(name: String, value: String)], _ body: String? = nil
  ) async -> [String?] {
    let answer = await fixture.call(.post, "/api/connections/beta/authorize", body, person)
    return ["\(answer.status)", answer.body?.string("error"), answer.body?.string("reason")]
  }

  @Test("nobody is sent to a provider for nothing") func early() async throws {
    let (fixture, user, person) = try await start()
    #expect(await refusal(fixture, person) == ["403", "forbidden", "trial_ended"])
    try await pay(fixture, user, 1, 1)
    let made = try await fixture.connect(person)
    #expect(await refusal(fixture, person) == ["403", "forbidden", "limit_reached"])
    // What takes the place of another needs none of its own.
    let replacing = #"{"replace_connection_id":"\#(made.connection.id)"}"#
    _ = try await fixture.connect(person, replacing)
    #expect(try await fixture.accounts.connections(of: user.id).count == 1)
    try await pay(fixture, user, 2, 0, .canceled)
    #expect(await refusal(fixture, person) == ["403", "forbidden", "canceled"])
  }

  @Test("whoever loses the room on the way comes back without a connection")
  func late() async throws {
    let (fixture, user, person) = try await start()
    try await pay(fixture, user, 1, 2)
    let journeys = [
      try await ConnectJourney(fixture, person), try await ConnectJourney(fixture, person),
      try await ConnectJourney(fixture, person),
    ]
    try await pay(fixture, user, 2, 1)
    _ = try await journeys[0].claim()
    #expect(await journeys[1].back().field("location") == Self.back + "limit_reached")
    try await pay(fixture, user, 3, 0, .canceled)
    #expect(await journeys[2].back().field("location") == Self.back + "plan_ended")
    // Their tokens were written already and are asked to be destroyed.
    #expect(fixture.shredder.all.count == 2)
    #expect(try await fixture.remains()[0] == 1)
  }

  @Test("what was to be replaced stays when there is no room for its successor")
  func replaced() async throws {
    let (fixture, user, person) = try await start()
    try await pay(fixture, user, 1, 1)
    let made = try await fixture.connect(person)
    let replacing = #"{"replace_connection_id":"\#(made.connection.id)"}"#
    let journey = try await ConnectJourney(fixture, person, replacing)
    try await pay(fixture, user, 2, 0, .canceled)
    #expect(await journey.back().field("location") == Self.back + "plan_ended")
    let left = try await fixture.accounts.connections(of: user.id)
    #expect(left.map(\.id.text) == [made.connection.id] && left[0].status == .suspended)
    // And works again when it is paid for.
    try await pay(fixture, user, 3, 1)
    #expect(try await fixture.accounts.connections(of: user.id)[0].status == .active)
  }
}
