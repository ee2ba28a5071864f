// Asks the scheduler to destroy the sealed tokens of a revoked connection. The caller does not wait:
// the row is marked already, nothing opens the blob any more, and a sweep finds what this call missed.

import Accounts
import EventLoop
import Logging
import RPC

/// Shreds through the scheduler.
struct RemoteShredder: TokenShredder {
  let scheduler: RPCClient
  let loop: EventLoop
  let log: Log

  func shred(_ connection: ConnectionID) {
    let (scheduler, log) = (scheduler, log)
    loop.spawn {
      do throws(RPCError) {
        _ = try await scheduler.call(
          ShredCall.self, ShredCall.Request(connectionID: connection.text))
      } catch {
        log.warning("shred_left_to_sweep", ["connection": .idPrefix(connection.text)])
      }
    }
  }
}
