// Carries a loop-confined value to the tasks of its loop. The check that replaces the compiler's is
// made at every access: a value that is asked for on another thread stops the process.

/// A value that only one loop's tasks may touch.
// Unchecked because `value` verifies the thread on every access.
public struct LoopBound<Value>: @unchecked Sendable {
  /// The loop that owns the value.
  public let loop: EventLoop
  private let confined: Value

  /// Binds `value` to `loop`; the caller keeps no other way to it from elsewhere.
  public init(_ value: sending Value, to loop: EventLoop) {
    self.loop = loop
    confined = value
  }

  /// Binds a value made on `loop`, where the caller runs.
  public init(here value: Value, on loop: EventLoop) {
    precondition(loop.isCurrent, "a value of another loop")
    self.loop = loop
    confined = value
  }

  /// The value, on its loop.
  public var value: Value {
    precondition(loop.isCurrent, "a value of another loop")
    return confined
  }
}
