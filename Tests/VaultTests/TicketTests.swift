// What somebody carries for a while opens what was sealed under it, in its own place, and nothing
// else does: not the hash that is stored, not another ticket, not another mode.

import Bytes
import Testing

@testable import Vault

@Suite("Tickets") struct TicketTests {
  static let owner = "6d1f7f3e-0000-4000-8000-000000000001"
  let engine = SealEngine()

  private func seal(_ text: String, _ ticket: Ticket, _ context: SealContext) -> [UInt8] {
    raw(Array(text.utf8)) { engine.seal($0, under: ticket, context: context) }
  }

  private func open(_ sealed: [UInt8], _ ticket: Ticket, _ context: SealContext) throws -> String {
    let secret = try engine.open(sealed, under: ticket, context: context)
    return secret.withBytes { String(decoding: $0, as: UTF8.self) }
  }

  @Test("opens what it sealed, in its place") func opens() throws {
    let ticket = Ticket()
    let state = ticket.hash(for: .state)
    let place = SealContext.pendingAuthorization(state: state, owner: Self.owner)
    let sealed = seal("verifier", ticket, place)
    let same = try #require(Ticket(ticket.makeText()))
    #expect(try open(sealed, same, place) == "verifier")
    #expect(throws: SealError.refused) { try open(sealed, Ticket(), place) }
    let others: [SealContext] = [
      .pendingAuthorization(state: state, owner: "x"),
      .pendingAuthorization(state: Ticket().hash(for: .state), owner: Self.owner),
      .claim(token: state, connection: "", owner: Self.owner),
    ]
    for other in others { #expect(throws: SealError.refused) { try open(sealed, ticket, other) } }
  }

  @Test("the stored hash is no key, and another purpose is another hash") func hashes() throws {
    let ticket = Ticket()
    let hashes = [Ticket.Purpose.state, .browser, .claim].map { ticket.hash(for: $0) }
    #expect(Set(hashes).count == 3)
    let place = SealContext.claim(token: hashes[2], connection: "c", owner: Self.owner)
    let sealed = seal("secret", ticket, place)
    for hash in hashes {
      let thief = try #require(Ticket(Base64URL.encode(hash.bytes)))
      #expect(throws: SealError.refused) { try open(sealed, thief, place) }
    }
  }

  @Test("a text that is not exactly 43 base64url characters is no ticket") func texts() {
    let text = Ticket().makeText()
    #expect(text.utf8.count == Ticket.textBytes)
    let bad = [
      "", "x", text + "A", String(text.dropLast()), text + "=", " " + text.dropFirst(),
      String(text.dropLast()) + "/", String(repeating: "_", count: 43),
    ]
    for bad in bad { #expect(Ticket(bad) == nil, "\(bad)") }
  }

  @Test("a value under a master key opens in its place, with its key") func masterKey() throws {
    let ring = try SealingTests.ring(2)
    let place = SealContext.registrationSecret(issuer: "https://a", redirectURI: "https://b/c")
    let sealed = raw(Array("s".utf8)) { engine.seal($0, under: ring, context: place) }
    let opened = try engine.open(sealed, under: ring, context: place)
    #expect(opened.withBytes { Array($0) } == Array("s".utf8))
    let swapped = SealContext.registrationSecret(issuer: "https://b/c", redirectURI: "https://a")
    #expect(throws: SealError.refused) {
      _ = try engine.open(sealed, under: ring, context: swapped)
    }
    let other = try SealingTests.ring(1)
    #expect(throws: SealError.refused) {
      _ = try engine.open(sealed, under: other, context: place)
    }
  }
}
