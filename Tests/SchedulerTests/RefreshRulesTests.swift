// The rules around exchanges: who goes first, how fast, when a provider is left alone, and when
// tokens are due. Times come in; nothing here waits for a clock on the wall.

import Clocks
import OAuth
import Providers
import Synchronization
import Testing
import Vault

@testable import bindery_scheduler

@Suite("Provider gate") struct ProviderGateTests {
  /// A clock that moves only when somebody pauses.
  private final class Hands: Sendable {
    let nanoseconds = Atomic<UInt64>(1_000_000_000_000)
    var now: Instant { Instant(nanoseconds: nanoseconds.load(ordering: .relaxed)) }
    func move(_ duration: Duration) {
      let (seconds, attoseconds) = duration.components
      nanoseconds.add(
        UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000), ordering: .relaxed)
    }
  }

  private static func gate(_ perSecond: Int, _ hands: Hands) -> ProviderGate {
    ProviderGate(
      perSecond: perSecond,
      pause: {
        hands.move($0)
        await Task.yield()
      }, clock: { hands.now })
  }

  @Test("lets no more through than the rate, a tenth of a second's worth at once") func rate()
    async throws
  {
    let hands = Hands()
    let gate = Self.gate(10, hands)
    let start = hands.now
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<60 { group.addTask { #expect(await gate.admit(.background) == .go) } }
    }
    #expect(start.duration(to: hands.now) >= .milliseconds(5800))
    #expect(start.duration(to: hands.now) <= .milliseconds(6500))
  }

  @Test("those that were held up after their turn are sent apart, too") func pace() async throws {
    let hands = Hands()
    let order = Order()
    let gate = ProviderGate(
      perSecond: 100, pause: { await order.note("\($0)") }, clock: { hands.now })
    for _ in 0..<13 { await gate.pace() }
    #expect(await order.all == ["0.01 seconds", "0.02 seconds", "0.03 seconds"])
    // Time that passed unused is worth a tenth of a second, no more.
    hands.move(.seconds(60))
    for _ in 0..<11 { await gate.pace() }
    #expect(await order.all.dropFirst(3) == ["0.01 seconds"])
  }

  @Test("another rate holds at once, also for those that wait") func anotherRate() async throws {
    let hands = Hands()
    let gate = Self.gate(1, hands)
    #expect(await gate.admit(.background) == .go)
    await gate.setRate(perSecond: 100)
    let start = hands.now
    for _ in 0..<50 { #expect(await gate.admit(.background) == .go) }
    #expect(start.duration(to: hands.now) < .seconds(3))
  }

  /// Notes in which order things happened.
  private actor Order {
    private(set) var all: [String] = []
    func note(_ name: String) { all.append(name) }
  }

  @Test("those that somebody waits for go first") func order() async throws {
    let hands = Hands()
    let isReleased = Hands()
    let start = isReleased.now
    let gate = ProviderGate(
      perSecond: 1,
      pause: {
        while isReleased.now == start { await Task.yield() }
        hands.move($0)
      }, clock: { hands.now })
    #expect(await gate.admit(.background) == .go)
    let order = Order()
    try await withThrowingTaskGroup(of: Void.self) { group in
      let all: [(Urgency, String)] = [
        (.background, "a"), (.background, "b"), (.background, "c"), (.onDemand, "d"),
      ]
      for (index, (urgency, name)) in all.enumerated() {
        group.addTask {
          _ = await gate.admit(urgency, as: name)
          await order.note(name)
        }
        while await gate.waiting <= index { await Task.yield() }
      }
      // A request comes that wants what waits in the background.
      await gate.lift("c")
      await gate.lift("nobody")
      isReleased.move(.seconds(1))
      try await group.waitForAll()
    }
    #expect(await order.all == ["d", "c", "a", "b"])
  }

  @Test("leaves a provider in trouble alone, asks once, and closes when it is well") func breaker()
    async throws
  {
    let hands = Hands()
    let gate = Self.gate(100, hands)
    for _ in 0..<ProviderGate.failuresMax {
      hands.move(.seconds(1))
      #expect(await gate.admit(.onDemand) == .go)
      await gate.noteTrouble(retryAfterSeconds: nil)
    }
    guard case .closed(let seconds) = await gate.admit(.onDemand) else {
      Issue.record("the breaker is closed")
      return
    }
    #expect(seconds >= 1 && seconds <= 3)
    hands.move(.seconds(3))
    #expect(await gate.admit(.onDemand) == .go)
    #expect(await gate.admit(.onDemand) == .closed(retryAfterSeconds: 1))
    await gate.noteTrouble(retryAfterSeconds: nil)
    #expect(await gate.admit(.onDemand) == .closed(retryAfterSeconds: 5))
    hands.move(.seconds(5))
    #expect(await gate.admit(.onDemand) == .go)
    await gate.noteAnswer()
    #expect(await gate.admit(.onDemand) == .go)
    #expect(await gate.admit(.onDemand) == .go)
  }

  @Test("obeys Retry-After at once") func retryAfter() async throws {
    let hands = Hands()
    let gate = Self.gate(100, hands)
    #expect(await gate.admit(.background) == .go)
    await gate.noteTrouble(retryAfterSeconds: 30)
    #expect(await gate.admit(.onDemand) == .closed(retryAfterSeconds: 31))
    #expect(await !gate.isOpen)
    hands.move(.seconds(31))
    #expect(await gate.isOpen)
    #expect(await gate.admit(.onDemand) == .go)
    #expect(await !gate.isOpen)
  }

  @Test("lets another one ask when the first one did not after all") func nothingAsked()
    async throws
  {
    let hands = Hands()
    let gate = Self.gate(100, hands)
    #expect(await gate.admit(.onDemand) == .go)
    await gate.noteTrouble(retryAfterSeconds: 10)
    hands.move(.seconds(10))
    for _ in 0..<2 {
      #expect(await gate.admit(.onDemand) == .go)
      #expect(await gate.admit(.onDemand) == .closed(retryAfterSeconds: 1))
      await gate.noteNothing()
    }
    #expect(await gate.admit(.onDemand) == .go)
    await gate.noteTrouble(retryAfterSeconds: nil)
    #expect(await gate.admit(.onDemand) == .closed(retryAfterSeconds: 5), "trouble goes on")
  }
}

@Suite("Patience") struct PatienceTests {
  @Test(
    "waits longer each time, to a bound",
    arguments: [
      (TokenFailure.unavailable(retryAfterSeconds: nil), 0, 1), (.broken, 3, 8),
      (.unavailable(retryAfterSeconds: nil), 20, 60), (.throttled(retryAfterSeconds: 120), 0, 120),
      (.invalidClient, 0, 5), (.invalidClient, 9, 60), (.refused("invalid_scope"), 0, 30),
      (.refused("x"), 9, 300), (.invalidGrant, 0, 0),
    ])
  func waits(_ failure: TokenFailure, _ earlier: Int, _ seconds: Int64) {
    #expect(Patience.seconds(after: failure, earlier: earlier, chance: 0) == seconds)
    let most = Patience.seconds(after: failure, earlier: earlier, chance: .max)
    #expect(most >= seconds && most <= seconds + max(seconds / 4, 1))
  }
}

@Suite("Due dates") struct DueDateTests {
  private func due(
    life: Int64?, needsReauth: Bool = false, next: Int64? = nil, isOpen: Bool = false,
    interval: Int? = nil, at: Int64 = 1_000_000
  ) -> Int64? {
    DueDate.next(
      connection: "00000000-0000-4000-8000-000000000001",
      TokenStanding(
        generation: 3, expiresAt: life.map { UnixTime(seconds: at + $0) },
        writtenAt: UnixTime(seconds: at), needsReauth: needsReauth,
        nextTryAt: next.map { UnixTime(seconds: at + $0) }, isOpen: isOpen),
      rules: RefreshRules(
        rotates: true, graceSeconds: 0, defaultLifetimeSeconds: nil,
        backgroundIntervalSeconds: interval, maxPerSecond: 1, deadErrors: [])
    ).map { $0.seconds - at }
  }

  @Test("a tenth of the life before its end, at most five minutes") func beforeTheEnd() {
    #expect(due(life: 100) == 90)
    #expect(due(life: 3600) == 3300)
    #expect(due(life: 86_400) == 86_100)
    #expect(due(life: nil) == nil)
  }

  @Test("an idle grant is kept alive within its interval") func keepAlive() throws {
    let at = try #require(due(life: nil, interval: 86_400))
    #expect(at > 86_400 * 9 / 10 && at <= 86_400)
    #expect(due(life: 100, interval: 86_400) == 90)
  }

  @Test("never before the next try, at once after a crash, never when dead") func states() {
    #expect(due(life: 100, next: 500) == 500)
    #expect(due(life: 3600, isOpen: true) == 0)
    #expect(due(life: 3600, next: 7, isOpen: true) == 7)
    #expect(due(life: 100, needsReauth: true) == nil)
  }
}
