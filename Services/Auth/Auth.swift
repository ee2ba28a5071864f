// What auth does from start to end: open both databases, take its keys, tell the edge to look again,
// and answer the API on TCP and for the edge. Holds the master keys and the signing keys.

import Accounts
import Clocks
import Configuration
import Database
import EventLoop
import HTTPClient
import HTTPServer
import JOSE
import Logging
import Metrics
import Posix
import RPC
import ServiceRuntime
import Transport
import Vault

/// The service `bindery-auth`.
struct Auth: ServiceBody {
  static let service = Service.auth
  static let bodyBytesMax = 64 * 1024

  private let server: WebServer
  private let databases: [DatabaseThread]
  private let settings: AuthSettings
  private let keyReload: KeyReload
  private let signingKeys: CurrentSigningKeys
  private let accounts: SQLiteAccounts
  private let catalogue: CurrentCatalogue
  private let log: Log

  static func readSettings(
    _ environment: Environment
  ) throws(ConfigurationError) -> (AuthSettings, ProcessSettings) {
    let settings = try AuthSettings(environment)
    return (
      settings,
      ProcessSettings(
        common: settings.common, operations: settings.opsListener, listener: settings.listener,
        readableFiles: [
          settings.masterKeys?.file, settings.catalogueFile?.path, settings.upstreamCAFile,
        ].compactMap { $0 }, databases: nil)
    )
  }

  static func start(
    _ settings: AuthSettings, in runtime: Runtime
  ) async throws(StartFailure) -> Auth {
    let scheduler = runtime.reach(.scheduler)
    let bindery = try await runtime.openDatabase(.bindery, as: .database)
    let tokens = try await runtime.openDatabase(.tokens, as: .tokens)
    let signingKeys = CurrentSigningKeys(
      try SigningKeysFile.open(settings.common.signingKeysPath))
    runtime.readiness.note(holds: .keys)
    let epochs: RevocationEpochs
    do throws(Errno) {
      epochs = try RevocationEpochs(runDirectory: settings.common.runDirectory, forWriting: true)
    } catch { throw .service("epochs_not_mapped") }
    // The last auth may have died between a commit and its bump.
    epochs.bumpEverything()
    let keys = KeyAgent(
      ring: settings.masterKeys?.ring,
      environment: KeyEnvironment(rawValue: settings.secretPrefix) ?? .live)
    let catalogue = CurrentCatalogue(settings.catalogue)
    let accounts = SQLiteAccounts(
      bindery, sealing: keys, plans: settings.plan.map { PlanTerms($0) })
    do throws(AccountError) {
      try await signingKeys.replace(with: signingKeys.value, publishing: accounts, now: .now)
    } catch { throw .service("signing_keys_not_published") }
    do throws(AccountError) { try await accounts.preparePlans(now: .now) } catch {
      throw .service("plans_not_prepared")
    }
    let billing = settings.plan.map { _ in runtime.reach(.billing) }
    let client = try makeClient(settings, runtime)
    let loop = runtime.loop
    let parts = AuthAPI.Parts(
      settings: settings, accounts: accounts, tokens: tokens,
      signingKeys: signingKeys, keys: keys, epochs: epochs, catalogue: catalogue,
      check: UpstreamAPIKeyCheck(client: client, log: runtime.log), fetch: client,
      shredder: RemoteShredder(scheduler: scheduler, loop: loop, log: runtime.log),
      revoker: RemoteRevoker(scheduler: scheduler, log: runtime.log),
      spawn: { work in loop.spawn { await work() } }, log: runtime.log,
      requests: runtime.metrics.counters(
        "bindery_auth_requests_total", "Requests answered.", label: "class", by: StatusClass.self),
      mails: RemoteMails(
        operatorAddress: settings.adminEmail, scheduler: scheduler, loop: loop, log: runtime.log),
      billing: billing)
    let server = try await runtime.serve(
      AuthAPI(parts), on: settings.listener,
      socket: settings.common.httpSocketPath(of: .auth), bodyBytesMax: bodyBytesMax)
    let watch = KeyWatch(store: accounts, keys: keys, runtime: runtime)
    loop.spawn { await watch.run() }
    let rotator = KeyRotator(
      store: accounts, keys: keys,
      around: KeyRotator.Surroundings(
        log: runtime.log, metrics: runtime.metrics, pause: { await runtime.pause(for: $0) },
        spawn: { loop.spawn($0) }))
    let keyReload = KeyReload(
      source: settings.masterKeys, keys: keys, store: accounts, rotator: rotator,
      log: runtime.log)
    rotator.kick()
    var handlers = CallHandlers()
    KeyCalls(keys: keys, store: accounts, rotator: rotator, reload: keyReload)
      .answer(in: &handlers)
    DataKeyCalls(partings: accounts, keys: keys, log: runtime.log).answer(in: &handlers)
    ProgramKeyCalls(store: accounts, keys: keys, log: runtime.log).answer(in: &handlers)
    ResetTokenCalls(
      users: accounts,
      tokens: ResetTokens(keys: signingKeys, issuer: settings.common.publicURL.origin)
    )
    .answer(in: &handlers)
    Tidying(store: accounts, epochs: epochs, shredder: parts.shredder, log: runtime.log)
      .answer(in: &handlers)
    PlanCalls(store: accounts, epochs: epochs, log: runtime.log).answer(in: &handlers)
    if let billing {
      let plans = PlanWatch(store: accounts, billing: billing, epochs: epochs, log: runtime.log)
      loop.spawn { await plans.run(runtime) }
    }
    try await runtime.answerCalls(handlers)
    return Auth(
      server: server, databases: [bindery, tokens], settings: settings, keyReload: keyReload,
      signingKeys: signingKeys, accounts: accounts, catalogue: catalogue, log: runtime.log)
  }

  private static func makeClient(
    _ settings: AuthSettings, _ runtime: Runtime
  ) throws(StartFailure) -> OneShotClient {
    do throws(TLSContextError) {
      return OneShotClient(
        loop: runtime.loop, resolver: Resolver(),
        tls: try ClientTLS(trustPath: settings.upstreamCAFile))
    } catch { throw .service("trust_roots_unreadable") }
  }

  var addresses: [SocketAddress] { server.addresses }

  func drain(until deadline: Instant) async {
    await server.drain(patience: max(.zero, Instant.now.duration(to: deadline)))
    for database in databases { database.stop() }
  }

  func reload() async {
    var isWhole = true
    if settings.masterKeys?.file != nil {
      do throws(KeyReloadProblem) { try await keyReload.run() } catch { isWhole = false }
    }
    isWhole = await reloadSigningKeys() && isWhole
    do throws(ConfigurationError) {
      if let file = settings.catalogueFile { catalogue.replace(with: try file.read()) }
    } catch {
      isWhole = false
      log.error("settings_not_reloaded", error.logFields)
    }
    if isWhole { log.info("settings_reloaded") }
  }

  /// Reads the signing keys again; a file that does not read changes nothing.
  private func reloadSigningKeys() async -> Bool {
    let keys: SigningKeys
    do throws(StartFailure) {
      keys = try SigningKeysFile.open(settings.common.signingKeysPath)
    } catch {
      log.error("signing_keys_not_reloaded")
      return false
    }
    do throws(AccountError) {
      try await signingKeys.replace(with: keys, publishing: accounts, now: .now)
    } catch {
      log.error("signing_keys_not_published")
      return false
    }
    return true
  }
}

extension PlanTerms {
  init(_ settings: PlanSettings) {
    self.init(
      trialSeconds: Int64(settings.trialDays) * 86_400,
      trialConnections: Int64(settings.trialConnections),
      graceSeconds: Int64(settings.pastDueGraceDays) * 86_400)
  }
}
