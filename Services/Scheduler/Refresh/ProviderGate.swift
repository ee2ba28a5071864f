// How much may one provider be asked, and when not at all? A token bucket holds its rate, callers
// that wait for an answer go before background work, and a circuit breaker stops asking a provider
// that is in trouble: then one question at a time finds out whether it is well again.

import Clocks

/// Who asks for a refresh.
enum Urgency {
  /// A request waits for it.
  case onDemand
  /// Nobody waits.
  case background
}

/// The way to one provider's token endpoint.
actor ProviderGate {
  /// What somebody who wants to ask is told.
  enum Admission: Equatable {
    case go
    /// The breaker is open.
    case closed(retryAfterSeconds: Int64)
  }

  /// Failures in a row that open the breaker.
  static let failuresMax = 5
  /// For how long it opens at first, and at most.
  static let openSeconds: ClosedRange<Int> = 2...60
  /// Questions that may wait in a queue.
  static let waitingMax = 20_000

  /// Somebody who waits, in one queue or, when it became urgent, in both.
  private final class Waiter {
    let name: String
    private var continuation: UnsafeContinuation<Admission, Never>?

    init(_ name: String, _ continuation: UnsafeContinuation<Admission, Never>) {
      self.name = name
      self.continuation = continuation
    }

    var isWaiting: Bool { continuation != nil }

    func resume(_ admission: Admission) {
      continuation.take()?.resume(returning: admission)
    }
  }

  private var interval: Duration
  private var burst: Int
  private let pause: @Sendable (Duration) async -> Void
  private let clock: @Sendable () -> Instant
  private var urgent = Queue<Waiter>()
  private var patient = Queue<Waiter>()
  /// Those of `patient` by name.
  private var patientByName: [String: Waiter] = [:]
  /// Questions that wait for their turn.
  private(set) var waiting = 0
  private var isPumping = false
  /// When the bucket would be full.
  private var fullAt: Instant
  /// When the last question was sent, or will be.
  private var sentAt: Instant
  private var failures = 0
  private var openUntil: Instant?
  private var openedFor = 0
  private var isProbing = false

  /// - Parameters:
  ///   - perSecond: Questions a second, of which a tenth may come at once: providers count by the
  ///     second, and a second's worth at once could be two of theirs.
  ///   - pause: Waits.
  ///   - clock: The present.
  init(
    perSecond: Int, pause: @escaping @Sendable (Duration) async -> Void,
    clock: @escaping @Sendable () -> Instant = { .now }
  ) {
    interval = .seconds(1) / perSecond
    burst = max(perSecond / 10, 1)
    self.pause = pause
    self.clock = clock
    fullAt = clock()
    sentAt = Instant(nanoseconds: 0)
  }

  /// Another rate from now on; who waits keeps its place.
  func setRate(perSecond: Int) {
    interval = .seconds(1) / perSecond
    burst = max(perSecond / 10, 1)
  }

  /// Waits for a turn, as `name`.
  func admit(_ urgency: Urgency, as name: String = "") async -> Admission {
    if let seconds = secondsClosed() { return .closed(retryAfterSeconds: seconds) }
    if openUntil != nil { isProbing = true }
    if waiting == 0, spend() { return .go }
    guard waiting < Self.waitingMax else {
      isProbing = false
      return .closed(retryAfterSeconds: 2)
    }
    return await withUnsafeContinuation { continuation in
      let waiter = Waiter(name, continuation)
      waiting += 1
      switch urgency {
      case .onDemand: urgent.append(waiter)
      case .background:
        patient.append(waiter)
        patientByName[name] = waiter
      }
      pump()
    }
  }

  /// Waits until an admitted question may be sent: several that were held up by the same disk come
  /// out of that together, which the provider would see as more than its rate.
  func pace() async {
    let now = clock()
    let start = max(sentAt.advanced(by: interval), now.advanced(by: interval * (1 - burst)))
    sentAt = start
    if start > now { await pause(now.duration(to: start)) }
  }

  /// Whether it makes sense to come here at all; spares who would only be turned away its preparations.
  var isOpen: Bool { secondsClosed() == nil }

  /// A request waits now for what was background work.
  func lift(_ name: String) {
    if let waiter = patientByName.removeValue(forKey: name) { urgent.append(waiter) }
  }

  /// The provider spoke as it should, whatever it said.
  func noteAnswer() {
    failures = 0
    openUntil = nil
    openedFor = 0
    isProbing = false
  }

  /// Nothing was asked after all: the next one finds out how the provider is.
  func noteNothing() { isProbing = false }

  /// The provider is in trouble.
  func noteTrouble(retryAfterSeconds: Int?) {
    failures += 1
    let wasProbe = isProbing
    isProbing = false
    guard retryAfterSeconds != nil || failures >= Self.failuresMax || wasProbe else { return }
    openedFor = min(max(openedFor * 2, Self.openSeconds.lowerBound), Self.openSeconds.upperBound)
    let seconds = max(openedFor, min(retryAfterSeconds ?? 0, 600))
    let end = clock().advanced(bySeconds: seconds)
    openUntil = max(openUntil ?? end, end)
    // Who waits learns it at once, not when its turn would have come.
    for waiter in urgent.removeAll() + patient.removeAll() {
      waiter.resume(.closed(retryAfterSeconds: Int64(seconds)))
    }
    patientByName = [:]
    waiting = 0
  }

  /// Seconds until somebody may ask; nil when one may now.
  private func secondsClosed() -> Int64? {
    guard let openUntil else { return nil }
    let now = clock()
    if now < openUntil { return Int64(openUntil.nanoseconds(since: now) / 1_000_000_000) + 1 }
    return isProbing ? 1 : nil
  }

  /// Takes one of the bucket's tokens, if there is one.
  private func spend() -> Bool {
    let now = clock()
    let start = max(fullAt, now)
    guard start.advanced(by: interval) <= now.advanced(by: interval * burst) else { return false }
    fullAt = start.advanced(by: interval)
    return true
  }

  private func pump() {
    guard !isPumping else { return }
    isPumping = true
    Task { await self.serve() }
  }

  private func serve() async {
    while waiting > 0 {
      guard spend() else {
        await pause(interval)
        continue
      }
      next()
    }
    isPumping = false
  }

  /// Lets the next one go; those that became urgent stand in both queues.
  private func next() {
    while let waiter = urgent.popFirst() ?? patient.popFirst() {
      guard waiter.isWaiting else { continue }
      if patientByName[waiter.name] === waiter { patientByName[waiter.name] = nil }
      waiting -= 1
      return waiter.resume(.go)
    }
  }
}

/// First in, first out, in constant time.
private struct Queue<Element> {
  private var elements: [Element?] = []
  private var first = 0

  var count: Int { elements.count - first }
  var isEmpty: Bool { count == 0 }

  mutating func append(_ element: Element) { elements.append(element) }

  mutating func popFirst() -> Element? {
    guard first < elements.count else { return nil }
    let element = elements[first]
    elements[first] = nil
    first += 1
    if first > 1024, first * 2 > elements.count {
      elements.removeFirst(first)
      first = 0
    }
    return element
  }

  mutating func removeAll() -> [Element] {
    defer { self = Queue() }
    return elements[first...].compactMap(\.self)
  }
}
