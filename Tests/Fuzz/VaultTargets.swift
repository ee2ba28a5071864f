// What a thief or a damaged disk may put before the vault: sealed values, credentials, key rings.
// Nothing that we did not seal may open, and what is accepted has exactly one text.

import Bytes
import Vault

/// One engine and two keys for all runs; libFuzzer calls from one thread.
private final class FuzzVault {
  nonisolated(unsafe) static let shared = FuzzVault()

  let engine = SealEngine()
  let credential = CredentialSecret.random()
  let dataKey = DataKey.random()
  let held = SealContext.credentialWrap(credential: "k", connection: "c", owner: "o")
  let place = SealContext.tokenBlob(connection: "c", owner: "o", generation: 1)
  let ring: KeyRing?

  init() {
    ring = KeyRing.makeText().withBytes { try? KeyRing(text: $0) }
  }

  func opens(_ sealed: UnsafeRawBufferPointer) -> Bool {
    let count: Int? = try? engine.open(sealed, under: dataKey, context: place) {
      plain throws(SealError) in plain.count
    }
    return count != nil
  }
}

/// The bytes are tried as they are, as changes to a sound value, and as a plaintext.
func fuzzSealedValues(_ bytes: UnsafeRawBufferPointer) {
  let vault = FuzzVault.shared
  promise(!vault.opens(bytes), "nobody else seals under our key")
  let wrap = try? vault.engine.unwrap(bytes, with: vault.credential, context: vault.held)
  promise(wrap == nil, "nobody else wraps under a credential")
  if let ring = vault.ring {
    let kept = try? vault.engine.unwrap(bytes, with: ring, context: vault.held)
    promise(kept == nil, "nobody else wraps under a master key")
  }
  let sealed = vault.engine.seal(bytes, under: vault.dataKey, context: vault.place)
  let length: Int? = sealed.withUnsafeBytes { sealed in
    try? vault.engine.open(sealed, under: vault.dataKey, context: vault.place) {
      plain throws(SealError) -> Int? in plain.elementsEqual(bytes) ? plain.count : nil
    }
  }
  promise(length == bytes.count, "what was sealed opens as it was")
  var changed = sealed
  for (index, byte) in bytes.enumerated() { changed[index % changed.count] ^= byte }
  let isSame = changed == sealed
  promise(changed.withUnsafeBytes { vault.opens($0) } == isSame, "a changed value stays shut")
}

/// Whatever is a credential is the one text of its bytes.
func fuzzCredentials(_ bytes: UnsafeRawBufferPointer) {
  let hashing = FuzzVault.shared.engine.hashing
  if let credential = CredentialSecret(text: bytes, hashing: hashing) {
    promise(credential.makeText().utf8.elementsEqual(bytes), "one text for each credential")
  }
  for environment in KeyEnvironment.allCases {
    if let credential = CredentialSecret(apiKey: bytes, of: environment, hashing: hashing) {
      let text = credential.makeAPIKey(environment)
      promise(text.utf8.elementsEqual(bytes), "one API key for each credential")
    }
  }
  guard let key = PresentedKey(bytes, hashing: hashing) else { return }
  promise(ProgramKeyKind(of: bytes) == key.kind, "a key has one kind")
  let secret = CredentialSecret(key: bytes, of: key.kind, hashing: hashing)
  promise(
    secret?.makeKey(key.kind).utf8.elementsEqual(bytes) == true, "one text for each program's key")
}

/// A ring is refused or sound.
func fuzzKeyRings(_ bytes: UnsafeRawBufferPointer) {
  guard let ring = try? KeyRing(text: bytes) else { return }
  promise((1...KeyRing.keysMax).contains(ring.keys.count), "keys are bounded")
  let prints = Set(ring.keys.map(\.fingerprint))
  promise(prints.count == ring.keys.count, "fingerprints tell keys apart")
  for key in ring.keys { promise(ring[key.fingerprint] === key, "each key is found") }
}
