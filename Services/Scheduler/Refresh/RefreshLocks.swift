// Who may exchange or end the refresh token of a connection, among all processes of this machine? A
// kernel lock on one byte of a file beside the databases: it ends with its holder, however that ends,
// and stays while the holder is merely stopped. Within a process the lock is the connection's own:
// refresher and revoker exclude each other, and a byte that several connections share is counted.

import CLinux
import Clocks
import Glibc
import Posix
import Synchronization

/// Locks on connections, held against other processes.
final class RefreshLocks: Sendable {
  static let slots = 1024

  private let file: Descriptor
  private let held = Mutex(Held())

  private struct Held {
    var connections: Set<String> = []
    /// How many of them there are for each byte.
    var counts = [Int](repeating: 0, count: slots)
  }

  /// Opens the lock file in the data directory; before the sandbox closes.
  init(directory: String) throws(Errno) {
    let flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW
    let number = open("\(directory)/refresh", flags, 0o660)
    guard number >= 0 else { throw .last }
    file = Descriptor(owning: number)
  }

  /// Takes the lock of `connection` if nobody has it, in this process or another.
  func take(_ connection: String) -> Bool {
    let slot = Self.slot(of: connection)
    return held.withLock { held in
      guard !held.connections.contains(connection) else { return false }
      guard held.counts[slot] > 0 || set(slot, Int16(F_WRLCK)) else { return false }
      held.connections.insert(connection)
      held.counts[slot] += 1
      return true
    }
  }

  /// Lets it go.
  func release(_ connection: String) {
    let slot = Self.slot(of: connection)
    held.withLock { held in
      guard held.connections.remove(connection) != nil else { return }
      held.counts[slot] -= 1
      if held.counts[slot] == 0 { _ = set(slot, Int16(F_UNLCK)) }
    }
  }

  /// An open-file lock: other openings of the file conflict, also in this process.
  private func set(_ slot: Int, _ kind: Int16) -> Bool {
    bindery_set_byte_lock(file.number, Int64(slot), Int32(kind)) == 0
  }

  private static func slot(of connection: String) -> Int {
    // FNV-1a: any spread will do, but it must be the same in every process.
    let hash = connection.utf8.reduce(UInt64(0xcbf2_9ce4_8422_2325)) {
      ($0 ^ UInt64($1)) &* 0x100_0000_01b3
    }
    return Int(hash % UInt64(slots))
  }
}
