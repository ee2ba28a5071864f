// Puts a fault into SQLite's own system calls (its VFS lets them be replaced, for exactly this):
// at the Nth call that changes a file the process is killed, or that call and the following four
// find the disk full, or all calls from there on fail.

import CSQLite
import Glibc

/// A fault, and the number of the call that it strikes; one for the process.
struct FileFault {
  enum Kind: String { case none, kill, full, fail }

  nonisolated(unsafe) static var kind = Kind.none
  nonisolated(unsafe) static var strikesAt = 0
  nonisolated(unsafe) static var calls = 0

  let kind: Kind
  let number: Int

  init?(_ text: String) {
    let parts = text.split(separator: ":")
    guard let kind = parts.first.flatMap({ Kind(rawValue: String($0)) }) else { return nil }
    self.kind = kind
    number = parts.count > 1 ? Int(parts[1]) ?? 0 : 0
  }

  func install() {
    Self.kind = kind
    Self.strikesAt = number
    guard kind != .none else { return }
    let write: @convention(c) (Int32, UnsafeRawPointer?, Int) -> Int = { file, bytes, count in
      FileFault.strike() ? -1 : Glibc.write(file, bytes, count)
    }
    let pwrite: @convention(c) (Int32, UnsafeRawPointer?, Int, Int) -> Int = {
      FileFault.strike() ? -1 : Glibc.pwrite($0, $1, $2, $3)
    }
    let truncate: @convention(c) (Int32, Int) -> Int32 = {
      // Cutting a file short needs no room.
      FileFault.kind != .full && FileFault.strike() ? -1 : Glibc.ftruncate($0, $1)
    }
    let unlink: @convention(c) (UnsafePointer<CChar>?) -> Int32 = { path in
      guard let path, !FileFault.strike() else { return -1 }
      return Glibc.unlink(path)
    }
    replace("write", unsafeBitCast(write, to: sqlite3_syscall_ptr.self))
    replace("pwrite", unsafeBitCast(pwrite, to: sqlite3_syscall_ptr.self))
    replace("pwrite64", unsafeBitCast(pwrite, to: sqlite3_syscall_ptr.self))
    replace("ftruncate", unsafeBitCast(truncate, to: sqlite3_syscall_ptr.self))
    replace("unlink", unsafeBitCast(unlink, to: sqlite3_syscall_ptr.self))
  }

  private func replace(_ name: String, _ call: sqlite3_syscall_ptr) {
    guard let vfs = sqlite3_vfs_find(nil) else { return }
    _ = vfs.pointee.xSetSystemCall(vfs, name, call)
  }

  /// Counts a call; true when it must fail, with errno set.
  static func strike() -> Bool {
    calls += 1
    guard calls >= strikesAt else { return false }
    switch kind {
    case .none: return false
    case .kill:
      Glibc.kill(getpid(), SIGKILL)
      return false
    case .full:
      guard calls < strikesAt + 5 else { return false }
      errno = ENOSPC
      return true
    case .fail:
      errno = EIO
      return true
    }
  }
}
