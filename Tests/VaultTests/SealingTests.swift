// Answers what a sealed value withstands: changed bits, another place, another key, another kind of
// key. All of it must end in the one refusal.

import Bytes
import Clocks
import Testing

@testable import Vault

/// A data key that closures and macros may hold.
final class KeyBox {
  let key = DataKey.random()
}

@Suite("Sealing") struct SealingTests {
  let engine = SealEngine()

  static func ring(_ count: Int) throws -> KeyRing {
    let keys = (0..<count).map { _ in "{\"key\":\"\(Hex.encode(Randomness.bytes(count: 32)))\"}" }
    return try raw(Array("[\(keys.joined(separator: ","))]".utf8)) {
      (text) throws(KeyRingError) in try KeyRing(text: text)
    }
  }

  private func opens(
    _ sealed: [UInt8], under box: KeyBox, at context: SealContext
  ) -> Bool {
    do throws(SealError) {
      try raw(sealed) { sealed throws(SealError) in
        try engine.open(sealed, under: box.key, context: context) { _ throws(SealError) in }
      }
      return true
    } catch {
      return false
    }
  }

  @Test("opens what it sealed, of any length") func lengths() throws {
    let box = KeyBox()
    let place = SealContext.tokenBlob(connection: "c", owner: "o", generation: 3)
    for count in [0, 1, 251, 252, 253, 507, 508, 509, 5000, SealedValue.plaintextBytesMax] {
      let plain = Randomness.bytes(count: count)
      let sealed = raw(plain) { engine.seal($0, under: box.key, context: place) }
      #expect((sealed.count - 58) % 256 == 0)
      let opened = try raw(sealed) { (sealed) throws(SealError) in
        try engine.open(sealed, under: box.key, context: place) { (plain) throws(SealError) in
          [UInt8](plain)
        }
      }
      #expect(opened == plain)
    }
  }

  @Test("refuses every changed bit of a hundred blobs") func bits() {
    for number in 0..<100 {
      let box = KeyBox()
      let place = SealContext.tokenBlob(connection: "c\(number)", owner: "o", generation: 1)
      var sealed = raw(Randomness.bytes(count: number)) {
        engine.seal($0, under: box.key, context: place)
      }
      #expect(opens(sealed, under: box, at: place))
      var accepted = 0
      for bit in 0..<sealed.count * 8 {
        sealed[bit / 8] ^= 1 << UInt8(bit % 8)
        if opens(sealed, under: box, at: place) { accepted += 1 }
        sealed[bit / 8] ^= 1 << UInt8(bit % 8)
      }
      #expect(accepted == 0)
    }
  }

  @Test("refuses every other length") func cuts() {
    let box = KeyBox()
    let place = SealContext.tokenBlob(connection: "c", owner: "o", generation: 1)
    let sealed = raw(Randomness.bytes(count: 300)) {
      engine.seal($0, under: box.key, context: place)
    }
    for count in 0..<sealed.count {
      #expect(!opens(Array(sealed[..<count]), under: box, at: place))
    }
    #expect(!opens(sealed + [0], under: box, at: place))
    #expect(!opens(sealed + sealed, under: box, at: place))
  }

  @Test("opens in its own table, row, connection, owner, field and generation only") func places() {
    let box = KeyBox()
    func place(
      _ table: StaticString, _ field: StaticString, _ row: String, _ connection: String,
      _ owner: String, _ generation: UInt64
    ) -> SealContext {
      SealContext(
        table: table, field: field, row: row, connection: connection, owner: owner,
        generation: generation)
    }
    let own = place("t", "f", "r", "c", "o", 1)
    let sealed = raw([1, 2, 3]) { engine.seal($0, under: box.key, context: own) }
    #expect(opens(sealed, under: box, at: own))
    for other in [
      place("u", "f", "r", "c", "o", 1), place("t", "g", "r", "c", "o", 1),
      place("t", "f", "s", "c", "o", 1), place("t", "f", "r", "d", "o", 1),
      place("t", "f", "r", "c", "p", 1), place("t", "f", "r", "c", "o", 2),
      // The same bytes, cut differently: what separators instead of lengths would let through.
      place("t", "f", "rc", "", "o", 1), place("tr", "f", "", "c", "o", 1),
      place("t", "f", "r", "co", "", 1), place("t", "f", "", "rc", "o", 1),
      place("t", "of", "r", "c", "", 1),
    ] { #expect(!opens(sealed, under: box, at: other)) }
  }

  @Test("takes a fresh salt each time, also on two engines") func salts() {
    let box = KeyBox()
    let place = SealContext.tokenBlob(connection: "c", owner: "o", generation: 1)
    let other = SealEngine()
    var salts: Set<[UInt8]> = []
    for round in 0..<10_000 {
      let sealed = raw([7]) {
        (round % 2 == 0 ? engine : other).seal($0, under: box.key, context: place)
      }
      salts.insert(Array(sealed[SealedValue.saltRange]))
    }
    #expect(salts.count == 10_000)
  }

  @Test("wraps a data key under a credential and under the active master key") func wraps() throws {
    let key = DataKey.random()
    let credential = CredentialSecret.random()
    let held = SealContext.credentialWrap(credential: "k", connection: "c", owner: "o")
    let wrap = engine.wrap(key, under: credential, context: held)
    let again = try raw(wrap) { (wrap) throws(SealError) in
      try engine.unwrap(wrap, with: credential, context: held)
    }
    let same = again.isEqual(to: key)
    #expect(same)
    #expect(throws: SealError.refused) {
      let stranger = CredentialSecret.random()
      _ = try raw(wrap) { (wrap) throws(SealError) in
        try engine.unwrap(wrap, with: stranger, context: held)
      }
    }
    let ring = try Self.ring(3)
    let managed = SealContext.managedWrap(connection: "c", owner: "o")
    let kept = engine.wrap(key, under: ring, context: managed)
    #expect(raw(kept) { KeyFingerprint(ofSealed: $0) } == ring.active.fingerprint)
    let third = try raw(kept) { (kept) throws(SealError) in
      try engine.unwrap(kept, with: ring, context: managed)
    }
    let alike = third.isEqual(to: key)
    #expect(alike)
    let without = try KeyRing(Array(ring.keys.dropLast()))
    #expect(throws: SealError.refused) {
      _ = try raw(kept) { (kept) throws(SealError) in
        try engine.unwrap(kept, with: without, context: managed)
      }
    }
  }

  @Test("refuses a wrap of one mode as another, even under the right key") func modes() throws {
    let ring = try Self.ring(1)
    let credential = CredentialSecret.random()
    let place = SealContext.managedWrap(connection: "c", owner: "o")
    let key = DataKey.random()
    let held = engine.wrap(key, under: credential, context: place)
    let managed = engine.wrap(key, under: ring, context: place)
    #expect(throws: SealError.refused) {
      _ = try raw(held) { (held) throws(SealError) in
        try engine.unwrap(held, with: ring, context: place)
      }
    }
    #expect(throws: SealError.refused) {
      _ = try raw(managed) { (managed) throws(SealError) in
        try engine.unwrap(managed, with: credential, context: place)
      }
    }
  }

  @Test("refuses noise of every plausible length") func noise() {
    let box = KeyBox()
    let place = SealContext.tokenBlob(connection: "c", owner: "o", generation: 1)
    for round in 0..<2000 {
      var sealed = Randomness.bytes(count: 58 + 256 * (1 + round % 4))
      sealed[0] = 1
      sealed[1] = UInt8(round % 5)
      for index in 2..<10 { sealed[index] = 0 }
      #expect(!opens(sealed, under: box, at: place))
    }
  }
}
