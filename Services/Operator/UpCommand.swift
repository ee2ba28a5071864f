// `bindery up`: the whole system on one machine. Checks all settings, migrates, makes the keys that
// are missing, starts the four services as children, and prints one line when all are ready. Each
// child gets the settings that it may read and no others.

import Configuration
import Glibc
import JOSE
import Logging
import Posix
import Vault

/// Runs all four services.
enum UpCommand: Command {
  static let name = "up"
  static let summary = "Run the whole system on this machine"
  static let manual = """
    bindery up

    Migrates the databases, makes <data>/managed-keys.json and <data>/signing-keys.json (0600) when
    no master key is set and they are missing, starts bindery-edge, bindery-auth, bindery-billing
    and bindery-scheduler from this executable's folder, and prints one line on standard output when
    all are ready: ready http://127.0.0.1:8080, with the edge's real address (port 0 in EDGE_LISTEN
    takes a free one). Logs are JSON lines on standard error.

    A service that dies is started again, after 0.2 s at first and at most 30 s. SIGTERM or Ctrl-C
    lets the edge finish its requests, then ends the others; twice hurries. SIGHUP is passed on.
    Every setting of the services may be set; secrets reach only the services that may hold them.
    """

  static func run(
    _ arguments: inout Arguments, _ console: Console
  ) throws(CommandFailure) -> ExitStatus {
    try arguments.finish()
    Supervisor.claimSignals()
    return try run(Environment.take(), console) { origin in console.write("ready \(origin)\n") }
  }

  /// Runs the system with `environment`; `whenReady` gets the origin under which the edge answers.
  static func run(
    _ environment: Environment, _ console: Console, whenReady: @escaping (String) -> Void
  ) throws(CommandFailure) -> ExitStatus {
    var environment = try FreePort.chosen(in: environment)
    let settings = try OperatorSettings.read(environment)
    let common = settings.common
    try check(environment)
    _ = try MigrateCommand.migrate(common)
    let lock = try takeLock(common)
    environment = try KeyFiles.make(common, environment).setting([
      "\(Setting.dataDirectory.name)": common.dataDirectory,
      "\(Setting.runDirectory.name)": common.runDirectory,
    ])
    let folder = try executableFolder()
    let children = Program.services.map { program in
      ChildProcess(
        program, executable: "\(folder)/bindery-\(program.rawValue)",
        settings: environment.childSettings(for: program, catalogue: settings.catalogue))
    }
    let sink = LogSink(service: "up")
    let scheme = environment.isSet(.tlsCertificateFile) ? "https" : "http"
    let fallback = common.publicURL.origin
    let supervisor = Supervisor(
      children, log: Log(service: "up", level: common.logLevel, sink: sink)
    ) { children in
      let edge = children.first { $0.program == .edge }?.report?.listen.first {
        !$0.hasPrefix("unix:")
      }
      whenReady(edge.map { "\(scheme)://\($0)" } ?? fallback)
    }
    defer { sink.flush(within: .seconds(1)) }
    let status: Int32
    do throws(Errno) {
      status = try supervisor.run()
    } catch {
      throw .failed("signals cannot be received (\(error.name))")
    }
    withExtendedLifetime(lock) {}
    return ExitStatus(rawValue: status) ?? .finding
  }

  /// Reads every service's settings as the service will, so that a wrong one is one line and
  /// status 78 before anything is started.
  private static func check(_ environment: Environment) throws(CommandFailure) {
    do throws(ConfigurationError) {
      _ = try EdgeSettings(environment)
      _ = try AuthSettings(environment)
      _ = try BillingSettings(environment)
      _ = try SchedulerSettings(environment)
    } catch {
      throw .configuration(error)
    }
  }

  /// One `up` per run directory: a second would start a second set of services.
  private static func takeLock(_ common: CommonSettings) throws(CommandFailure) -> UpLock {
    let number = open("\(common.runDirectory)/up.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o660)
    guard number >= 0 else { throw .failed("the lock cannot be made (\(Errno.last.name))") }
    let lock = UpLock(Descriptor(owning: number))
    guard flock(number, LOCK_EX | LOCK_NB) == 0 else {
      throw .failed("another bindery up uses this run directory")
    }
    return lock
  }

  private static func executableFolder() throws(CommandFailure) -> String {
    var buffer = [CChar](repeating: 0, count: 4097)
    let count = readlink("/proc/self/exe", &buffer, 4096)
    let path = String(
      decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    guard let slash = path.lastIndex(of: "/") else {
      throw .failed("this executable's folder is unknown")
    }
    return String(path[..<slash])
  }
}

/// The lock of a running `up`; the kernel frees it when the process ends.
private final class UpLock {
  private let descriptor: Descriptor
  init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }
}
