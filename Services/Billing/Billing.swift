// What billing does from start to end: listen for Stripe, on TCP and for the edge, and file
// events. Holds Stripe's secrets and nobody else's. Effects of events are not here yet.

import Clocks
import Configuration
import Database
import HTTPServer
import Logging
import Posix
import RPC
import ServiceRuntime

/// The service `bindery-billing`.
struct Billing: ServiceBody {
  static let service = Service.billing

  private let server: WebServer
  private let database: DatabaseThread
  private let auth: RPCClient

  static func readSettings(
    _ environment: Environment
  ) throws(ConfigurationError) -> (BillingSettings, ProcessSettings) {
    let settings = try BillingSettings(environment)
    return (
      settings,
      ProcessSettings(
        common: settings.common, operations: settings.opsListener, listener: settings.listener,
        databases: [.bindery])
    )
  }

  static func start(
    _ settings: BillingSettings, in runtime: Runtime
  ) async throws(StartFailure) -> Billing {
    let auth = runtime.reach(.auth)
    let database = try await runtime.openDatabase(.bindery, as: .database)
    let inbox = Inbox(database: database)
    let receiver = Receiver(
      secrets: settings.stripeWebhookSecrets.map { WebhookSecret($0) }, inbox: inbox,
      log: runtime.log, metrics: BillingMetrics(runtime.metrics))
    let server = try await runtime.serve(
      BillingRoutes(receiver: receiver), on: settings.listener,
      socket: settings.common.httpSocketPath(of: .billing), bodyBytesMax: Receiver.bodyBytesMax)
    try await runtime.answerCalls()
    let metrics = receiver.metrics
    runtime.readiness.report("inbox_waiting") { metrics.waiting.current }
    runtime.readiness.report("inbox_parked") { metrics.parked.current }
    runtime.loop.spawn { await measureForEver(inbox, metrics, runtime) }
    if settings.stripeWebhookSecrets.isEmpty { runtime.log.info("billing_disabled") }
    return Billing(server: server, database: database, auth: auth)
  }

  var addresses: [SocketAddress] { server.addresses }

  func drain(until deadline: Instant) async {
    await server.drain(patience: max(.zero, Instant.now.duration(to: deadline)))
    database.stop()
  }

  func reload() async {}

  private static func measureForEver(
    _ inbox: Inbox, _ metrics: BillingMetrics, _ runtime: Runtime
  ) async {
    while true {
      do throws(DatabaseError) {
        metrics.note(try await inbox.depth(), at: .now)
        runtime.readiness.note(holds: .database)
      } catch {
        if error.isFatal { runtime.giveUp("database_unusable") }
        runtime.readiness.note(broken: .database, because: error.label)
      }
      await runtime.pause(for: .seconds(5))
    }
  }
}
