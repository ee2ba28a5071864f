// Finds what a credential opens: from the loop's memory while the revocation counters stand still,
// else by a point read. Remembers only what is stored anyway (sealed values and ids), never a
// credential and never anything opened. Loop-confined.

import Accounts
import Bytes
import Clocks
import Database
import HTTPClient
import Posix
import Vault

/// A credential that was found, with the sealed values that it opens.
final class ResolvedCredential {
  let credential: EdgeCredential
  let lookup: Digest256
  let service: UpstreamService
  let blob: TokenBlob
  /// SHA-256 of the connection's id.
  let connectionDigest: Digest256
  /// Its upstream connections: of this connection and generation alone, so that a changed token
  /// never travels where an older one opened the way.
  let lane: UpstreamLane
  /// The data key, sealed under the credential's second half.
  let wrap: PlacedValue
  /// The tokens, sealed under the data key.
  let tokens: PlacedValue
  /// When it is read anew, whatever the counters say.
  let staleAt: Instant
  /// From when on the tokens are to be renewed; nil for never.
  let dueAt: Instant?
  /// Whether a renewal runs beside the requests.
  var isRenewing = false
  let use: CredentialUse
  /// By which use of a program's key it was found; nil for a credential of the connection.
  let keyUse: KeyUse?
  /// Until when auth's answer is good for it.
  let unwrapAgainAt: Instant

  init(
    _ credential: EdgeCredential, lookup: Digest256, service: UpstreamService, blob: TokenBlob,
    lane: UpstreamLane, readAt: Instant, keyUse: KeyUse? = nil, unwrapAgainAt: Instant
  ) {
    self.credential = credential
    self.lookup = lookup
    self.keyUse = keyUse
    self.unwrapAgainAt = unwrapAgainAt
    self.service = service
    self.blob = blob
    staleAt = readAt.advanced(bySeconds: CredentialResolver.rememberedSeconds)
    dueAt = blob.dueAt.map { readAt.advanced(bySeconds: Int($0.seconds - UnixTime.now.seconds)) }
    self.lane = lane
    connectionDigest = Digest256(of: Array(credential.connectionID.text.utf8))
    wrap = PlacedValue(credential.wrap, at: credential.wrapPlace)
    tokens = PlacedValue(
      blob.sealed,
      at: .tokenBlob(
        connection: credential.connectionID.text, owner: credential.ownerID.text,
        generation: blob.generation))
    use = CredentialUse(
      connection: credential.connectionID.text, credential: credential.credentialID.text)
  }

  /// Whether the credential or its owner's plan has ended, as far as it was read.
  func hasEnded(at now: UnixTime) -> Bool {
    credential.expiresAt.map { $0 <= now } ?? false
      || credential.planEndsAt.map { $0 <= now } ?? false
  }

  /// For how many seconds the access token still works.
  func secondsLeft(at now: UnixTime) -> Int64 {
    blob.expiresAt.map { $0.seconds - now.seconds } ?? .max
  }
}

extension EdgeCredential {
  /// Where its wrap of the data key belongs.
  fileprivate var wrapPlace: SealContext {
    switch kind {
    case .secret:
      .credentialWrap(
        credential: credentialID.text, connection: connectionID.text, owner: ownerID.text)
    case .accessToken:
      .accessTokenWrap(
        grant: credentialID.text, connection: connectionID.text, owner: ownerID.text)
    }
  }
}

/// Resolves credentials on one loop.
final class CredentialResolver {
  /// How long a remembered answer is used without a look at the database.
  static let rememberedSeconds = 60
  static let rememberedMax = 50_000

  let stores: EdgeStores
  private var remembered: [Digest256: ResolvedCredential] = [:]
  /// What programs' keys reach; see KeyResolve.swift.
  var rememberedKeys: [KeyUse: ResolvedCredential] = [:]

  init(stores: EdgeStores) { self.stores = stores }

  /// What the credential with this lookup value opens at `service`.
  /// - Parameter admit: Looks at the credential itself when it is not remembered.
  /// - Throws: `Refusal.credentialRefused` for everything that is no live credential of the service,
  ///   `.dependencyDown` when the databases can not be read.
  func find(
    _ lookup: Digest256, _ kind: EdgeCredentialKind, service: UpstreamService, now: Instant,
    admit: () throws(Refusal) -> Void = {}
  ) throws(Refusal) -> ResolvedCredential {
    let known = remembered[lookup]
    if let known {
      // What one kind opens, the bytes of another must not.
      guard known.credential.kind == kind else { throw .credentialRefused }
      if stores.epochs.isCurrent(known.credential.mark),
        known.staleAt > now,
        known.service === service
      {
        return known
      }
      remembered[lookup] = nil
    }
    try admit()
    let fresh = try read(lookup, kind, service: service, before: known, now: now)
    if remembered.count >= Self.rememberedMax { remembered.removeAll() }
    remembered[lookup] = fresh
    return fresh
  }

  /// Reads the credential anew when it is next asked for.
  func forget(_ lookup: Digest256) { remembered[lookup] = nil }

  /// A fresh mark for what was resolved before and still stands.
  /// - Throws: `Refusal.credentialRefused` when it does not, `.dependencyDown`.
  func markIfStanding(_ resolved: ResolvedCredential) throws(Refusal) -> EpochMark {
    if let end = resolved.credential.expiresAt, end <= .now { throw .credentialRefused }
    let found: EdgeCredential?
    do throws(AccountError) {
      found = try Self.find(resolved, through: try stores.lookup())
    } catch {
      stores.forget()
      throw .dependencyDown
    }
    guard let found, found.status != .suspended, found.planEndsAt.map({ $0 > .now }) ?? true
    else { throw .credentialRefused }
    return found.mark
  }

  private static func find(
    _ resolved: ResolvedCredential, through reader: EdgeLookup
  ) throws(AccountError) -> EdgeCredential? {
    if let use = resolved.keyUse {
      return try reader.find(
        resolved.credential.connectionID, reachedBy: use.key, wrap: resolved.credential.wrap)
    }
    return try resolved.lookup.withBytes { bytes throws(AccountError) in
      try reader.find(bytes, resolved.credential.kind)
    }
  }

  private func read(
    _ lookup: Digest256, _ kind: EdgeCredentialKind, service: UpstreamService,
    before: ResolvedCredential?, now: Instant
  ) throws(Refusal) -> ResolvedCredential {
    let (found, blob) = try read(at: service) { (reader) throws(AccountError) in
      try lookup.withBytes { bytes throws(AccountError) in try reader.find(bytes, kind) }
    }
    return ResolvedCredential(
      found, lookup: lookup, service: service, blob: blob,
      lane: lane(to: service, of: found, blob, before: before), readAt: now, unwrapAgainAt: now)
  }

  /// What `find` finds of `service`, with its tokens.
  func read(
    at service: UpstreamService, find: (EdgeLookup) throws(AccountError) -> EdgeCredential?
  ) throws(Refusal) -> (EdgeCredential, TokenBlob) {
    let found: EdgeCredential?
    let blob: TokenBlob?
    do throws(AccountError) {
      found = try find(try stores.lookup())
      guard let found else { throw AccountError.notFound }
      do throws(DatabaseError) {
        blob = try stores.tokens().blob(of: found.connectionID.text)
      } catch { throw .database(error) }
    } catch {
      if case .database = error {
        stores.forget()
        throw .dependencyDown
      }
      throw .credentialRefused
    }
    guard let found, found.service.utf8.elementsEqual(service.id) else { throw .credentialRefused }
    guard let blob else { throw .connectionInError }
    return (found, blob)
  }

  /// The lane of what was found before, while it leads to the same with the same tokens.
  func lane(
    to service: UpstreamService, of found: EdgeCredential, _ blob: TokenBlob,
    before: ResolvedCredential?
  ) -> UpstreamLane {
    guard let before, before.blob.generation == blob.generation,
      before.credential.connectionID == found.connectionID, before.service === service
    else { return UpstreamLane(service.origin) }
    return before.lane
  }
}

/// The databases as one loop of the edge reads them: opened read-only when first needed, and again
/// after a failure.
final class EdgeStores {
  let epochs: RevocationEpochs
  private let named: NamedNetworks
  private let hasPlans: Bool
  private let directory: String
  private var heldLookup: EdgeLookup?
  private var heldTokens: TokenStore?

  init(
    directory: String, epochs: RevocationEpochs, named: NamedNetworks, hasPlans: Bool
  ) {
    self.directory = directory
    self.epochs = epochs
    self.named = named
    self.hasPlans = hasPlans
  }

  func lookup() throws(AccountError) -> EdgeLookup {
    if let heldLookup { return heldLookup }
    do throws(DatabaseError) {
      let connection = try Connection(
        DatabaseFile(.bindery, in: directory), as: .edge, access: .readOnly,
        patience: .milliseconds(100))
      let lookup = EdgeLookup(
        connection, epochs: epochs, named: named, hasPlans: hasPlans)
      heldLookup = lookup
      return lookup
    } catch { throw .database(error) }
  }

  /// Lets the handles go after a failure: files may have been restored under another inode.
  func forget() {
    heldLookup = nil
    heldTokens = nil
  }

  func tokens() throws(DatabaseError) -> TokenStore {
    if let heldTokens { return heldTokens }
    let connection = try Connection(
      DatabaseFile(.tokens, in: directory), as: .edge, access: .readOnly,
      patience: .milliseconds(100))
    let store = TokenStore(connection)
    heldTokens = store
    return store
  }
}
