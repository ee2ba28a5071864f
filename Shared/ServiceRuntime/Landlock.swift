// Which files and ports may this process touch from now on? Landlock rules over the few folders
// that its settings name, all else denied, for this thread and those it starts: so this runs
// before the first thread. On a kernel without Landlock it says so and denies nothing.
//
// Not here: the filter on system calls (SystemCallFilter.swift) and process flags (Sandbox.swift).

import CLinux
import Glibc
import Posix

/// What a rule lets a process do beneath a path.
public enum PathAccess: Sendable {
  case read
  /// Read, write, create and remove files, folders and sockets.
  case readWrite
}

/// One path and what may be done beneath it; a path that does not exist is left out.
public struct PathRule: Sendable {
  public let path: String
  public let access: PathAccess

  public init(_ path: String, _ access: PathAccess) {
    self.path = path
    self.access = access
  }
}

enum Landlock {
  private static let execute: UInt64 = 1 << 0
  private static let writeFile: UInt64 = 1 << 1
  private static let readFile: UInt64 = 1 << 2
  private static let readDirectory: UInt64 = 1 << 3
  private static let removeDirectory: UInt64 = 1 << 4
  private static let removeFile: UInt64 = 1 << 5
  private static let makeDirectory: UInt64 = 1 << 7
  private static let makeRegular: UInt64 = 1 << 8
  private static let makeSocket: UInt64 = 1 << 9
  private static let truncate: UInt64 = 1 << 14
  private static let bindTCP: UInt64 = 1 << 0
  private static let scopes: UInt64 = 0b11  // abstract sockets, signals to strangers

  /// The kernel's Landlock version; 0 without Landlock.
  static var version: Int { Int(max(0, bindery_landlock_create(nil, 0, 1))) }

  /// What this version of Landlock can deny on files.
  static func handled(version: Int) -> UInt64 {
    switch version {
    case ..<2: (1 << 13) - 1
    case 2: (1 << 14) - 1
    case 3, 4: (1 << 15) - 1
    default: (1 << 16) - 1
    }
  }

  /// Applies the rules. Returns the version in force, 0 when the kernel has none.
  static func enforce(
    _ rules: [PathRule], bindPorts: [UInt16]
  ) throws(SandboxError) -> Int {
    let version = version
    guard version > 0 else { return 0 }
    let files = handled(version: version)
    let attributes: [UInt64] =
      version >= 6 ? [files, bindTCP, scopes] : version >= 4 ? [files, bindTCP] : [files]
    let ruleset = attributes.withUnsafeBytes {
      bindery_landlock_create($0.baseAddress, UInt($0.count), 0)
    }
    guard ruleset >= 0 else { throw .landlock(errno) }
    defer { close(ruleset) }
    for rule in rules { try add(rule, to: ruleset, handled: files) }
    if version >= 4 {
      for port in Set(bindPorts) { try add(port: port, to: ruleset) }
    }
    guard bindery_landlock_restrict(ruleset) == 0 else { throw .landlock(errno) }
    return version
  }

  private static func add(
    _ rule: PathRule, to ruleset: Int32, handled: UInt64
  ) throws(SandboxError) {
    let pathOnly: Int32 = 0o10000000  // O_PATH, which the C library's module hides
    let descriptor = open(rule.path, pathOnly | O_CLOEXEC)
    if descriptor < 0 {
      if errno == ENOENT || errno == ENOTDIR || errno == EACCES { return }
      throw .landlock(errno)
    }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw .landlock(errno) }
    let isDirectory = status.st_mode & S_IFMT == S_IFDIR
    var access = readFile
    if isDirectory { access |= readDirectory }
    if rule.access == .readWrite {
      access |= writeFile | truncate
      if isDirectory {
        access |= removeDirectory | removeFile | makeDirectory | makeRegular | makeSocket
      }
    }
    try add(
      type: 1, access: access & handled, key: .init(UInt32(bitPattern: descriptor)), 12, ruleset)
  }

  private static func add(port: UInt16, to ruleset: Int32) throws(SandboxError) {
    try add(type: 2, access: bindTCP, key: UInt64(port), 16, ruleset)
  }

  /// A rule is 64 bits of access and a key: a packed 32-bit descriptor or a 64-bit port.
  private static func add(
    type: Int32, access: UInt64, key: UInt64, _ size: Int, _ ruleset: Int32
  ) throws(SandboxError) {
    var bytes: [UInt8] = []
    for word in [access, key] {
      for shift in stride(from: 0, to: 64, by: 8) {
        bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(shift)))
      }
    }
    bytes.removeLast(16 - size)
    let result = bytes.withUnsafeBytes { bindery_landlock_add(ruleset, type, $0.baseAddress) }
    guard result == 0 else { throw .landlock(errno) }
  }
}
