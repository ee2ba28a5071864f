// Finds what a program's key reaches at a service: from the loop's memory while the revocation
// counters stand still, else by point reads. The data key comes from auth and is remembered sealed
// under the key that was shown, as a credential's wrap is; so this memory opens nothing by itself, and
// a request costs what one with a credential costs. Loop-confined.

import Accounts
import Clocks
import Vault

/// A program's key at a service, and the connection that the program names.
struct KeyUse: Hashable {
  let key: PresentedKey
  /// The service's table entry, which the remembered value holds.
  let service: ObjectIdentifier
  let named: ConnectionID?
}

/// What a key leads to.
enum KeyFinding {
  case resolved(ResolvedCredential)
  /// Auth has to open the data key first.
  case sealed(ReachedConnection)
}

extension CredentialResolver {
  /// How long auth's answer is good for, while the key and the connection stand.
  static let unwrappedSeconds = 600

  /// What `use` leads to.
  /// - Throws: `credentialRefused`, `useForbidden`, `connectionAbsent`, `zeroKnowledgeOnly`,
  ///   `connectionInError`, `dependencyDown`.
  func find(
    _ use: KeyUse, service: UpstreamService, now: Instant
  ) throws(Refusal) -> KeyFinding {
    let known = rememberedKeys[use]
    if let known, stores.epochs.isCurrent(known.credential.mark), known.staleAt > now {
      if let end = known.credential.expiresAt, end <= .now { throw .credentialRefused }
      return .resolved(known)
    }
    rememberedKeys[use] = nil
    let reached = try choose(use, service: service)
    guard let known, known.credential.connectionID == reached.id, known.unwrapAgainAt > now else {
      return .sealed(reached)
    }
    return .resolved(try findAgain(use, known, now: now))
  }

  private func choose(
    _ use: KeyUse, service: UpstreamService
  ) throws(Refusal) -> ReachedConnection {
    let reach: KeyReach
    do throws(AccountError) {
      reach = try stores.lookup().reach(
        of: use.key, service: service.provider.id, named: use.named, now: .now)
    } catch {
      stores.forget()
      throw .dependencyDown
    }
    switch reach {
    case .unknown: throw .credentialRefused
    case .mayNotUse: throw .useForbidden
    case .nothing: throw .connectionAbsent
    case .zeroKnowledge: throw .zeroKnowledgeOnly
    case .managed(let reached): return reached
    }
  }

  /// The connection as the store has it now, for a key that reached it before.
  func findAgain(
    _ use: KeyUse, _ known: ResolvedCredential, now: Instant
  ) throws(Refusal) -> ResolvedCredential {
    try keep(
      use, service: known.service, connection: known.credential.connectionID,
      wrap: known.credential.wrap, before: known, unwrapAgainAt: known.unwrapAgainAt, now: now)
  }

  /// Remembers what auth opened, and what it opens as long as it stands.
  /// - Parameter wrap: the data key, sealed under the key that was shown.
  func keep(
    _ use: KeyUse, service: UpstreamService, connection: ConnectionID, wrap: [UInt8],
    before: ResolvedCredential? = nil, unwrapAgainAt: Instant, now: Instant
  ) throws(Refusal) -> ResolvedCredential {
    let (found, blob) = try read(at: service) { (reader) throws(AccountError) in
      try reader.find(connection, reachedBy: use.key, wrap: wrap)
    }
    if let end = found.expiresAt, end <= .now { throw .credentialRefused }
    let fresh = ResolvedCredential(
      found, lookup: use.key.hash, service: service, blob: blob,
      lane: lane(to: service, of: found, blob, before: before), readAt: now, keyUse: use,
      unwrapAgainAt: unwrapAgainAt)
    if rememberedKeys.count >= Self.rememberedMax { rememberedKeys.removeAll() }
    rememberedKeys[use] = fresh
    return fresh
  }

  /// Reads the connection anew when it is next asked for.
  func forget(_ use: KeyUse) { rememberedKeys[use] = nil }
}
