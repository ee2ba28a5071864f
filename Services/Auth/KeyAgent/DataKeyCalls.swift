// What the scheduler asks auth for: the data key of one managed connection at a time, alive or waiting
// for its provider to be told, and the end of such a wait. With `unwrap_for_key` (Keys/) the only ways
// in which a key leaves this process, each to one caller (the table of calls says which).

import Accounts
import Clocks
import Logging
import RPC

/// The calls `unwrap` and `revocation_settled`.
struct DataKeyCalls: Sendable {
  let partings: any PartingStore
  let keys: KeyAgent
  let log: Log

  /// Adds the answers to `handlers`.
  func answer(in handlers: inout CallHandlers) {
    let calls = self
    handlers.answer(UnwrapCall.self) { (request, _) throws(RPC.Refusal) in
      UnwrapCall.Response(dataKey: try await calls.unwrap(request.connectionID))
    }
    handlers.answer(RevocationSettledCall.self) { (request, _) throws(RPC.Refusal) in
      try await calls.settle(request.connectionID, PartingState(request.outcome))
      return RevocationSettledCall.Response()
    }
  }

  func unwrap(_ id: String) async throws(RPC.Refusal) -> String {
    guard let id = ConnectionID(id) else { throw .malformedRequest }
    let found: (owner: UserID, wrap: ManagedWrap)?
    do throws(AccountError) {
      found = try await partings.openableWrap(of: id)
    } catch { throw RPC.Refusal(error) }
    return try keys.answer(with: found, of: id, log)
  }

  private func settle(_ id: String, _ state: PartingState) async throws(RPC.Refusal) {
    guard let id = ConnectionID(id) else { throw .malformedRequest }
    do throws(AccountError) {
      try await partings.settleParting(of: id, as: state, now: .now)
    } catch { throw RPC.Refusal(error) }
  }
}

extension KeyAgent {
  /// The data key of a managed connection, for a process that may have it.
  func answer(
    with found: (owner: UserID, wrap: ManagedWrap)?, of id: ConnectionID, _ log: Log
  ) throws(RPC.Refusal) -> String {
    guard let found else { throw .conflict }
    do throws(Refusal) {
      return try revealDataKey(.managed(found.wrap), connection: id, owner: found.owner)
    } catch {
      log.error("data_key_not_opened", ["connection": .idPrefix(id.text)])
      throw .failed
    }
  }
}
