// What a service finds around it while it runs: its log, metrics and readiness, the control
// loop, databases that are migrated, the peers it calls, and the door where it is called.
// Safe from any thread.

import Clocks
import Database
import EventLoop
import Glibc
import HTTPServer
import Logging
import Metrics
import Posix
import RPC
import Synchronization
import Transport

/// The surroundings of a running service.
public final class Runtime: Sendable {
  public let service: Service
  public let settings: ProcessSettings
  public let log: Log
  public let metrics: MetricRegistry
  public let readiness: Readiness
  /// The loop of everything that is not the service's main traffic: calls, ops, timers.
  public let loop: EventLoop
  private let sink: LogSink
  private let callSeconds: Family<Histogram, CallName>
  private let policy: PeerPolicy
  private let server = Mutex<LoopBound<RPCServer>?>(nil)
  private let operations = Mutex<WebServer?>(nil)

  init(
    service: Service, settings: ProcessSettings, log: Log, sink: LogSink, loop: EventLoop,
    readiness: Readiness
  ) {
    self.service = service
    self.settings = settings
    self.log = log
    self.sink = sink
    self.loop = loop
    self.readiness = readiness
    metrics = MetricRegistry()
    let names = MetricNames(service)
    callSeconds = metrics.histograms(
      names.callSeconds, "Time from making a call of another service to its answer.",
      label: "call", by: CallName.self)
    metrics.observed(names.uptime, "Time since the process started.") { [readiness] in
      Double(readiness.uptimeSeconds)
    }
    metrics.observed(names.ready, "Whether the process is ready.") { [readiness] in
      readiness.isReady ? 1 : 0
    }
    metrics.observed(names.peers, "Whether a peer is reached.", label: "peer") { [readiness] in
      readiness.peerStates.map { ($0.name, $0.isConnected ? 1 : 0) }
    }
    metrics.observed(names.droppedLines, "Log lines dropped because nobody read them.") {
      Double(sink.droppedLines)
    }
    policy = PeerPolicy(userID: geteuid(), groupID: Runtime.group(of: settings.common.runDirectory))
  }

  private static func group(of directory: String) -> UInt32 {
    var status = stat()
    return stat(directory, &status) == 0 ? status.st_gid : getegid()
  }

  // MARK: Peers

  /// A lasting connection to a peer, which /readyz and the metrics tell of from now on.
  public func reach(_ peer: Service) -> RPCClient {
    let client = RPCClient(
      to: peer, as: service, build: Build.version.description,
      runDirectory: settings.common.runDirectory, policy: policy, loop: loop, log: log,
      seconds: callSeconds)
    readiness.watch(client)
    return client
  }

  /// Opens the door where this service is called; `status` is answered by the runtime itself.
  public func answerCalls(_ handlers: CallHandlers = CallHandlers()) async throws(StartFailure) {
    var handlers = handlers
    let readiness = readiness
    let service = service
    let metrics = metrics
    handlers.answer(StatusCall.self) { _, _ in
      StatusCall.Response(readiness, metrics, of: service)
    }
    let address = SocketAddress.unix(path: "\(settings.common.runDirectory)/\(service.socketName)")
    let (log, policy, loop, all) = (log, policy, loop, handlers)
    let result: Result<LoopBound<RPCServer>, Errno> = await loop.run {
      do throws(Errno) {
        let server = try RPCServer(
          try ListeningSocket(address, mode: 0o660), service: service,
          build: Build.version.description, policy: policy, handlers: all, loop: loop, log: log)
        return .success(LoopBound(here: server, on: loop))
      } catch { return .failure(error) }
    }
    do throws(Errno) {
      let bound = try result.get()
      server.withLock { $0 = bound }
      loop.spawn { await bound.value.run() }
    } catch { throw .listen(address, error) }
  }

  /// Keeps the ops server until the process ends.
  func keep(_ server: WebServer) { operations.withLock { $0 = server } }

  func drainCalls(until deadline: Instant) async {
    guard let bound = server.withLock({ $0 }) else { return }
    await loop.run { await bound.value.drain(deadline: deadline) }
  }

  // MARK: Time

  /// Waits on the control loop.
  public func pause(for duration: Duration) async {
    let loop = loop
    await loop.run {
      let parker = Parker()
      let timer = Timer(loop: loop, parker: parker)
      timer.arm(at: Instant.now.advanced(by: duration))
      while !timer.fired { await parker.park() }
    }
  }

  // MARK: The end

  /// Ends the process because it cannot go on: a disk that fails, a database that is damaged.
  public func giveUp(_ event: StaticString) -> Never {
    log.error(event)
    leave(status: 1)
  }

  func fail(_ failure: StartFailure) -> Never {
    failure.write(to: log)
    leave(status: failure.status)
  }

  func leave(status: Int32) -> Never {
    sink.flush(within: .seconds(1))
    // Not `exit`: its handlers would run beside threads that still work.
    _exit(status)
  }
}

extension StatusCall.Response {
  init(_ readiness: Readiness, _ metrics: MetricRegistry, of service: Service) {
    self.init(
      service: service.rawValue, version: Build.version.description,
      uptimeSeconds: readiness.uptimeSeconds, ready: readiness.isReady, state: readiness.word,
      peers: Dictionary(
        readiness.peerStates.map { ($0.name, $0.isConnected) }, uniquingKeysWith: { $1 }),
      counters: metrics.totals.merging(readiness.counterValues) { $1 }, jobs: readiness.jobStates,
      degraded: Dictionary(readiness.degradedConditions.map { ($0.name, $0.reason) }) { $1 })
  }
}
