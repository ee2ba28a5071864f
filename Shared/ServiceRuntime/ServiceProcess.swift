// The life of a service process, in order. The first thread does everything up to the sandbox,
// starts the control loop and then does nothing but wait for signals; all else happens on loops
// and on threads of the modules.
//
//   settings (exit 78) -> folders -> sandbox -> log, control loop, ops port -> the service
//   starts: databases migrated, listeners bound -> ready -> SIGTERM: drain, exit 0

import CLinux
import Clocks
import Configuration
import EventLoop
import Glibc
import Logging
import Posix
import RPC
import Synchronization

/// What a service brings to the skeleton.
public protocol ServiceBody: Sendable {
  /// Its own settings.
  associatedtype Settings: Sendable
  static var service: Service { get }
  /// Reads everything that the service may read, before a second thread exists.
  static func readSettings(
    _ environment: Environment
  ) throws(ConfigurationError) -> (Settings, ProcessSettings)
  /// Opens what the service needs and binds its listeners; runs on the control loop.
  static func start(_ settings: Settings, in runtime: Runtime) async throws(StartFailure) -> Self
  /// Where it listens, with real ports.
  var addresses: [SocketAddress] { get }
  /// Stops accepting, lets requests finish until the deadline, ends streams.
  func drain(until deadline: Instant) async
  /// Reads certificates, keys and catalogue again.
  func reload() async
}

/// Runs a service as this process.
public enum ServiceProcess {
  /// Runs until a signal ends the process. Called once, by `main.swift`.
  public static func run<Body: ServiceBody>(_: Body.Type) -> Never {
    ProcessBasics.keepStandardDescriptors()
    let signals = ProcessBasics.claimSignals()
    umask(0o007)
    let settings: Body.Settings
    let common: ProcessSettings
    do throws(ConfigurationError) {
      (settings, common) = try Body.readSettings(Environment.take())
    } catch { refuse(error) }
    let outcome: Sandbox.Outcome
    let closesKeys = common.opensDatabasesAlone
    let loop: EventLoop
    do throws(StartFailure) {
      outcome = try prepare(common)
      loop = try makeLoop()
    } catch { fail(error, Body.service, common) }

    let sink = LogSink(service: Body.service.label)
    let log = Log(service: Body.service.label, level: common.common.logLevel, sink: sink)
    log.info(
      "starting",
      [
        "version": .literal(Build.version), "landlock": .count(outcome.landlockVersion),
        "seccomp": .flag(outcome.filtersSystemCalls),
        "key_files_closed": .flag(closesKeys && outcome.landlockVersion > 0),
      ])
    loop.start()
    let runtime = Runtime(
      service: Body.service, settings: common, log: log, sink: sink, loop: loop,
      readiness: Readiness(at: .now))
    let holder = BodyHolder<Body>()
    loop.spawn { await start(settings, holder, in: runtime) }
    obey(signals, holder, runtime)
  }

  private static func prepare(
    _ settings: ProcessSettings
  ) throws(StartFailure) -> Sandbox.Outcome {
    do throws(FolderError) {
      try ProcessBasics.makeFolder(settings.common.dataDirectory, mode: 0o770)
      try ProcessBasics.makeFolder(settings.common.runDirectory, mode: 0o750)
      for folder in settings.writableFolders {
        try ProcessBasics.makeFolder(folder, mode: 0o750)
      }
    } catch { throw .folder(error) }
    do throws(SandboxError) { return try settings.sandbox.close() } catch { throw .sandbox(error) }
  }

  private static func makeLoop() throws(StartFailure) -> EventLoop {
    do throws(Errno) { return try EventLoop(name: "control") } catch { throw .loop(error) }
  }

  // MARK: Start

  private static func start<Body: ServiceBody>(
    _ settings: Body.Settings, _ holder: BodyHolder<Body>, in runtime: Runtime
  ) async {
    do throws(StartFailure) {
      let operations = try await runtime.serveOperations()
      let body = try await Body.start(settings, in: runtime)
      holder.set(body)
      CodePages.release()
      runtime.readiness.becomeReady()
      guard runtime.readiness.word == "ready" else { return }  // a signal came first
      tellSupervisor(body.addresses, operations, runtime)
      for address in body.addresses {
        runtime.log.info("listening", ["address": .text(.address(address))])
      }
      runtime.log.info("ready")
    } catch { runtime.fail(error) }
  }

  /// Writes one line of JSON to the descriptor that a supervisor gave us, and closes it.
  private static func tellSupervisor(
    _ addresses: [SocketAddress], _ operations: SocketAddress?, _ runtime: Runtime
  ) {
    guard let number = runtime.settings.common.readyDescriptor else { return }
    // Addresses hold no quote, backslash or control character.
    let listen = addresses.map { "\"\($0)\"" }.joined(separator: ",")
    let ops = operations.map { "\"\($0)\"" } ?? "null"
    let line =
      "{\"service\":\"\(runtime.service.rawValue)\",\"listen\":[\(listen)],\"ops\":\(ops)}\n"
    var bytes = Array(line.utf8)[...]
    while !bytes.isEmpty {
      let count = bytes.withUnsafeBytes { write(number, $0.baseAddress, $0.count) }
      if count > 0 { bytes = bytes.dropFirst(count) } else if errno != EINTR { break }
    }
    close(number)
  }

  // MARK: Signals

  /// Waits for signals for ever; ends the process when a drain overstays its deadline.
  private static func obey<Body: ServiceBody>(
    _ signals: sigset_t, _ holder: BodyHolder<Body>, _ runtime: Runtime
  ) -> Never {
    var signals = signals
    var limit: Instant?
    while true {
      switch wait(&signals, until: limit) {
      case SIGHUP:
        runtime.log.info("reloading")
        runtime.loop.spawn { await holder.body?.reload() }
      case SIGTERM, SIGINT:
        switch runtime.readiness.terminate() {
        case .none: break
        case .exit:
          runtime.log.info("stopped", ["drained": false])
          runtime.leave(status: 0)
        case .drain(let deadline):
          runtime.log.info("draining")
          limit = deadline.advanced(by: .seconds(1))
          runtime.loop.spawn { await drain(holder, runtime, until: deadline) }
        }
      case 0:
        runtime.log.warning("drain_cut")
        runtime.leave(status: 0)
      default: break
      }
    }
  }

  private static func wait(_ signals: inout sigset_t, until limit: Instant?) -> Int32 {
    guard let limit else { return sigwaitinfo(&signals, nil) }
    let left = max(.zero, Instant.now.duration(to: limit)).components
    var time = timespec(
      tv_sec: Int(left.seconds), tv_nsec: Int(left.attoseconds / 1_000_000_000))
    let signal = sigtimedwait(&signals, nil, &time)
    return signal < 0 && errno == EAGAIN ? 0 : signal
  }

  private static func drain<Body: ServiceBody>(
    _ holder: BodyHolder<Body>, _ runtime: Runtime, until deadline: Instant
  ) async {
    await holder.body?.drain(until: deadline)
    await runtime.drainCalls(until: deadline)
    runtime.log.info("stopped", ["drained": true])
    runtime.leave(status: 0)
  }

  // MARK: Refusals before there is a log

  private static func refuse(_ error: ConfigurationError) -> Never {
    let line = Array("\(error)\n".utf8)
    _ = line.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
    _exit(ConfigurationError.exitStatus)
  }

  private static func fail(
    _ failure: StartFailure, _ service: Service, _ settings: ProcessSettings
  ) -> Never {
    let sink = LogSink(service: service.label)
    let log = Log(service: service.label, level: settings.common.logLevel, sink: sink)
    failure.write(to: log)
    sink.flush(within: .seconds(1))
    _exit(failure.status)
  }
}

/// The service once it has started; signals may come before.
final class BodyHolder<Body: ServiceBody>: Sendable {
  private let held = Mutex<Body?>(nil)
  var body: Body? { held.withLock { $0 } }
  func set(_ body: Body) { held.withLock { $0 = body } }
}
