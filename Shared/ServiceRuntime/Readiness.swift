// Is the process ready, and what stands in the way? One lifecycle, a few named conditions that
// must hold, and peers whose absence is told but is no reason to be unready: traffic goes on
// without them. Safe from any thread.

import Clocks
import RPC
import Synchronization

/// What must hold for a process to be ready.
public enum Condition: String, CaseIterable, Sendable {
  case database, tokens, keys
}

/// The state of a process as /readyz and `status` tell it.
public final class Readiness: Sendable {
  private struct State {
    var lifecycle: Lifecycle
    /// Conditions that do not hold, each with our own word for why.
    var broken: [Condition: StaticString] = [:]
    /// Conditions that hold well enough to go on, each with our own word for what is wrong.
    var degraded: [Condition: StaticString] = [:]
  }

  private let state: Mutex<State>
  private let start: Instant
  private let peers = Mutex<[RPCClient]>([])
  private let counters = Mutex<[(name: StaticString, read: @Sendable () -> Int64)]>([])

  private let jobs = Mutex<(@Sendable () -> [JobStatus])?>(nil)

  public init(at now: Instant) {
    start = now
    state = Mutex(State(lifecycle: .starting(since: now)))
  }

  /// Notes that a condition does not hold, and why.
  public func note(broken condition: Condition, because reason: StaticString) {
    state.withLock { $0.broken[condition] = reason }
  }

  /// Notes that a condition holds (again).
  public func note(holds condition: Condition) {
    _ = state.withLock { $0.broken.removeValue(forKey: condition) }
  }

  /// Notes what is wrong with a condition that does not stop the process, or that nothing is.
  public func note(degraded condition: Condition, because reason: StaticString?) {
    state.withLock { $0.degraded[condition] = reason }
  }

  /// Adds a number of public meaning to what `status` answers. `read` must not block.
  public func report(_ name: StaticString, read: @escaping @Sendable () -> Int64) {
    counters.withLock { $0.append((name, read)) }
  }

  /// Adds the jobs of this process to what `status` answers. `read` must not block.
  public func report(jobs read: @escaping @Sendable () -> [JobStatus]) {
    jobs.withLock { $0 = read }
  }

  /// The jobs, if this process has any.
  var jobStates: [JobStatus]? { jobs.withLock { $0 }?() }

  /// The numbers that were added, by name.
  var counterValues: [String: Int64] {
    let all = counters.withLock { $0 }
    return Dictionary(all.map { ($0.name.description, $0.read()) }, uniquingKeysWith: { $1 })
  }

  func watch(_ peer: RPCClient) { peers.withLock { $0.append(peer) } }

  func becomeReady() { state.withLock { $0.lifecycle.becomeReady(at: .now) } }

  func terminate() -> Lifecycle.Step { state.withLock { $0.lifecycle.terminate(at: .now) } }

  /// Whether new work may come.
  public var isReady: Bool {
    state.withLock { $0.lifecycle.isReady && $0.broken.isEmpty }
  }

  /// The lifecycle's state in one word.
  public var word: String { state.withLock { $0.lifecycle.word } }

  /// Conditions that do not hold, with reasons, in a fixed order.
  public var brokenConditions: [(name: String, reason: String)] {
    Self.named(state.withLock { $0.broken })
  }

  /// Conditions with which something is wrong that is no reason to be unready.
  public var degradedConditions: [(name: String, reason: String)] {
    Self.named(state.withLock { $0.degraded })
  }

  private static func named(
    _ conditions: [Condition: StaticString]
  ) -> [(name: String, reason: String)] {
    Condition.allCases.compactMap { condition in
      conditions[condition].map { (condition.rawValue, $0.description) }
    }
  }

  /// The peers this process needs, and whether each is reached now.
  public var peerStates: [(name: String, isConnected: Bool)] {
    peers.withLock { $0.map { ($0.peer.rawValue, $0.isConnected) } }
  }

  /// Whole seconds since the start.
  public var uptimeSeconds: Int64 { start.duration(to: .now).components.seconds }
}
