// Does what blocks (name resolution, password hashing) on a few threads of its own, so that loops
// never wait. The queue is bounded: past it the caller is told at once.

import Glibc
import Synchronization

/// The pool's queue is full.
public struct WorkerPoolFull: Error {
  /// The refusal.
  public init() {}
}

/// A few threads that run blocking work in order of arrival.
public final class WorkerPool: Sendable {
  private struct State {
    var queue: [@Sendable () -> Void] = []
    var busy = 0
    var threads = 0
  }

  private let state = Mutex(State())
  private let threadsMax: Int
  private let queueMax: Int
  private let niceness: Int32
  // Unsafe for the checker alone: a POSIX semaphore is made for several threads, and never freed.
  nonisolated(unsafe) private let ready: UnsafeMutablePointer<sem_t>

  /// At most `threads` threads, started when needed, and `queueMax` jobs that wait. With a `niceness`
  /// above 0 (19 at most) they leave the processor to other threads.
  public init(threads: Int, queueMax: Int, niceness: Int32 = 0) {
    self.niceness = niceness
    threadsMax = threads
    self.queueMax = queueMax
    ready = .allocate(capacity: 1)
    ready.initialize(to: sem_t())
    sem_init(ready, 0, 0)
  }

  /// Runs `body` on a thread of the pool.
  /// - Throws: `WorkerPoolFull` at once when `queueMax` jobs wait already.
  public func run<R: Sendable>(
    _ body: @escaping @Sendable () -> R
  ) async throws(WorkerPoolFull) -> R {
    let result: R? = await withUnsafeContinuation { continuation in
      if !submit({ continuation.resume(returning: body()) }) {
        continuation.resume(returning: nil)
      }
    }
    guard let result else { throw WorkerPoolFull() }
    return result
  }

  private func submit(_ job: @escaping @Sendable () -> Void) -> Bool {
    let (accepted, starts) = state.withLock { state in
      guard state.queue.count < queueMax + threadsMax - state.busy else { return (false, false) }
      state.queue.append(job)
      let starts = state.threads - state.busy < state.queue.count && state.threads < threadsMax
      if starts { state.threads += 1 }
      return (true, starts)
    }
    guard accepted else { return false }
    if starts { startThread() }
    sem_post(ready)
    return true
  }

  private func startThread() {
    var thread = pthread_t()
    let box = Unmanaged.passRetained(self)
    let code = pthread_create(
      &thread, nil,
      { raw in
        Unmanaged<WorkerPool>.fromOpaque(raw!).takeRetainedValue().work()
        return nil
      }, box.toOpaque())
    precondition(code == 0, "no thread for blocking work")
    pthread_detach(thread)
  }

  private func work() {
    // On Linux a process id of 0 means the calling thread alone. A refusal costs latency, no more.
    if niceness > 0 { _ = setpriority(Int32(PRIO_PROCESS.rawValue), 0, niceness) }
    while true {
      while sem_wait(ready) != 0 {}
      let job = state.withLock { state in
        state.busy += 1
        return state.queue.isEmpty ? nil : state.queue.removeFirst()
      }
      job?()
      state.withLock { $0.busy -= 1 }
    }
  }
}
