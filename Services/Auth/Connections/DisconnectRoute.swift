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
  let proof: CredentialProof
  let farewell: Farewell

  func respond(
    _ request: Request, _ id: String, _ caller: Caller, now: UnixTime
  ) async throws(Refusal) -> Response {
    guard let id = ConnectionID(id) else { throw .notFound }
    let body = try RequestBody.readIfPresent(request, as: RevokeBody.self)
    // One that does not belong here ends nothing.
    var shown: KeyAgent.Source?
    if let text = body?.credential {
      shown = try await proof.source(text, of: id, user: caller.user.id, now: now)
    }
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
}

/// Destroys the sealed tokens of a revoked connection, soon.
protocol TokenShredder: Sendable {
  /// Begins to; does not wait.
  func shred(_ connection: ConnectionID)
}
