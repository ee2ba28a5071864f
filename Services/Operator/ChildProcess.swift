// One service as a child of `bindery up`: how it is started, what it reports, how it is told to
// end. Which one runs when is the Supervisor's.

import CLinux
import Clocks
import Configuration
import FoundationEssentials
import Glibc
import Posix

/// What a service says on its ready descriptor: one line of JSON.
struct ReadyReport: Decodable, Equatable {
  var service: String
  var listen: [String]
  var ops: String?
}

/// A service that runs as our child, or is about to.
final class ChildProcess {
  let program: Program
  private let path: String
  private let settings: ChildSettings

  /// Its process id while it runs.
  private(set) var pid: pid_t?
  private(set) var startedAt = Instant.now
  /// The reading end of its ready descriptor until the report came.
  private(set) var reportDescriptor: Int32?
  private var reportBytes: [UInt8] = []
  private(set) var report: ReadyReport?
  var restarts = RestartDelay()

  init(_ program: Program, executable path: String, settings: ChildSettings) {
    self.program = program
    self.path = path
    self.settings = settings
  }

  deinit { closeReport() }

  /// Starts the service; on the thread that lives as long as the process, because the kernel
  /// kills the child when that thread ends.
  func start() throws(Errno) {
    precondition(pid == nil, "it runs already")
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw .last }
    let writing = Descriptor(owning: ends[1])
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    closeReport()
    reportDescriptor = ends[0]
    reportBytes = []
    report = nil

    var memory: [SealedMemory] = []
    var variables = settings.variables
    variables["\(Setting.readyDescriptor.name)"] = Array("3".utf8)
    for (name, value) in settings.secrets {
      variables["\(name)_FILE"] = Array("/proc/self/fd/\(4 + memory.count)".utf8)
      memory.append(try SealedMemory.holding(value))
    }
    let numbers = [writing.number] + memory.map(\.number)
    let child = Self.spawn(path, variables, numbers)
    guard child > 0 else { throw .last }
    pid = child
    startedAt = .now
    // The descriptors stay open until here, whatever the optimizer thinks of their last use.
    withExtendedLifetime(memory) {}
    _ = consume writing
  }

  private static func spawn(
    _ path: String, _ variables: [String: [UInt8]], _ descriptors: [Int32]
  ) -> pid_t {
    var arguments: [UnsafeMutablePointer<CChar>?] = [strdup(path), nil]
    var entries: [UnsafeMutablePointer<CChar>?] = variables.sorted { $0.key < $1.key }.map {
      strdup("\($0.key)=\(String(decoding: $0.value, as: UTF8.self))")
    }
    entries.append(nil)
    defer { for entry in arguments + entries { free(entry) } }
    return bindery_spawn(path, &arguments, &entries, descriptors, Int32(descriptors.count))
  }

  /// Reads what came on the ready descriptor; true when the report is whole.
  func readReport() -> Bool {
    guard let descriptor = reportDescriptor else { return false }
    var piece = [UInt8](repeating: 0, count: 4096)
    let count = read(descriptor, &piece, piece.count)
    if count > 0 { reportBytes += piece[..<count] }
    let isWhole = reportBytes.last == 0x0a
    if count <= 0 || isWhole || reportBytes.count > 65_536 { closeReport() }
    if isWhole { report = try? JSONDecoder().decode(ReadyReport.self, from: Data(reportBytes)) }
    return report != nil
  }

  /// Asks the service to end, or ends it.
  func send(_ signal: Int32) {
    if let pid { kill(pid, signal) }
  }

  /// Collects the child if it has ended, and gives its wait status.
  func collect() -> Int32? {
    guard let child = pid else { return nil }
    var status: Int32 = 0
    guard waitpid(child, &status, WNOHANG) == child else { return nil }
    pid = nil
    report = nil
    closeReport()
    return status
  }

  private func closeReport() {
    if let reportDescriptor { close(reportDescriptor) }
    reportDescriptor = nil
  }
}

/// How long to wait before a child that ended is started again: doubling from 200 ms to 30 s, and
/// from the beginning after it ran for a minute.
struct RestartDelay {
  static let first = Duration.milliseconds(200)
  static let last = Duration.seconds(30)
  static let calm = Duration.seconds(60)

  private var next = first

  /// The wait after a child that ran for `lifetime`.
  mutating func delay(after lifetime: Duration) -> Duration {
    if lifetime >= Self.calm { next = Self.first }
    let delay = next
    next = min(next * 2, Self.last)
    return delay
  }
}
