// Changes who can open a connection's data key. Both ways take a working credential: towards managed
// because nothing else opens the data key, towards zero knowledge because without one nobody could
// open it afterwards. The data key stays: whoever kept the old wrap and its master key still has it.

import Accounts
import Clocks
import HTTPServer

/// PATCH /api/connections/{id}/mode
struct ModeRoute: Sendable {
  let connections: any ConnectionStore
  let routes: ConnectionRoutes
  let epochs: RevocationEpochs
  let keys: KeyAgent
  let proof: CredentialProof

  func respond(
    _ request: Request, _ id: String, _ caller: Caller, now: UnixTime
  ) async throws(Refusal) -> Response {
    guard let id = ConnectionID(id) else { throw .notFound }
    let body = try RequestBody.read(request, as: ModeBody.self)
    guard let mode = KeyStorageMode(rawValue: body.keyStorageMode) else {
      throw .bodyInvalid(.keyStorageMode)
    }
    guard let text = body.credential else { throw .bodyInvalid(.credential) }
    let user = caller.user.id
    let source = try await proof.source(text, of: id, user: user, now: now)
    var wrap: ManagedWrap?
    if mode == .managed {
      wrap = try keys.makeManagedWrap(from: source, connection: id, owner: user)
    }
    let changed: ConnectionRecord
    do throws(AccountError) {
      changed = try await connections.changeMode(of: id, user: user, managedWrap: wrap, now: now)
    } catch { throw Refusal(error) }
    epochs.bump(id)
    return .json(
      JSONText.object([
        ("success", true), ("connection", JSONText(try await routes.foreseen(changed))),
      ]).bytes)
  }
}
