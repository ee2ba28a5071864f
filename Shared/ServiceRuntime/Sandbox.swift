// What may this process still do once its settings are read? No new privileges, no core, no
// debugger, only the files and ports of its settings, none of the system calls it has no use
// for. Runs on the first thread before any other exists: the kernel applies these rules to a
// thread and its descendants, so the sandbox closes before listeners are bound and databases
// opened, which is stricter than closing it after them.

import CLinux
import Glibc

/// Why the sandbox could not be closed; the numbers are errno.
public enum SandboxError: Error, Equatable, Sendable {
  case processFlags(Int32)
  case landlock(Int32)
  case seccomp(Int32)
}

/// The rules a service asks for, beyond those that every process needs.
public struct Sandbox: Sendable {
  public var paths: [PathRule]
  /// TCP ports that may be bound; 0 stands for "any free port".
  public var bindPorts: [UInt16]

  public init(paths: [PathRule], bindPorts: [UInt16]) {
    self.paths = paths
    self.bindPorts = bindPorts
  }

  /// What a process needs to resolve names, verify certificates and load the C library's parts.
  static let common: [PathRule] = [
    PathRule("/etc", .read),
    PathRule("/run/systemd/resolve", .read),  // where resolv.conf often points
    PathRule("/usr/share/ca-certificates", .read),
    PathRule("/usr/local/share/ca-certificates", .read),
    PathRule("/usr/lib", .read),
    PathRule("/lib", .read),
    PathRule("/lib64", .read),
    PathRule("/usr/share/zoneinfo", .read),
    PathRule("/dev/null", .readWrite),
    PathRule("/dev/urandom", .read),
    // All of /proc: libdispatch reads /proc/<thread>/stat of its workers once a second while work
    // waits, and stops the process when it can not. What is secret there asks for ptrace rights.
    PathRule("/proc", .read),
    PathRule("/proc/sys/net/core", .read),
    PathRule("/sys/fs/cgroup", .read),
  ]

  /// What came of it, for the log line at start.
  public struct Outcome: Equatable, Sendable {
    /// Landlock's version in force; 0 when the kernel has none.
    public let landlockVersion: Int
    public let filtersSystemCalls: Bool
  }

  /// Closes the sandbox for this thread and all that it starts.
  public func close() throws(SandboxError) -> Outcome {
    try Sandbox.dropPrivileges()
    let version = try Landlock.enforce(Sandbox.common + paths, bindPorts: bindPorts)
    let filtered = try SystemCallFilter.install()
    return Outcome(landlockVersion: version, filtersSystemCalls: filtered)
  }

  /// No new privileges, not dumpable, no core file, no crash handler that prints memory.
  static func dropPrivileges() throws(SandboxError) {
    guard bindery_prctl(PR_SET_NO_NEW_PRIVS, 1) == 0, bindery_prctl(PR_SET_DUMPABLE, 0) == 0
    else { throw .processFlags(errno) }
    var none = rlimit(rlim_cur: 0, rlim_max: 0)
    guard setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none) == 0 else {
      throw .processFlags(errno)
    }
    // The runtime's crash handler prints arguments and memory; with the default action it
    // is out of the way, whatever SWIFT_BACKTRACE said when the process began.
    for fatal in [SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGQUIT] {
      signal(fatal, SIG_DFL)
    }
  }
}
