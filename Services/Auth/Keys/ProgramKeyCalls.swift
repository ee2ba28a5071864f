// What the edge asks auth for when a program shows its key: the data key of one managed connection
// that this key reaches. Whether it does is looked up here again; the edge's word is not enough.

import Accounts
import Clocks
import Logging
import RPC
import Vault

/// The call `unwrap_for_key`.
struct ProgramKeyCalls: Sendable {
  let store: any KeyStore
  let keys: KeyAgent
  let log: Log

  /// Adds the answer to `handlers`.
  func answer(in handlers: inout CallHandlers) {
    let calls = self
    handlers.answer(UnwrapForKeyCall.self) { (request, _) throws(RPC.Refusal) in
      UnwrapForKeyCall.Response(dataKey: try await calls.unwrap(request))
    }
  }

  func unwrap(_ request: UnwrapForKeyCall.Request) async throws(RPC.Refusal) -> String {
    guard let id = ConnectionID(request.connectionID), let key = PresentedKey(request.key) else {
      throw .malformedRequest
    }
    let found: (owner: UserID, wrap: ManagedWrap)?
    do throws(AccountError) {
      found = try await store.managedWrap(of: id, reachedBy: key, now: .now)
    } catch { throw RPC.Refusal(error) }
    return try keys.answer(with: found, of: id, log)
  }
}
