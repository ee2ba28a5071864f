// What the scheduler does from start to end: keep the logs of both databases short, destroy the
// blobs of connections that are gone, and answer `shred`. Nothing here listens on the network
// but the ops port, and no key passes through it.

import Clocks
import Configuration
import Database
import Logging
import Posix
import RPC
import ServiceRuntime

/// The service `bindery-scheduler`.
struct Scheduler: ServiceBody {
  static let service = Service.scheduler

  private let checkpoints: Checkpoints
  private let jobs: JobBoard
  private let threads: [DatabaseThread]
  private let auth: RPCClient

  static func readSettings(
    _ environment: Environment
  ) throws(ConfigurationError) -> (SchedulerSettings, ProcessSettings) {
    let settings = try SchedulerSettings(environment)
    return (
      settings,
      ProcessSettings(
        common: settings.common, operations: settings.opsListener,
        writableFolders: [settings.common.locksPath, settings.common.outboxPath],
        databases: [.bindery, .tokens])
    )
  }

  static func start(
    _ settings: SchedulerSettings, in runtime: Runtime
  ) async throws(StartFailure) -> Scheduler {
    let auth = runtime.reach(.auth)
    let bindery = try await runtime.openDatabase(.bindery, as: .database)
    let tokens = try await runtime.openDatabase(.tokens, as: .tokens)
    let checkpoints = try Checkpoints(runtime)
    checkpoints.report(to: runtime.readiness)
    let shredder = Shredder(bindery: bindery, tokens: tokens, log: runtime.log) {
      checkpoints.hurry()
    }
    var handlers = CallHandlers()
    handlers.answer(ShredCall.self) { (request, _) throws(Refusal) in
      let outcome: Shredder.Outcome
      do throws(DatabaseError) {
        outcome = try await shredder.shred(request.connectionID)
      } catch { throw error.isTransient ? .overloaded : .failed }
      switch outcome {
      case .shredded: return ShredCall.Response(shredded: true)
      case .nothing: return ShredCall.Response(shredded: false)
      case .refused: throw .conflict
      }
    }
    try await runtime.answerCalls(handlers)
    let jobs = JobBoard(runtime, bindery: bindery)
    try await jobs.start([.orphanBlobs(shredder, runtime.readiness)])
    runtime.loop.spawn { await checkpoints.watch() }
    return Scheduler(
      checkpoints: checkpoints, jobs: jobs, threads: [bindery, tokens], auth: auth)
  }

  var addresses: [SocketAddress] { [] }

  func drain(until deadline: Instant) async {
    await jobs.stop(until: deadline)
    // A last round, so that what was shredded just now leaves the logs too.
    await checkpoints.stop()
  }

  func reload() async {}
}
