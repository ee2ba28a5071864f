// Shows that tasks stay on their loop, that timers fire in order and never early, that a wake-up is
// never lost, and that blocking work runs elsewhere and is bounded.

import Clocks
import EventLoop
import Synchronization
import Testing

private final class Shared: Sendable {
  let count = Atomic<Int>(0)
  let isOpen = Atomic<Bool>(false)
}

@Suite("Event loop") struct EventLoopTests {
  static func makeLoop() throws -> EventLoop {
    let loop = try EventLoop(name: "test")
    loop.start()
    return loop
  }

  @Test("runs tasks on its own thread, also after a wait") func affinity() async throws {
    let loop = try Self.makeLoop()
    let stayed = await loop.run {
      let before = loop.isCurrent
      let parker = Parker()
      let timer = Timer(loop: loop, parker: parker)
      timer.arm(at: .now.advanced(by: .milliseconds(5)))
      while !timer.fired { await parker.park() }
      return before && loop.isCurrent
    }
    #expect(stayed)
    #expect(!loop.isCurrent)
    loop.stop()
  }

  @Test("fires a thousand timers in order and none early") func timers() async throws {
    let loop = try Self.makeLoop()
    let (inOrder, early) = await loop.run {
      var random = SystemRandomNumberGenerator()
      let start = Instant.now
      var fired: [Int] = []
      var early = 0
      let parker = Parker()
      var timers: [(delay: Int, timer: Timer)] = []
      for _ in 0..<1000 {
        let delay = Int.random(in: 1...60, using: &random)
        let timer = Timer(loop: loop, parker: parker)
        timer.arm(at: start.advanced(by: .milliseconds(delay)))
        timers.append((delay, timer))
      }
      while !timers.isEmpty {
        await parker.park()
        let now = start.duration(to: .now)
        timers.removeAll { entry in
          guard entry.timer.fired else { return false }
          fired.append(entry.delay)
          if now < .milliseconds(entry.delay) { early += 1 }
          return true
        }
      }
      return (fired.count == 1000, early)
    }
    #expect(inOrder)
    #expect(early == 0)
    loop.stop()
  }

  @Test("moves a deadline later and earlier, and takes it away") func rearming() async throws {
    let loop = try Self.makeLoop()
    let outcome = await loop.run {
      let parker = Parker()
      let moved = Timer(loop: loop, parker: parker)
      let start = Instant.now
      moved.arm(at: start.advanced(by: .milliseconds(5)))
      moved.arm(at: start.advanced(by: .milliseconds(40)))
      let gone = Timer(loop: loop, parker: parker)
      gone.arm(at: start.advanced(by: .milliseconds(10)))
      gone.disarm()
      let sooner = Timer(loop: loop, parker: parker)
      sooner.arm(at: start.advanced(by: .seconds(100)))
      sooner.arm(at: start.advanced(by: .milliseconds(20)))
      while !moved.fired { await parker.park() }
      return (start.duration(to: .now) >= .milliseconds(40), gone.fired, sooner.fired)
    }
    #expect(outcome.0)
    #expect(!outcome.1)
    #expect(outcome.2)
    loop.stop()
  }

  @Test("loses no job that comes from another thread") func foreignJobs() async throws {
    let loop = try Self.makeLoop()
    let shared = Shared()
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<8 {
        group.addTask {
          for _ in 0..<2000 {
            await loop.run { _ = shared.count.wrappingAdd(1, ordering: .relaxed) }
          }
        }
      }
    }
    #expect(shared.count.load(ordering: .relaxed) == 16000)
    loop.stop()
  }

  @Test("keeps a wake-up that comes before the wait") func earlyUnpark() async throws {
    let loop = try Self.makeLoop()
    await loop.run {
      let parker = Parker()
      parker.unpark()
      parker.unpark()
      await parker.park()
    }
    loop.stop()
  }

  @Test("does blocking work elsewhere and refuses what does not fit") func workers() async throws {
    let pool = WorkerPool(threads: 1, queueMax: 1)
    let shared = Shared()
    let outcomes = await withTaskGroup(of: Int?.self) { group in
      for number in 0..<8 {
        group.addTask {
          try? await pool.run {
            while !shared.isOpen.load(ordering: .acquiring) {}
            return number
          }
        }
      }
      // One runs, one waits, six are told at once; only then may the first go on.
      var refused = 0
      while refused < 6, let outcome = await group.next() {
        if outcome == nil { refused += 1 }
      }
      shared.isOpen.store(true, ordering: .releasing)
      var done: [Int] = []
      for await case let number? in group { done.append(number) }
      return (refused, done.count)
    }
    #expect(outcomes == (6, 2))
  }
}
