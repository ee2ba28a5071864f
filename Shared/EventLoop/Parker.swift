// Lets one task wait for any of its sockets, timers or messages: it parks, whoever has news unparks
// it, and it looks around. A task whose next steps need no waiting of their own leaves them to an
// attendant instead, which the loop calls without waking the task: a suspended task costs more to
// resume than most of what it then does. Spurious wake-ups are allowed; lost ones are not.
// Loop-confined.

/// Does a task's work while the task itself sleeps.
public protocol Attendant: AnyObject {
  /// Does what can be done now. False when only the task can go on.
  func turn() -> Bool
}

/// The waiting place of one task.
public final class Parker {
  private var continuation: UnsafeContinuation<Void, Never>?
  private var signalled = false
  private var attendant: (any Attendant)?
  private var isAttended = false
  private let loop: EventLoop?

  /// A waiting place with nobody in it; one with a loop can have an attendant.
  public init(on loop: EventLoop? = nil) { self.loop = loop }

  /// Waits until somebody calls `unpark`; returns at once when that happened before.
  public func park() async {
    if !signalled {
      precondition(continuation == nil, "one task per parker")
      // Unsafe for speed: resumed exactly once, because `unpark` clears it first.
      await withUnsafeContinuation { continuation = $0 }
    }
    signalled = false
  }

  /// Gives `attendant` a turn, now and in a round of the loop after each `unpark`, until it answers
  /// false.
  public func attend(_ attendant: any Attendant) async {
    precondition(continuation == nil && loop != nil, "one task per parker, which has a loop")
    signalled = false
    guard attendant.turn() else { return }
    self.attendant = attendant
    isAttended = true
    if signalled { loop?.enqueue(self) }
    // Unsafe for speed: resumed exactly once, because `takeTurn` clears it first.
    await withUnsafeContinuation { continuation = $0 }
  }

  /// Wakes the task, or lets its next `park` return at once.
  public func unpark() {
    if isAttended {
      if !signalled { loop?.enqueue(self) }
      signalled = true
      return
    }
    signalled = true
    guard let waiting = continuation else { return }
    continuation = nil
    waiting.resume()
  }

  /// Called by the loop once for each first `unpark`.
  func takeTurn() {
    guard let attendant else { return }
    signalled = false
    guard !attendant.turn(), let waiting = continuation else { return }
    self.attendant = nil
    isAttended = false
    continuation = nil
    waiting.resume()
  }
}
