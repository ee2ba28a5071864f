// What the tokens of grants carry: each opens its own wrap and no other, a refresh token gives one
// successor for one salt, and an access token opens by its exact text.

import Bytes
import Testing

@testable import Vault

@Suite("Grant secrets") struct GrantSecretTests {
  let engine = SealEngine()

  private func wrap(_ key: borrowing DataKey, _ secret: borrowing CredentialSecret) -> PlacedValue {
    let place = SealContext.refreshWrap(grant: "g", connection: "c", owner: "o")
    return PlacedValue(engine.wrap(key, under: secret, context: place), at: place)
  }

  private func opens(_ value: PlacedValue, _ secret: borrowing CredentialSecret) -> Bool {
    (try? engine.unwrap(value, with: secret)) != nil
  }

  @Test("a refresh token reads back as written, and strictly") func texts() {
    let token = GrantRefreshToken.random()
    let text = token.makeText()
    #expect(text.utf8.count == GrantRefreshToken.textBytes)
    guard let same = GrantRefreshToken(text) else {
      Issue.record("a token reads back")
      return
    }
    let isSame = same.familyHash == token.familyHash && same.secret.lookup == token.secret.lookup
    let key = DataKey.random()
    let isOpen = opens(wrap(key, token.secret), same.secret)
    #expect(isSame && isOpen)
    for bad in [
      "", String(text.dropLast()), text + "A", text.dropLast() + "=", "é" + text.dropFirst(2),
    ] {
      let isNone = GrantRefreshToken(String(bad)) == nil
      #expect(isNone, "\(bad)")
    }
  }

  @Test("one salt gives one successor, another salt another") func successors() {
    let token = GrantRefreshToken.random()
    let salt = [UInt8](repeating: 1, count: 32)
    let next = token.successor(salt: salt)
    let again = token.successor(salt: salt)
    let other = token.successor(salt: [UInt8](repeating: 2, count: 32))
    let texts = [token.makeText(), next.makeText(), again.makeText(), other.makeText()]
    #expect(texts[1] == texts[2] && Set(texts).count == 3)
    let families = Set([token.familyHash, next.familyHash, other.familyHash])
    #expect(families.count == 1)
    let key = DataKey.random()
    let wrapped = wrap(key, next.secret)
    let opened = [
      opens(wrapped, again.secret), opens(wrapped, token.secret), opens(wrapped, other.secret),
    ]
    #expect(opened == [true, false, false])
  }

  @Test("an access token opens by its exact text") func accessTokens() {
    let text = "eyJhbGciOiJFUzI1NiJ9.e30.c2lnbmF0dXJl"
    let key = DataKey.random()
    let wrapped = wrap(key, secret(text))
    let isOpen = opens(wrapped, secret(text))
    #expect(isOpen)
    for other in [text + "=", String(text.dropLast()), "e" + text.dropFirst().uppercased()] {
      let opened = opens(wrapped, secret(other))
      let lookups = [secret(other).lookup, secret(text).lookup]
      #expect(!opened && lookups[0] != lookups[1])
    }
  }

  private func secret(_ text: String) -> CredentialSecret {
    var bytes = Array(text.utf8)
    return Secret(wiping: &bytes).withBytes {
      CredentialSecret(accessToken: $0, hashing: HashContext())
    }
  }

  @Test("a wrap opens in its own place alone") func places() {
    let secret = CredentialSecret.random()
    let key = DataKey.random()
    let places: [SealContext] = [
      .codeWrap(grant: "g", connection: "c", owner: "o"),
      .refreshWrap(grant: "g", connection: "c", owner: "o"),
      .accessTokenWrap(grant: "g", connection: "c", owner: "o"),
      .credentialWrap(credential: "g", connection: "c", owner: "o"),
      .codeWrap(grant: "h", connection: "c", owner: "o"),
      .codeWrap(grant: "g", connection: "d", owner: "o"),
      .codeWrap(grant: "g", connection: "c", owner: "p"),
    ]
    for (index, place) in places.enumerated() {
      let sealed = engine.wrap(key, under: secret, context: place)
      let fits = places.indices.filter { opens(PlacedValue(sealed, at: places[$0]), secret) }
      #expect(fits == [index])
    }
  }
}
