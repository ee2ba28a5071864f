// Parts a connection that ended from its provider: tell it if there is a way, then let the tokens be
// destroyed. What this process cannot do now is kept (Accounts' PartingStore) and done later by the
// scheduler, or when the credential is shown once more.

import Accounts
import Clocks
import EventLoop
import Logging
import RPC
import Vault

/// Tells providers that a grant ended.
protocol UpstreamRevoker: Sendable {
  /// How far it is, at the latest after `Farewell.patience`.
  /// - Parameter dataKey: 32 bytes as base64url.
  func revoke(_ connection: ConnectionID, dataKey: String) async -> PartingState
}

/// The end of a connection after its row is marked.
struct Farewell: Sendable {
  /// How long somebody waits for a provider.
  static let patience = Duration.milliseconds(4500)

  let partings: any PartingStore
  let keys: KeyAgent
  let revoker: any UpstreamRevoker
  let shredder: any TokenShredder
  let spawn: @Sendable (@escaping @Sendable () async -> Void) -> Void

  /// Parts a connection and waits for what comes of it.
  /// - Parameter source: what opens the data key, beside the wrap that was kept.
  func part(
    _ connection: ConnectionID, owner: UserID, _ parting: Parting, shown source: KeyAgent.Source?
  ) async -> PartingState {
    switch parting {
    case .silent:
      shredder.shred(connection)
      return .unsupported
    case .pending(let wrap):
      guard let source = wrap.map({ .managed($0) }) ?? source,
        let key = try? keys.revealDataKey(source, connection: connection, owner: owner)
      else { return .pending }
      return await part(connection, dataKey: key)
    }
  }

  private func part(_ connection: ConnectionID, dataKey: String) async -> PartingState {
    let state = await revoker.revoke(connection, dataKey: dataKey)
    // The scheduler says so too; whichever comes first is enough.
    try? await partings.settleParting(of: connection, as: state, now: .now)
    return state
  }

  /// Somebody shows the refresh token of a grant that is not there: if its connection ended before
  /// its provider could be told, that is done now. The token is refused as any other.
  func part(_ token: borrowing GrantRefreshToken) async {
    guard let parted = try? await partings.partedGrant(family: token.familyHash),
      let key = keys.revealDataKey(parted, to: token)
    else { return }
    _ = await part(parted.connectionID, dataKey: key)
  }

  /// Parts a connection that another took the place of; nobody waits for it.
  func begin(_ connection: ConnectionID, owner: UserID, _ parting: Parting) {
    let farewell = self
    spawn { _ = await farewell.part(connection, owner: owner, parting, shown: nil) }
  }

  /// Destroys the tokens of a connection that did not come about.
  func forget(_ connection: ConnectionID) { shredder.shred(connection) }
}

/// Tells providers through the scheduler.
struct RemoteRevoker: UpstreamRevoker {
  let scheduler: RPCClient
  let log: Log

  func revoke(_ connection: ConnectionID, dataKey: String) async -> PartingState {
    do throws(RPCError) {
      let answer = try await scheduler.call(
        RevokeUpstreamCall.self,
        RevokeUpstreamCall.Request(connectionID: connection.text, dataKey: dataKey),
        within: Farewell.patience)
      return PartingState(answer.outcome)
    } catch {
      log.warning("revocation_left_to_scheduler", ["connection": .idPrefix(connection.text)])
      return .pending
    }
  }
}

extension PartingState {
  /// What the scheduler says, in the words of the store.
  init(_ outcome: UpstreamRevocation) {
    self =
      switch outcome {
      case .revoked: .revoked
      case .pending: .pending
      case .unsupported: .unsupported
      }
  }
}
