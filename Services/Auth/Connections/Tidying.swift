// Answers `tidy`: deletes what has ended and revokes what was suspended for too long, in the way in
// which its owner would. The scheduler asks, because it has the clock; auth does it, because the rows
// are its own.

import Accounts
import Clocks
import Logging
import RPC

/// The call `tidy`.
struct Tidying: Sendable {
  /// Connections that end in one round; the rest waits for the next.
  private static let endedMax: Int64 = 200

  let store: any TidyStore & AuthorizationStore & ConnectionStore
  let epochs: RevocationEpochs
  let shredder: any TokenShredder
  let log: Log

  /// Adds the answer to `handlers`.
  func answer(in handlers: inout CallHandlers) {
    handlers.answer(TidyCall.self) { [self] (_, _) throws(RPC.Refusal) in
      do throws(AccountError) { return try await tidy(now: .now) } catch {
        throw RPC.Refusal(error)
      }
    }
  }

  func tidy(now: UnixTime) async throws(AccountError) -> TidyCall.Response {
    let tidied = try await store.tidy(now: now)
    try await store.forgetExpired(now: now)
    var ended: Int64 = 0
    for (id, owner) in try await store.suspendedTooLong(now: now, limit: Self.endedMax) {
      let parting: Parting
      do throws(AccountError) {
        parting = try await store.revokeConnection(id, of: owner, now: now)
      } catch {
        if error == .notFound { continue }  // its owner was faster
        throw error
      }
      epochs.bump(id)
      // A provider that is to be told first is told by the scheduler's own job.
      if case .silent = parting { shredder.shred(id) }
      ended += 1
      log.info("suspended_connection_ended", ["connection": .idPrefix(id.text)])
    }
    return TidyCall.Response(
      sessions: Int64(tidied.sessions), revocations: Int64(tidied.revocations), ended: ended)
  }
}
