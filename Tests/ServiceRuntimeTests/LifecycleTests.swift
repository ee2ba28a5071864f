// The life of a process: which signal does what in which state. Time is an argument, so nothing
// here waits.

import Clocks
import Testing

@testable import ServiceRuntime

@Suite("Lifecycle") struct LifecycleTests {
  let start = Instant(nanoseconds: 1_000)
  let later = Instant(nanoseconds: 2_000)

  @Test("drains for thirty seconds at the first signal and ends at the second") func twice() {
    var life = Lifecycle.starting(since: start)
    life.becomeReady(at: start)
    #expect(life.isReady)
    let deadline = later.advanced(by: .seconds(30))
    #expect(life.terminate(at: later) == .drain(deadline: deadline))
    #expect(life == .draining(since: later, deadline: deadline))
    #expect(!life.isReady)
    #expect(life.terminate(at: later) == .exit)
    #expect(life == .stopped)
    #expect(life.terminate(at: later) == .none)
  }

  @Test("ends at once while it is starting") func whileStarting() {
    var life = Lifecycle.starting(since: start)
    #expect(life.terminate(at: later) == .exit)
  }

  @Test("never becomes ready again after a signal") func lateReady() {
    var life = Lifecycle.ready(since: start)
    _ = life.terminate(at: later)
    life.becomeReady(at: later)
    #expect(life.word == "draining")
  }
}
