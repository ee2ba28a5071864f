// Which system calls does no service ever need? A seccomp filter answers those with EPERM for
// this thread and all that it starts: running programs, looking into other processes, mounting,
// modules, clocks, and the wide interfaces (bpf, io_uring, userfaultfd) that attackers like.
// A list of what is denied, not of what is allowed: the C library may change its calls in an
// update, and a service that dies of that is worse than the difference.

import CLinux
import Glibc

enum SystemCallFilter {
  private static let allow: UInt32 = 0x7FFF_0000
  private static let kill: UInt32 = 0x8000_0000
  private static let refuse: UInt32 = 0x0005_0000 | UInt32(EPERM)

  /// The filter's program, or nothing for an architecture without one.
  static func program() -> [sock_filter] {
    let architecture = bindery_audit_architecture()
    guard architecture != 0 else { return [] }
    var denied: [UInt32] = []
    var index: Int32 = 0
    while case let number = bindery_denied_call(index), number >= 0 {
      denied.append(UInt32(number))
      index += 1
    }
    let load: UInt16 = 0x20
    let jumpIfEqual: UInt16 = 0x15
    let jumpIfNotLess: UInt16 = 0x35
    let give: UInt16 = 0x06
    var code: [sock_filter] = [
      sock_filter(code: load, jt: 0, jf: 0, k: 4),  // seccomp_data.arch
      sock_filter(code: jumpIfEqual, jt: 1, jf: 0, k: architecture),
      sock_filter(code: give, jt: 0, jf: 0, k: kill),
      sock_filter(code: load, jt: 0, jf: 0, k: 0),  // seccomp_data.nr
      // The second numbering of x86-64 would walk around the list.
      sock_filter(code: jumpIfNotLess, jt: UInt8(denied.count + 1), jf: 0, k: 0x4000_0000),
    ]
    for (position, number) in denied.enumerated() {
      code.append(
        sock_filter(code: jumpIfEqual, jt: UInt8(denied.count - position), jf: 0, k: number))
    }
    code.append(sock_filter(code: give, jt: 0, jf: 0, k: allow))
    code.append(sock_filter(code: give, jt: 0, jf: 0, k: refuse))
    return code
  }

  /// Installs the filter; false where the kernel or the architecture has none.
  static func install() throws(SandboxError) -> Bool {
    var code = program()
    guard !code.isEmpty else { return false }
    let count = UInt16(code.count)
    if code.withUnsafeMutableBufferPointer({ bindery_seccomp($0.baseAddress, count) }) == 0 {
      return true
    }
    if errno == EINVAL || errno == ENOSYS { return false }
    throw .seccomp(errno)
  }
}
