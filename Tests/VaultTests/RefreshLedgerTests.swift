// Answers what the ledger of refreshes says about a connection as its tokens come and go: what is
// written of one generation is never said of another.

import Clocks
import Testing

@testable import Database
@testable import Vault

@Suite("Refresh ledger") struct RefreshLedgerTests {
  let place: Place
  let now = UnixTime(seconds: 1_800_000_000)
  let connection = Place.identifier()

  init() throws { place = try Place() }

  private func blob(_ generation: UInt64, life: Int64? = 100) -> TokenBlob {
    TokenBlob(
      generation: generation, sealed: Randomness.bytes(count: 100),
      expiresAt: life.map { now.advanced(bySeconds: $0) })
  }

  @Test("a standing follows intent, failure and success") func standing() throws {
    let database = try place.tokens()
    let ledger = RefreshLedger(database)
    #expect(try ledger.standing(of: connection) == nil)
    try TokenStore(database).insert(blob(1), of: connection, at: now)
    let end = now.advanced(bySeconds: 100)
    #expect(
      try ledger.standing(of: connection)
        == TokenStanding(generation: 1, expiresAt: end, writtenAt: now))
    #expect(try ledger.begin(connection, generation: 1, atMilliseconds: 1) == 1)
    #expect(try ledger.begin(connection, generation: 1, atMilliseconds: 2) == 2)
    #expect(try ledger.standing(of: connection)?.isOpen == true)
    let next = now.advanced(bySeconds: 7)
    try ledger.fail(
      connection, generation: 1,
      RefreshFailure(reason: "server", needsReauth: false, nextTryAt: next), at: now)
    #expect(
      try ledger.standing(of: connection)
        == TokenStanding(generation: 1, expiresAt: end, writtenAt: now, nextTryAt: next))
    try ledger.fail(
      connection, generation: 1,
      RefreshFailure(reason: "invalid_grant", needsReauth: true, nextTryAt: nil), at: now)
    #expect(try ledger.standing(of: connection)?.needsReauth == true)
    // The person consented again: what was said of the generation before is over.
    try TokenStore(database).replace(with: blob(2, life: nil), of: connection, at: now)
    #expect(
      try ledger.standing(of: connection)
        == TokenStanding(generation: 2, expiresAt: nil, writtenAt: now))
  }

  @Test("a commit that comes too late ends the intent and writes nothing else") func tooLate()
    throws
  {
    let database = try place.tokens()
    let ledger = RefreshLedger(database)
    try TokenStore(database).insert(blob(1), of: connection, at: now)
    _ = try ledger.begin(connection, generation: 1, atMilliseconds: 1)
    try TokenStore(database).replace(with: blob(2), of: connection, at: now)
    #expect(throws: TokenStoreError.generationMoved) {
      try ledger.commit(blob(2), of: connection, refreshExpiresAt: nil, at: now)
    }
    #expect(try ledger.openIntents() == 0)
    #expect(try ledger.standing(of: connection)?.generation == 2)
    #expect(try ledger.state(of: connection) == nil)
    #expect(throws: TokenStoreError.generationMoved) {
      try ledger.begin(connection, generation: 1, atMilliseconds: 3)
    }
  }
}
