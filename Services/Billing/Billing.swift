// What billing does from start to end: listen for Stripe, on TCP and for the edge, and file events;
// behind that, take them into account, ask Stripe where they do not suffice, and tell auth how people
// stand. Holds Stripe's secrets and nobody else's.

import Clocks
import Configuration
import Database
import HTTPClient
import HTTPServer
import Logging
import Posix
import RPC
import ServiceRuntime
import Stripe
import Transport

/// The service `bindery-billing`.
struct Billing: ServiceBody {
  static let service = Service.billing

  private let server: WebServer
  private let database: DatabaseThread
  private let rounds: Rounds

  static func readSettings(
    _ environment: Environment
  ) throws(ConfigurationError) -> (BillingSettings, ProcessSettings) {
    let settings = try BillingSettings(environment)
    return (
      settings,
      ProcessSettings(
        common: settings.common, operations: settings.opsListener, listener: settings.listener,
        readableFiles: [settings.upstreamCAFile].compactMap(\.self), databases: [.bindery])
    )
  }

  static func start(
    _ settings: BillingSettings, in runtime: Runtime
  ) async throws(StartFailure) -> Billing {
    let peers = RemotePeers(auth: runtime.reach(.auth), scheduler: runtime.reach(.scheduler))
    let database = try await runtime.openDatabase(.bindery, as: .database)
    let metrics = BillingMetrics(runtime.metrics)
    let bells = Bells()
    let parts = BillingParts(
      runtime: runtime, database: database, metrics: metrics, bells: bells,
      rules: BillingRules(
        price: settings.stripePrice, isLive: settings.stripeSecretKey.flatMap(StripeMode.isLive),
        graceDays: Int64(settings.plan.pastDueGraceDays)),
      stripe: try stripe(settings, runtime, database, metrics), peers: peers)
    let receiver = Receiver(
      secrets: settings.stripeWebhookSecrets.map { WebhookSecret($0) },
      inbox: Inbox(database: database), log: runtime.log, metrics: metrics,
      onNews: { bells.events.ring() })
    let server = try await runtime.serve(
      BillingRoutes(receiver: receiver), on: settings.listener,
      socket: settings.common.httpSocketPath(of: .billing), bodyBytesMax: Receiver.bodyBytesMax)
    var handlers = CallHandlers()
    parts.calls.answer(in: &handlers)
    try await runtime.answerCalls(handlers)
    runtime.readiness.report("inbox_waiting") { metrics.waiting.current }
    runtime.readiness.report("inbox_parked") { metrics.parked.current }
    let rounds = Rounds(runtime: runtime, isStopped: .init())
    parts.begin(rounds)
    if settings.stripeWebhookSecrets.isEmpty { runtime.log.info("billing_disabled") }
    return Billing(server: server, database: database, rounds: rounds)
  }

  /// Stripe's API; nil while its key is not set.
  private static func stripe(
    _ settings: BillingSettings, _ runtime: Runtime, _ database: DatabaseThread,
    _ metrics: BillingMetrics
  ) throws(StartFailure) -> StripeAPI? {
    guard let key = settings.stripeSecretKey else { return nil }
    let tls: ClientTLS
    do throws(TLSContextError) {
      tls = try ClientTLS(trustPath: settings.upstreamCAFile)
    } catch { throw .service("trust_roots_unreadable") }
    return StripeAPI(
      url: settings.stripeURL, key: key,
      fetching: OneShotClient(loop: runtime.loop, resolver: Resolver(), tls: tls),
      posts: Posts(database: database), metrics: metrics,
      pause: { await runtime.pause(for: $0) })
  }

  var addresses: [SocketAddress] { server.addresses }

  func drain(until deadline: Instant) async {
    rounds.isStopped.set()
    await server.drain(patience: max(.zero, Instant.now.duration(to: deadline)))
    database.stop()
  }

  func reload() async {}
}

/// Which of Stripe's two worlds a key is for.
enum StripeMode {
  /// `sk_live_…` and `rk_live_…` are live, `…_test_…` are not; others do not say.
  static func isLive(_ key: SecretSetting) -> Bool? {
    key.withBytes { bytes in
      let word = bytes.dropFirst(3).prefix(5)
      if word.elementsEqual("live_".utf8) { return true }
      return word.elementsEqual("test_".utf8) ? false : nil
    }
  }
}
