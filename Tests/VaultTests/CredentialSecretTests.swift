// Answers which texts are a credential: exactly one for each 64 bytes, in exactly two forms.
// A second text of the same bytes would be a second name for one secret, in caches and block lists.

import Bytes
import Clocks
import Testing

@testable import Vault

@Suite("Credential secret") struct CredentialSecretTests {
  let hashing = HashContext()

  private func parsed(_ text: String) -> Digest256? {
    raw(Array(text.utf8)) { CredentialSecret(text: $0, hashing: hashing)?.lookup }
  }

  private func parsed(_ text: String, _ environment: KeyEnvironment) -> Digest256? {
    raw(Array(text.utf8)) {
      CredentialSecret(apiKey: $0, of: environment, hashing: hashing)?.lookup
    }
  }

  @Test("gives the published text and lookup") func vector() {
    let bytes = [UInt8](repeating: 1, count: 32) + [UInt8](repeating: 2, count: 32)
    let credential = raw(bytes) { CredentialSecret(bytes: $0, hashing: hashing) }
    let text = credential.makeText()
    #expect(
      text
        == "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQECAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg"
    )
    #expect(credential.lookup == Digest256(of: [UInt8](repeating: 1, count: 32)))
    #expect(parsed(text) == credential.lookup)
    #expect(credential.makeAPIKey(.live) == "bnd_live_" + text)
  }

  @Test("is the same as URL text and as API key, of one environment only") func forms() {
    let credential = CredentialSecret.random()
    #expect(parsed(credential.makeText()) == credential.lookup)
    for environment in KeyEnvironment.allCases {
      let key = credential.makeAPIKey(environment)
      for other in KeyEnvironment.allCases {
        #expect(parsed(key, other) == (environment == other ? credential.lookup : nil))
      }
      #expect(parsed(key) == nil)
    }
  }

  @Test("refuses every other text") func refused() {
    let text = CredentialSecret.random().makeText()
    var bad = [
      "", String(text.dropLast()), text + "A", text + "=", " " + text.dropFirst(), text + "==",
      text.replacing(text.first.map(String.init) ?? "", with: "+", maxReplacements: 1),
      String(text.dropLast()) + "\u{0}", "é" + text.dropFirst(2),
    ]
    // The last character carries 2 bits of 6: one text in sixteen is what encoding would write.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    let sound = alphabet.filter { parsed(String(text.dropLast()) + String($0)) != nil }
    #expect(sound.count == 4)
    bad += alphabet.filter { !sound.contains($0) }.map { String(text.dropLast()) + String($0) }
    for text in bad { #expect(parsed(text) == nil, "\(text)") }
    for key in ["bnd_live_", "BND_LIVE_" + text, "bnd_live" + text, "bnd_live_" + text + " "] {
      #expect(parsed(key, .live) == nil)
    }
  }

  @Test("is another one each time") func random() {
    var seen: Set<Digest256> = []
    for _ in 0..<1000 { seen.insert(CredentialSecret.random().lookup) }
    #expect(seen.count == 1000)
  }
}
