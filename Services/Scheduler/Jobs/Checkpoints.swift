// Keeps the write-ahead logs of both databases short: this process is the one that checkpoints
// them. A checkpointer that fails takes the process with it: a new one recovers, a log that grows
// for ever does not.

import Clocks
import Database
import EventLoop
import Logging
import Metrics
import ServiceRuntime

/// The checkpointers of both databases.
final class Checkpoints: Sendable {
  private let all: [(kind: DatabaseFile.Kind, checkpointer: Checkpointer)]
  private let runtime: Runtime

  init(_ runtime: Runtime) throws(StartFailure) {
    self.runtime = runtime
    let folder = runtime.settings.common.dataDirectory
    var all: [(DatabaseFile.Kind, Checkpointer)] = []
    for kind in DatabaseFile.Kind.allCases {
      do throws(DatabaseError) {
        all.append((kind, try Checkpointer(DatabaseFile(kind, in: folder))))
      } catch { throw .database(error) }
    }
    self.all = all
    runtime.metrics.observed(
      "bindery_scheduler_wal_bytes", "Length of a database's write-ahead log.", label: "database"
    ) {
      DatabaseFile.Kind.allCases.map {
        ($0.rawValue, Double(DatabaseFile($0, in: folder).logBytes))
      }
    }
  }

  /// Tells `status` how long the logs are.
  func report(to readiness: Readiness) {
    let folder = runtime.settings.common.dataDirectory
    readiness.report("bindery_wal_bytes") { Int64(DatabaseFile(.bindery, in: folder).logBytes) }
    readiness.report("tokens_wal_bytes") { Int64(DatabaseFile(.tokens, in: folder).logBytes) }
  }

  /// Empties the logs soon: bytes were destroyed.
  func hurry() { for entry in all { entry.checkpointer.hurry() } }

  /// Ends the process when a checkpointer ended by itself.
  func watch() async {
    while true {
      await runtime.pause(for: .seconds(1))
      for entry in all where entry.checkpointer.current.failure != nil {
        runtime.giveUp("checkpointer_failed")
      }
    }
  }

  /// Ends the threads after a last round each. They may wait for a writer, so the loop does not.
  func stop() async {
    let all = all
    try? await WorkerPool(threads: 1, queueMax: 1).run {
      for entry in all { entry.checkpointer.stop() }
    }
  }
}
