// The edge from start to end: certificates, counters, databases, loops, listeners; then it serves
// until it is told to drain. It needs no other service to start, only a migrated database, for
// which it waits.

import Accounts
import Clocks
import Configuration
import Database
import EventLoop
import Glibc
import HTTPServer
import Logging
import Posix
import Providers
import RPC
import ServiceRuntime
import Transport

/// The service `bindery-edge`.
struct Edge: ServiceBody {
  static let service = Service.edge

  private let server: WebServer
  private let tls: ServerTLS?
  private let log: Log
  /// Held so that `status` and /readyz tell whether they are there.
  private let peers: [RPCClient]
  private let world: EdgeWorld
  private let catalogueFile: CatalogueFile?

  static func readSettings(
    _ environment: Environment
  ) throws(ConfigurationError) -> (EdgeSettings, ProcessSettings) {
    let settings = try EdgeSettings(environment)
    let files = [
      settings.tls?.certificate, settings.tls?.key, settings.upstreamCAFile,
      settings.catalogueFile?.path,
    ].compactMap(\.self)
    let process = ProcessSettings(
      common: settings.common, operations: settings.opsListener, listener: settings.listener,
      readableFiles: files, databases: [.bindery, .tokens])
    return (settings, process)
  }

  static func start(
    _ settings: EdgeSettings, in runtime: Runtime
  ) async throws(StartFailure) -> Edge {
    let tls = try serverTLS(settings)
    let clientTLS: ClientTLS
    do throws(TLSContextError) {
      clientTLS = try ClientTLS(trustPath: settings.upstreamCAFile)
    } catch { throw .service("upstream_ca_unreadable") }
    let epochs: RevocationEpochs
    do throws(Errno) {
      epochs = try RevocationEpochs(
        runDirectory: runtime.settings.common.runDirectory, forWriting: false)
    } catch { throw .service("epochs_not_mapped") }
    let scheduler = runtime.reach(.scheduler)
    let auth = runtime.reach(.auth)
    let peers = [auth, scheduler, runtime.reach(.billing)]
    let database = try await runtime.openDatabase(.bindery, as: .database)
    let loops = try makeLoops(settings.threads)
    let options = try listenOptions(settings, tls)
    let world = EdgeWorld(
      settings, runtime: runtime, listening: options.addresses, epochs: epochs,
      clientTLS: clientTLS, activity: ActivityStore(database), scheduler: scheduler,
      auth: auth)
    await world.restoreBlocks()
    let server: WebServer
    do throws(Errno) {
      server = try await WebServer(options, loops: loops) { loop in
        let handler = EdgeHandler(loop: loop, world: world)
        world.handlers.add(LoopBound(here: handler, on: loop))
        return handler
      }
    } catch { throw .listen(options.addresses[0], error) }
    try await runtime.answerCalls()
    return Edge(
      server: server, tls: tls, log: runtime.log, peers: peers, world: world,
      catalogueFile: settings.catalogueFile)
  }

  private static func serverTLS(_ settings: EdgeSettings) throws(StartFailure) -> ServerTLS? {
    guard let files = settings.tls else { return nil }
    do throws(TLSContextError) {
      return try ServerTLS(certificatePath: files.certificate, keyPath: files.key)
    } catch {
      switch error {
      case .certificateUnreadable, .trustUnreadable: throw .service("tls_certificate_unreadable")
      case .keyUnreadable: throw .service("tls_key_unreadable")
      case .keyMismatch: throw .service("tls_key_of_another_certificate")
      }
    }
  }

  private static func makeLoops(_ count: Int) throws(StartFailure) -> [EventLoop] {
    var loops: [EventLoop] = []
    for index in 0..<count {
      do throws(Errno) { loops.append(try EventLoop(name: "edge-\(index)")) } catch {
        throw .loop(error)
      }
    }
    for loop in loops { loop.start() }
    return loops
  }

  /// Where to listen: the setting's address with a real port, and always a Unix socket.
  private static func listenOptions(
    _ settings: EdgeSettings, _ tls: ServerTLS?
  ) throws(StartFailure) -> ListenOptions {
    var addresses: [SocketAddress] = []
    if case .address(let address) = settings.listener {
      do throws(Errno) { addresses.append(try ListeningSocket.choosingPort(address)) } catch {
        throw .listen(address, error)
      }
    }
    addresses.append(.unix(path: "\(settings.common.runDirectory)/edge.http.sock"))
    var options = ListenOptions(addresses: addresses)
    options.tls = tls
    options.limits.connectionsMax = connectionsPerLoopMax(loops: settings.threads)
    return options
  }

  /// Client connections that one loop may hold: half of the descriptors that are left when files,
  /// databases and calls have theirs, since each may need one to an upstream; half as many again,
  /// because the kernel does not spread connections evenly over the loops.
  private static func connectionsPerLoopMax(loops: Int) -> Int {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(7), &limit) == 0 else { return 256 }  // RLIMIT_NOFILE
    limit.rlim_cur = limit.rlim_max
    _ = setrlimit(__rlimit_resource_t(7), &limit)
    let descriptors = Int(clamping: limit.rlim_cur)
    return max((descriptors - 256) / 2 / loops * 3 / 2, 64)
  }

  var addresses: [SocketAddress] { server.addresses }

  func drain(until deadline: Instant) async {
    await server.drain(patience: Instant.now.duration(to: deadline))
  }

  /// Reads the catalogue again; a bad one changes nothing.
  private func reloadCatalogue() async {
    guard let catalogueFile else { return }
    let catalogue: Catalogue
    do throws(ConfigurationError) {
      catalogue = try catalogueFile.read()
    } catch { return log.error("catalogue_not_reloaded", error.logFields) }
    let table = UpstreamTable(catalogue, rows: world.serviceRows)
    for handler in world.handlers.all {
      await handler.loop.run { handler.value.services = table }
    }
    log.info("catalogue_reloaded", ["services": .count(table.services.count)])
  }

  func reload() async {
    await reloadCatalogue()
    guard let tls else { return }
    do throws(TLSContextError) {
      try tls.reload()
      log.info("certificate_reloaded")
    } catch { log.error("certificate_not_reloaded") }
  }
}
