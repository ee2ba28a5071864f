// Makes and re-wraps data keys: the only code of the service that holds keys in the clear, for the
// length of one call. New connections get a data key, wrapped under their first credential and, when
// managed, under the active master key; further credentials get the same data key, wrapped anew.

import Accounts
import Bytes
import Clocks
import Synchronization
import Vault

/// A credential as it is shown, once.
struct ShownCredential: Sendable {
  /// The 86 characters of the secret URL.
  let text: String
  /// The same secret as an API key.
  let apiKey: String
}

/// Opens and makes wraps.
final class KeyAgent: Sendable {
  let currentRing: Mutex<KeyRing?>
  private let environment: KeyEnvironment

  init(ring: KeyRing?, environment: KeyEnvironment) {
    currentRing = Mutex(ring)
    self.environment = environment
  }

  var ring: KeyRing? { currentRing.withLock { $0 } }

  /// Whether managed key storage is possible.
  var isManagedOn: Bool { ring != nil }

  /// Whether the master key with this fingerprint is there.
  func has(_ fingerprint: String) -> Bool {
    KeyFingerprint(fingerprint).flatMap { ring?[$0] } != nil
  }

  /// Goes on with other master keys.
  func use(_ ring: KeyRing?) { currentRing.withLock { $0 = ring } }

  /// All that is written for a new connection.
  struct NewKeys: Sendable {
    let blob: TokenBlob
    let lookup: [UInt8]
    let wrap: [UInt8]
    let managedWrap: ManagedWrap?
    let shown: ShownCredential
  }

  /// Seals `tokens`, which end at `expiresAt`, under a fresh data key and wraps that.
  func makeKeys(
    sealing tokens: borrowing Secret, connection: ConnectionID, owner: UserID,
    credential: CredentialID, managed: Bool, expiresAt: UnixTime? = nil
  ) throws(Refusal) -> NewKeys {
    let engine = SealEngine()
    let key = DataKey.random()
    let secret = CredentialSecret.random()
    let sealed = tokens.withBytes {
      engine.seal(
        $0, under: key,
        context: .tokenBlob(connection: connection.text, owner: owner.text, generation: 1))
    }
    let wrap = engine.wrap(
      key, under: secret,
      context: .credentialWrap(
        credential: credential.text, connection: connection.text, owner: owner.text))
    var managedWrap: ManagedWrap?
    if managed {
      guard let ring else { throw .managedModeOff }
      managedWrap = ManagedWrap(
        sealed: engine.wrap(
          key, under: ring,
          context: .managedWrap(connection: connection.text, owner: owner.text)),
        fingerprint: ring.active.fingerprint.description)
    }
    return NewKeys(
      blob: TokenBlob(generation: 1, sealed: sealed, expiresAt: expiresAt),
      lookup: secret.lookup.bytes,
      wrap: wrap, managedWrap: managedWrap, shown: show(secret))
  }

  private func show(_ secret: borrowing CredentialSecret) -> ShownCredential {
    ShownCredential(text: secret.makeText(), apiKey: secret.makeAPIKey(environment))
  }

  /// What opens a connection's data key.
  enum Source {
    /// The wrap under a master key.
    case managed(ManagedWrap)
    /// The wrap of the credential `id`, which `secret` opens.
    case credential(id: CredentialID, wrap: [UInt8], secret: PresentedCredential)
  }

  /// A wrap of the same data key for a further credential.
  struct FurtherKeys: Sendable {
    let lookup: [UInt8]
    let wrap: [UInt8]
    let shown: ShownCredential
  }

  /// Wraps the data key that `source` opens under a fresh credential.
  /// - Throws: `credentialRefused` when it does not open.
  func makeFurtherKeys(
    from source: Source, connection: ConnectionID, owner: UserID, credential: CredentialID
  ) throws(Refusal) -> FurtherKeys {
    let engine = SealEngine()
    let key = try open(source, connection, owner, engine)
    let secret = CredentialSecret.random()
    let wrap = engine.wrap(
      key, under: secret,
      context: .credentialWrap(
        credential: credential.text, connection: connection.text, owner: owner.text))
    return FurtherKeys(lookup: secret.lookup.bytes, wrap: wrap, shown: show(secret))
  }

  /// The data key that `source` opens.
  func open(
    _ source: Source, _ connection: ConnectionID, _ owner: UserID, _ engine: SealEngine
  ) throws(Refusal) -> DataKey {
    var key: DataKey?
    switch source {
    case .managed(let wrap):
      guard let ring else { throw .managedModeOff }
      wrap.sealed.withUnsafeBytes { bytes in
        key = try? engine.unwrap(
          bytes, with: ring,
          context: .managedWrap(connection: connection.text, owner: owner.text))
      }
      guard let key = key.take() else { throw .failed }
      return key
    case .credential(let id, let wrap, let presented):
      wrap.withUnsafeBytes { bytes in
        key = try? engine.unwrap(
          bytes, with: presented.secret,
          context: .credentialWrap(
            credential: id.text, connection: connection.text, owner: owner.text))
      }
      guard let key = key.take() else { throw .credentialRefused }
      return key
    }
  }

  /// The data key that `source` opens, under the active master key.
  func makeManagedWrap(
    from source: Source, connection: ConnectionID, owner: UserID
  ) throws(Refusal) -> ManagedWrap {
    guard let ring else { throw .managedModeOff }
    let engine = SealEngine()
    let key = try open(source, connection, owner, engine)
    return ManagedWrap(
      sealed: engine.wrap(
        key, under: ring, context: .managedWrap(connection: connection.text, owner: owner.text)),
      fingerprint: ring.active.fingerprint.description)
  }

  /// The data key that `source` opens, as text, for the one process that talks to providers.
  func revealDataKey(
    _ source: Source, connection: ConnectionID, owner: UserID
  ) throws(Refusal) -> String {
    try open(source, connection, owner, SealEngine()).base64URL
  }

  /// The secret of our client at `place`, sealed; nil without master keys.
  func sealRegistrationSecret(_ text: String, at place: RegistrationPlace) -> ManagedWrap? {
    guard let ring else { return nil }
    var bytes = Array(text.utf8)
    let secret = Secret(wiping: &bytes)
    let sealed = secret.withBytes {
      SealEngine().seal($0, under: ring, context: place.sealContext)
    }
    return ManagedWrap(sealed: sealed, fingerprint: ring.active.fingerprint.description)
  }

  /// The secret of our client at `place`; nil when its master key is gone.
  func openRegistrationSecret(_ sealed: [UInt8], at place: RegistrationPlace) -> String? {
    guard let ring,
      let secret = try? SealEngine().open(sealed, under: ring, context: place.sealContext)
    else { return nil }
    return secret.withBytes { String(decoding: $0, as: UTF8.self) }
  }

  /// The credential in `text`: an API key, a secret URL, or the 86 characters alone.
  func present(_ text: String) -> PresentedCredential? {
    PresentedCredential(text, environment: environment)
  }
}

extension RegistrationPlace {
  fileprivate var sealContext: SealContext {
    .registrationSecret(issuer: issuer, redirectURI: redirectURI)
  }
}

/// A credential that somebody showed to prove that they hold it.
final class PresentedCredential: Sendable {
  let secret: CredentialSecret

  /// SHA-256 of its first half.
  var lookup: [UInt8] { secret.lookup.bytes }

  init?(_ text: String, environment: KeyEnvironment) {
    var utf8 = Array(text.utf8)
    defer { utf8.withUnsafeMutableBytes { wipe($0) } }
    var read: CredentialSecret?
    utf8.withUnsafeBytes { bytes in
      let hashing = HashContext()
      read = CredentialSecret(apiKey: bytes, of: environment, hashing: hashing)
      guard read == nil else { return }
      // A secret URL ends in the 86 characters.
      let start = bytes.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0
      read = CredentialSecret(
        text: UnsafeRawBufferPointer(rebasing: bytes[start...]), hashing: hashing)
    }
    guard let read = read.take() else { return nil }
    secret = read
  }
}
