// The end of OAuth connections, by their owner's word or because another takes their place: what the
// provider is told, with which key, and what is kept until it was.

import Accounts
import Clocks
import Database
import RPC
import Testing

@testable import bindery_auth

@Suite("Parting from providers") struct DisconnectTests {
  private func disconnect(
    _ fixture: APIFixture, _ person: [(name: String, value: String)], _ id: String,
    _ body: String? = nil
  ) async -> APIFixture.Answer {
    await fixture.call(.delete, "/api/connections/\(id)", body, person)
  }

  /// Wraps and open revocations that are kept.
  private func kept(_ fixture: APIFixture) async throws -> [Int64] {
    [
      try await fixture.count(fixture.bindery, "SELECT count(*) FROM parted_wraps"),
      try await fixture.count(
        fixture.bindery, "SELECT count(*) FROM upstream_revocations WHERE state = 'pending'"),
      try await fixture.count(
        fixture.bindery,
        "SELECT count(*) FROM upstream_revocations WHERE managed_wrap IS NOT NULL"),
    ]
  }

  @Test("a managed connection's provider is told at once, or later by the scheduler")
  func managed() async throws {
    let fixture = try APIFixture()
    let (_, person) = try await fixture.person("a@example.org")
    let calls = DataKeyCalls(partings: fixture.accounts, keys: fixture.keys, log: .discarding)
    for (state, expected) in [(PartingState.revoked, [0, 0, 0]), (.pending, [0, 1, 1])] {
      fixture.revoker.say(state)
      let made = try await fixture.connect(person, #"{"key_storage_mode":"managed"}"#)
      let key = try await calls.unwrap(made.connection.id)
      let answer = await disconnect(fixture, person, made.connection.id)
      #expect(answer.status == 200)
      #expect(answer.body?.string("upstream_revocation") == state.rawValue)
      let told = try #require(fixture.revoker.all.last)
      #expect(told.connection.text == made.connection.id)
      #expect(told.dataKey == key)
      #expect(try await kept(fixture) == expected.map { Int64($0) })
      if state == .pending {
        #expect(try await calls.unwrap(made.connection.id) == key)
      } else {
        await #expect(throws: RPC.Refusal.conflict) {
          _ = try await calls.unwrap(made.connection.id)
        }
      }
    }
    #expect(fixture.shredder.all.isEmpty)
  }

  @Test("a zero-knowledge connection's provider is told with the credential, or waits for it")
  func zeroKnowledge() async throws {
    let fixture = try APIFixture()
    let (_, person) = try await fixture.person("a@example.org")
    let calls = DataKeyCalls(partings: fixture.accounts, keys: fixture.keys, log: .discarding)
    let first = try await fixture.connect(person)
    let second = try await fixture.connect(person)
    await #expect(throws: RPC.Refusal.conflict) {
      _ = try await calls.unwrap(first.connection.id)
    }
    for wrong in [second.secretUrl, "x", String(first.secretUrl.dropLast()) + "!"] {
      let answer = await disconnect(
        fixture, person, first.connection.id, #"{"credential":"\#(wrong)"}"#)
      #expect(answer.status == 403)
    }
    #expect(try await fixture.remains()[0] == 2)
    let told = await disconnect(
      fixture, person, first.connection.id, #"{"credential":"\#(first.apiKey)"}"#)
    #expect(told.body?.string("upstream_revocation") == "revoked")
    #expect(fixture.revoker.all.map(\.connection.text) == [first.connection.id])
    #expect(try await kept(fixture) == [0, 0, 0])
    let waiting = await disconnect(fixture, person, second.connection.id)
    #expect(waiting.body?.string("upstream_revocation") == "pending")
    #expect(fixture.revoker.all.count == 1)
    #expect(try await kept(fixture) == [1, 1, 0])
    #expect(fixture.shredder.all.isEmpty)
  }

  @Test("where there is no way to tell, the tokens go at once") func unsupported() async throws {
    let fixture = try APIFixture()
    let (_, person) = try await fixture.person("a@example.org")
    fixture.web.set(
      ScriptedProvider.metadata,
      json: """
        {"issuer":"https://as.example","authorization_endpoint":"https://as.example/a",
        "token_endpoint":"https://as.example/token","registration_endpoint":
        "https://as.example/register","code_challenge_methods_supported":["S256"],
        "response_types_supported":["code"]}
        """)
    for mode in ["managed", "zero_knowledge"] {
      let made = try await fixture.connect(person, #"{"key_storage_mode":"\#(mode)"}"#)
      let answer = await disconnect(fixture, person, made.connection.id)
      #expect(answer.body?.string("upstream_revocation") == "unsupported")
      #expect(fixture.shredder.all.last?.text == made.connection.id)
    }
    #expect(fixture.revoker.all.isEmpty)
    #expect(try await kept(fixture) == [0, 0, 0])
  }

  @Test("one connection takes another's place in one step", arguments: [false, true])
  func replaces(managed: Bool) async throws {
    let fixture = try APIFixture()
    let (user, person) = try await fixture.person("a@example.org")
    let mode = managed ? #"{"key_storage_mode":"managed"}"# : nil
    let old = try await fixture.connect(person, mode)
    let id = old.connection.id
    #expect(
      await fixture.call(.patch, "/api/connections/\(id)", #"{"label":"Work"}"#, person).status
        == 200)
    let mark = fixture.epochs.marking { () -> (value: Int, connection: ConnectionID)? in
      ConnectionID(id).map { (0, $0) }
    }
    let journey = try await ConnectJourney(
      fixture, person, #"{"replace_connection_id":"\#(id)"}"#)
    let again = try await ConnectJourney(
      fixture, person, #"{"replace_connection_id":"\#(id)"}"#)
    #expect(await journey.back("error=access_denied").status == 302)
    #expect(try await fixture.accounts.connections(of: user.id).map(\.id.text) == [id])
    #expect(fixture.epochs.isCurrent(try #require(mark?.mark)))
    _ = try await again.claim()
    let all = try await fixture.accounts.connections(of: user.id)
    #expect(all.count == 1)
    #expect(all[0].id.text != id)
    #expect(all[0].label == "Work")
    #expect(all[0].keyStorageMode == (managed ? .managed : .zeroKnowledge))
    #expect(!fixture.epochs.isCurrent(try #require(mark?.mark)))
    try await until { fixture.revoker.all.map(\.connection.text) == (managed ? [id] : []) }
    #expect(
      try await fixture.count(fixture.bindery, "SELECT count(*) FROM parted_wraps")
        == (managed ? 0 : 1))
  }

  @Test("what is gone, another's or another service's is not replaced") func notReplaced()
    async throws
  {
    let fixture = try APIFixture()
    let (user, person) = try await fixture.person("a@example.org")
    let (_, stranger) = try await fixture.person("b@example.org")
    let old = try await fixture.connect(person).connection.id
    let body = #"{"replace_connection_id":"\#(old)"}"#
    #expect(
      await fixture.call(.post, "/api/connections/beta/authorize", body, stranger).status == 404)
    #expect(
      await fixture.call(.post, "/api/connections/gamma/authorize", body, person).status == 404)
    let late = try await ConnectJourney(fixture, person, body)
    _ = try await ConnectJourney(fixture, person, body).claim()
    let before = try await fixture.accounts.connections(of: user.id)
    let answer = await late.back()
    #expect(answer.field("location") == "\(APIFixture.origin)/dashboard?error=connection_gone")
    #expect(try await fixture.accounts.connections(of: user.id) == before)
    #expect(before.count == 1)
  }

  /// Waits for what happens behind an answer.
  private func until(_ holds: @Sendable () -> Bool) async throws {
    let deadline = Instant.now.advanced(by: .seconds(10))
    while !holds() {
      try #require(Instant.now < deadline)
      await Task.yield()
    }
  }
}
