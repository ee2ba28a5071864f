// What a loop does beside requests: twice a second it looks whether running exchanges still stand,
// once a second it hands its record of use to the database.

import Clocks
import Database
import EventLoop
import Logging

extension EdgeHandler {
  /// Starts the loop's housekeeping; it goes on as long as the process. Two tasks, so that a slow
  /// database never delays a revocation.
  func startHousekeeping() {
    repeating(every: .milliseconds(500)) { handler in
      handler.streams.check(
        epochs: handler.world.epochs, resolver: handler.resolver, now: handler.loop.now)
    }
    repeating(every: .seconds(1)) { handler in await handler.writeRecord() }
  }

  private func repeating(
    every interval: Duration, _ body: @escaping @Sendable (EdgeHandler) async -> Void
  ) {
    let bound = LoopBound(here: self, on: loop)
    loop.spawn {
      let handler = bound.value
      let parker = Parker()
      let timer = Timer(loop: handler.loop, parker: parker)
      while true {
        timer.arm(at: .now.advanced(by: interval))
        while !timer.fired { await parker.park() }
        await body(handler)
      }
    }
  }

  /// Hands over what was recorded; a batch that can not be written is counted and let go.
  private func writeRecord() async {
    metrics.streams.set(Int64(streams.count))
    let batch = record.drain()
    guard !batch.isEmpty else { return }
    do throws(DatabaseError) {
      try await world.activity.write(batch)
    } catch {
      metrics.lostActivity.add(UInt64(batch.lines.count))
      world.runtime.log.warning("activity_not_written", ["lines": .count(batch.lines.count)])
    }
  }
}
