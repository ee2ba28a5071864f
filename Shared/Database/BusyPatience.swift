// How long a connection waits for another process's write lock, and in what rhythm: doubling
// pauses with jitter, so that processes that collided once do not collide in step for ever.

import CSQLite
import Clocks
import Glibc

/// The waiting of one connection; SQLite's busy handler.
final class BusyPatience {
  /// The longest wait for one lock.
  let limit: Duration
  private var giveUpAt = Instant.now

  init(limit: Duration) { self.limit = limit }

  func install(on database: OpaquePointer) -> Int32 {
    sqlite3_busy_handler(
      database,
      { context, count in
        guard let context else { return 0 }
        let patience = Unmanaged<BusyPatience>.fromOpaque(context).takeUnretainedValue()
        return patience.waits(count) ? 1 : 0
      }, Unmanaged.passUnretained(self).toOpaque())
  }

  private func waits(_ count: Int32) -> Bool {
    let now = Instant.now
    if count == 0 { giveUpAt = now.advanced(by: limit) }
    guard now < giveUpAt else { return false }
    pause(count)
    return true
  }

  /// Sleeps 0.1 to 0.2 ms at first and at most 10 to 20 ms.
  func pause(_ attempt: Int32) {
    let step = Int64(200_000) << Int64(min(max(attempt, 0), 7))
    let ceiling = min(step, 20_000_000)
    let nanoseconds = ceiling / 2 + Int64(Randomness.uint64() % UInt64(ceiling / 2))
    var time = timespec(tv_sec: 0, tv_nsec: Int(nanoseconds))
    nanosleep(&time, nil)
  }
}
