// Lets one task wait for any of its sockets, timers or messages: it parks, whoever has news unparks
// it, and it looks around. Spurious wake-ups are allowed; lost ones are not. Loop-confined.

/// The waiting place of one task.
package final class Parker {
  private var continuation: UnsafeContinuation<Void, Never>?
  private var signalled = false

  /// A waiting place with nobody in it.
  package init() {}

  /// Waits until somebody calls `unpark`; returns at once when that happened before.
  package func park() async {
    if !signalled {
      precondition(continuation == nil, "one task per parker")
      // Unsafe for speed: resumed exactly once, because `unpark` clears it first.
      await withUnsafeContinuation { continuation = $0 }
    }
    signalled = false
  }

  /// Wakes the task, or lets its next `park` return at once.
  package func unpark() {
    signalled = true
    guard let waiting = continuation else { return }
    continuation = nil
    waiting.resume()
  }
}
