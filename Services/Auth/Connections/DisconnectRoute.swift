// Ends a connection. The revocation is durable first, then told to the edge through the epoch; then
// the provider of an OAuth connection is told, as far as its tokens can be opened now: with the master
// key of a managed one, with the credential that the caller shows, or later. Tokens that nobody needs
// any more are shredded behind the answer, and by the sweep if that call is lost.

import Accounts
import Clocks
import HTTPServer

/// DELETE /api/connections/{id}
struct DisconnectRoute: Sendable {
  let connections: any ConnectionStore
  let epochs: RevocationEpochs
  let keys: KeyAgent
  let farewell: Farewell

  func respond(
    _ request: Request, _ id: String, _ caller: Caller, now: UnixTime
  ) async throws(Refusal) -> Response {
    guard let id = ConnectionID(id) else { throw .notFound }
    let body = try RequestBody.readIfPresent(request, as: RevokeBody.self)
    let shown = try await source(body?.credential, of: id, caller, now: now)
    let parting: Parting
    do throws(AccountError) {
      parting = try await connections.revokeConnection(id, of: caller.user.id, now: now)
    } catch { throw Refusal(error) }
    epochs.bump(id)
    let state = await farewell.part(id, owner: caller.user.id, parting, shown: shown)
    return .json(
      JSONText.object([
        ("success", true), ("upstream_revocation", .string(state.rawValue)),
      ]).bytes)
  }

  /// What the shown credential opens. One that does not belong here ends nothing.
  private func source(
    _ text: String?, of id: ConnectionID, _ caller: Caller, now: UnixTime
  ) async throws(Refusal) -> KeyAgent.Source? {
    guard let text else { return nil }
    guard let presented = keys.present(text) else { throw .credentialRefused }
    let found: (id: CredentialID, wrap: [UInt8])?
    do throws(AccountError) {
      found = try await connections.credentialWrap(
        lookup: presented.lookup, of: id, user: caller.user.id, now: now)
    } catch { throw Refusal(error) }
    guard let found else { throw .credentialRefused }
    let source = KeyAgent.Source.credential(id: found.id, wrap: found.wrap, secret: presented)
    // Its first half may be copied from elsewhere; only what opens is a credential.
    _ = try keys.revealDataKey(source, connection: id, owner: caller.user.id)
    return source
  }
}

/// Destroys the sealed tokens of a revoked connection, soon.
protocol TokenShredder: Sendable {
  /// Begins to; does not wait.
  func shred(_ connection: ConnectionID)
}
