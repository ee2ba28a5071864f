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

  @Test("a refresh token reads back as written, and strictly") func texts() throws {
    let token = GrantRefreshToken.random()
    let text = token.makeText()
    #expect(text.utf8.count == GrantRefreshToken.textBytes)
    let same = try #require(GrantRefreshToken(text))
    #expect(same.familyHash == token.familyHash && same.secret.lookup == token.secret.lookup)
    let key = DataKey.random()
    #expect(opens(wrap(key, token.secret), same.secret))
    for bad in [
      "", String(text.dropLast()), text + "A", text.dropLast() + "=", "é" + text.dropFirst(2),
    ] {
      #expect(GrantRefreshToken(String(bad)) == nil)
    }
  }

  @Test("one salt gives one successor, another salt another") func successors() throws {
    let token = GrantRefreshToken.random()
    let salt = [UInt8](repeating: 1, count: 32)
    let next = token.successor(salt: salt)
    let again = token.successor(salt: salt)
    let other = token.successor(salt: [UInt8](repeating: 2, count: 32))
    #expect(next.makeText() == again.makeText() && next.makeText() != token.makeText())
    #expect(other.secret.lookup != next.secret.lookup)
    #expect(next.familyHash == token.familyHash)
    let key = DataKey.random()
    let wrapped = wrap(key, next.secret)
    #expect(opens(wrapped, again.secret))
    #expect(!opens(wrapped, token.secret) && !opens(wrapped, other.secret))
  }

  @Test("an access token opens by its exact text") func accessTokens() {
    let text = "eyJhbGciOiJFUzI1NiJ9.e30.c2lnbmF0dXJl"
    let secret = { (text: String) -> CredentialSecret in
      Array(text.utf8).withUnsafeBytes {
        CredentialSecret(accessToken: $0, hashing: HashContext())
      }
    }
    let key = DataKey.random()
    let wrapped = wrap(key, secret(text))
    #expect(opens(wrapped, secret(text)))
    for other in [text + "=", String(text.dropLast()), "e" + text.dropFirst().uppercased()] {
      #expect(!opens(wrapped, secret(other)))
      #expect(secret(other).lookup != secret(text).lookup)
    }
  }

  @Test("a wrap opens in its own place alone") func places() throws {
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
