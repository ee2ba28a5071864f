// What the scheduler does from start to end: refresh tokens, keep the logs of both databases short,
// destroy the blobs of connections that are gone, send mails. Nothing here listens on the network but
// the ops port; a data key is here for the length of one refresh.

import Clocks
import Configuration
import Database
import HTTPClient
import Logging
import Posix
import Providers
import RPC
import ServiceRuntime
import Synchronization
import Transport
import Vault

/// The service `bindery-scheduler`.
struct Scheduler: ServiceBody {
  static let service = Service.scheduler

  private let checkpoints: Checkpoints
  private let jobs: JobBoard
  private let threads: [DatabaseThread]
  private let auth: RPCClient
  private let refresher: Refresher
  private let catalogue: HeldCatalogue
  private let log: Log

  static func readSettings(
    _ environment: Environment
  ) throws(ConfigurationError) -> (SchedulerSettings, ProcessSettings) {
    let settings = try SchedulerSettings(environment)
    return (
      settings,
      ProcessSettings(
        common: settings.common, operations: settings.opsListener,
        readableFiles: [settings.catalogueFile?.path, settings.upstreamCAFile].compactMap(\.self),
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
    let catalogue = HeldCatalogue(settings.catalogue, file: settings.catalogueFile)
    let parts = try refreshParts(settings, catalogue, bindery: bindery, tokens: tokens, runtime)
    let refresher = Refresher(parts)
    var handlers = CallHandlers()
    handlers.answer(RefreshCall.self) { (request, _) throws(Refusal) in
      guard request.generation > 0, let key = DataKey(base64URL: request.dataKey) else {
        throw .malformedRequest
      }
      return await refresher.refresh(
        request.connectionID, generation: UInt64(request.generation), key: key,
        wasRefused: request.wasRefused, urgency: .onDemand)
    }
    let revoker = UpstreamRevoker(parts, catalogue: catalogue, shredder: shredder, auth: auth)
    handlers.answer(RevokeUpstreamCall.self) { (request, _) throws(Refusal) in
      guard let key = DataKey(base64URL: request.dataKey) else { throw .malformedRequest }
      return .init(outcome: await revoker.revoke(request.connectionID, key: key))
    }
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
    let mailer = try Mailer(settings, runtime, bindery: bindery, auth: auth)
    mailer.answer(in: &handlers)
    try await runtime.answerCalls(handlers)
    let jobs = JobBoard(runtime, bindery: bindery)
    let forecaster = Forecaster(
      bindery: bindery, tokens: tokens, mailer: mailer, catalogue: { catalogue.value },
      metrics: runtime.metrics, log: runtime.log)
    let anomalies = AnomalySearch(
      bindery: bindery, tokens: tokens, catalogue: { catalogue.value }, metrics: runtime.metrics,
      log: runtime.log)
    mailer.onNews { [weak jobs] in jobs?.hurry(.mail) }
    try await jobs.start([
      .orphanBlobs(shredder, runtime.readiness), .upstreamRevocations(revoker), .mail(mailer),
      .tidy(auth, runtime), .masterKeys(auth, runtime), .forecast(forecaster),
      .anomalies(anomalies), .auditChain(bindery, log: runtime.log),
    ])
    jobs.hurry(.mail)  // what the process before us was asked to send at once
    runtime.loop.spawn { await checkpoints.watch() }
    let background = BackgroundRefresh(parts: parts, refresher: refresher, auth: auth)
    runtime.readiness.report("managed_connections") { background.latest.managed }
    runtime.readiness.report("refreshes_due") { background.latest.due }
    runtime.loop.spawn { await background.run() }
    return Scheduler(
      checkpoints: checkpoints, jobs: jobs, threads: [bindery, tokens], auth: auth,
      refresher: refresher, catalogue: catalogue, log: runtime.log)
  }

  private static func refreshParts(
    _ settings: SchedulerSettings, _ catalogue: HeldCatalogue, bindery: DatabaseThread,
    tokens: DatabaseThread, _ runtime: Runtime
  ) throws(StartFailure) -> Refresher.Parts {
    let locks: RefreshLocks
    do throws(Errno) {
      locks = try RefreshLocks(directory: settings.common.locksPath)
    } catch { throw .service("refresh_lock_not_opened") }
    let tls: ClientTLS
    do throws(TLSContextError) {
      tls = try ClientTLS(trustPath: settings.upstreamCAFile)
    } catch { throw .service("trust_roots_unreadable") }
    let pause: @Sendable (Duration) async -> Void = { await runtime.pause(for: $0) }
    return Refresher.Parts(
      bindery: bindery, tokens: tokens, locks: locks,
      gates: ProviderGates(catalogue: { catalogue.value }, pause: pause),
      fetch: OneShotClient(loop: runtime.loop, resolver: Resolver(), tls: tls),
      metrics: RefreshMetrics(
        runtime.metrics, services: settings.catalogue.providers.map(\.id)),
      log: runtime.log, clients: settings.oauthClients, pause: pause)
  }

  var addresses: [SocketAddress] { [] }

  func drain(until deadline: Instant) async {
    await jobs.stop(until: deadline)
    await refresher.finish(until: deadline)
    // A last round, so that what was shredded just now leaves the logs too.
    await checkpoints.stop()
  }

  func reload() async {
    do throws(ConfigurationError) {
      try catalogue.reload()
    } catch { return log.error("settings_not_reloaded", error.logFields) }
    await refresher.reload()
    log.info("settings_reloaded")
  }
}

/// The catalogue as it is now.
final class HeldCatalogue: Sendable {
  private let held: Mutex<Catalogue>
  private let file: CatalogueFile?

  init(_ catalogue: Catalogue, file: CatalogueFile?) {
    held = Mutex(catalogue)
    self.file = file
  }

  var value: Catalogue { held.withLock { $0 } }

  /// Reads the operator's file again; a bad one changes nothing.
  func reload() throws(ConfigurationError) {
    guard let file else { return }
    let catalogue = try file.read()
    held.withLock { $0 = catalogue }
  }
}
