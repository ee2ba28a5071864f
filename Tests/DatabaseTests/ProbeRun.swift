// Starts the probe process and reads what it says.
// No tests here.

import CLinux
import Glibc
import Testing

/// A run of the probe to its end.
struct ProbeRun {
  let lines: [String]
  /// The signal that ended it, or 0.
  let signal: Int32
  let status: Int32

  /// Runs the probe with `arguments` and waits until it has ended.
  init(_ arguments: String...) throws {
    var child = try ProbeChild(arguments)
    self = child.finish()
  }

  init(lines: [String], waitStatus: Int32) {
    self.lines = lines
    signal = waitStatus & 0x7f
    status = waitStatus >> 8 & 0xff
  }
}

/// A probe that runs beside the test.
struct ProbeChild {
  struct NoProbe: Error {}
  let process: pid_t
  private let output: Int32

  init(_ arguments: [String]) throws {
    var path = [CChar](repeating: 0, count: 4096)
    let length = readlink("/proc/self/exe", &path, path.count - 1)
    var folder = String(decoding: path[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    folder = String(folder[..<(folder.lastIndex(of: "/") ?? folder.endIndex)])
    var pipe: [Int32] = [0, 0]
    guard pipe2(&pipe, O_CLOEXEC) == 0 else { throw NoProbe() }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_adddup2(&actions, pipe[1], 1)
    var words = (["database-probe"] + arguments).map { strdup($0) }
    words.append(nil)
    defer { words.forEach { free($0) } }
    var process: pid_t = 0
    let code = posix_spawn(&process, folder + "/database-probe", &actions, nil, words, environ)
    posix_spawn_file_actions_destroy(&actions)
    close(pipe[1])
    guard code == 0 else { throw NoProbe() }
    self.process = process
    output = pipe[0]
  }

  /// Reads to the end of what it says and waits for its end.
  mutating func finish() -> ProbeRun {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while case let count = read(output, &chunk, chunk.count), count > 0 { bytes += chunk[..<count] }
    close(output)
    var status: Int32 = 0
    waitpid(process, &status, 0)
    let lines = bytes.split(separator: UInt8(ascii: "\n")).map {
      String(decoding: $0, as: UTF8.self)
    }
    return ProbeRun(lines: lines, waitStatus: status)
  }
}
