// In which part of its life is the process, and what does a signal change? One enum with
// payloads and its transitions, pure: time comes in as an argument, effects go out as steps.
//
//   starting -> ready -> draining -> stopped        SIGTERM twice, or while starting: at once

import Clocks

/// The life of a process.
public enum Lifecycle: Equatable, Sendable {
  case starting(since: Instant)
  case ready(since: Instant)
  case draining(since: Instant, deadline: Instant)
  case stopped

  /// Requests under way may take this long after SIGTERM.
  public static let drainSecondsMax = 30

  /// What the caller must do after a signal to end.
  public enum Step: Equatable, Sendable {
    /// Stop accepting, let requests finish until the deadline, end streams, exit 0.
    case drain(deadline: Instant)
    /// Exit now.
    case exit
    /// Nothing; the end is near already.
    case none
  }

  /// Listeners are bound and everything that must answer can.
  public mutating func becomeReady(at now: Instant) {
    if case .starting = self { self = .ready(since: now) }
  }

  /// A signal asks the process to end.
  public mutating func terminate(at now: Instant) -> Step {
    switch self {
    case .starting, .draining:
      self = .stopped
      return .exit
    case .ready:
      let deadline = now.advanced(by: .seconds(Lifecycle.drainSecondsMax))
      self = .draining(since: now, deadline: deadline)
      return .drain(deadline: deadline)
    case .stopped: return .none
    }
  }

  /// Whether new work may come.
  public var isReady: Bool {
    if case .ready = self { true } else { false }
  }

  /// One word for people and for /readyz.
  public var word: String {
    switch self {
    case .starting: "starting"
    case .ready: "ready"
    case .draining: "draining"
    case .stopped: "stopped"
    }
  }
}
