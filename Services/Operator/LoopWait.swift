// Lets the tool's first thread wait for something that happens on an event loop. Only here: in a
// service no thread waits for a task.

import EventLoop
import Glibc
import Synchronization

/// Waiting for a loop from outside of it.
enum LoopWait {
  /// Runs `body` on the loop and blocks this thread until its result is there.
  static func run<R: Sendable>(
    on loop: EventLoop, _ body: @escaping @Sendable () async -> R
  ) -> R {
    let place = Place<R>()
    loop.spawn {
      let result = await body()
      place.put(result)
    }
    return place.wait()
  }

  /// A result that is on its way.
  private final class Place<R: Sendable>: Sendable {
    private let result = Mutex<R?>(nil)
    private let bell: (reading: Int32, writing: Int32)

    init() {
      var ends: [Int32] = [-1, -1]
      precondition(pipe(&ends) == 0, "no pipe")
      bell = (ends[0], ends[1])
    }

    deinit {
      close(bell.reading)
      close(bell.writing)
    }

    func put(_ value: R) {
      result.withLock { $0 = value }
      var byte: UInt8 = 1
      _ = write(bell.writing, &byte, 1)
    }

    func wait() -> R {
      var byte: UInt8 = 0
      while true {
        if let value = result.withLock({ $0 }) { return value }
        _ = read(bell.reading, &byte, 1)
      }
    }
  }
}
