// The bounded queue between callers and one database thread, on a mutex and a condition: adding
// never waits for work, only for the few instructions of another add or take.

import CLinux
import Glibc

/// Work for one thread: by itself, first in, first out, or writes that share a transaction.
// Unchecked: everything mutable is touched under `mutex`.
final class WorkQueue: @unchecked Sendable {
  typealias Work = @Sendable (Connection) -> Void

  /// What a thread does next.
  enum Batch {
    case one(Work)
    case together([SharedWrite])
  }

  /// How much other work goes before writes that wait.
  private static let worksBeforeWrites = 64

  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private let countMax: Int
  private var items: [Work?] = []
  private var head = 0
  private var writes: [SharedWrite] = []
  private var worksSinceWrites = 0
  private var isStopped = false
  private var hasEnded = false

  init(countMax: Int) {
    self.countMax = countMax
    mutex.initialize(to: pthread_mutex_t())
    changed.initialize(to: pthread_cond_t())
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(changed, nil)
  }

  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(mutex)
    changed.deallocate()
    mutex.deallocate()
  }

  /// Accepts `work`, or tells why not.
  func add(_ work: @escaping Work) -> DatabaseError? { accept { items.append(work) } }

  /// Accepts `write`, or tells why not.
  func add(_ write: SharedWrite) -> DatabaseError? { accept { writes.append(write) } }

  private func accept(_ append: () -> Void) -> DatabaseError? {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    guard !isStopped else { return .stopped }
    guard items.count - head + writes.count < countMax else { return .overloaded }
    append()
    pthread_cond_signal(changed)
    return nil
  }

  /// The next work, waiting for it; nil once stopped and empty. Writes that wait come together, when
  /// nothing else waits or enough of it went before them.
  func next() -> Batch? {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while head == items.count && writes.isEmpty && !isStopped { pthread_cond_wait(changed, mutex) }
    if !writes.isEmpty, head == items.count || worksSinceWrites >= Self.worksBeforeWrites {
      defer { writes = [] }
      worksSinceWrites = 0
      return .together(writes)
    }
    guard head < items.count, let work = items[head] else {
      hasEnded = true
      pthread_cond_broadcast(changed)
      return nil
    }
    worksSinceWrites += 1
    items[head] = nil
    head += 1
    if head == items.count {
      items.removeAll(keepingCapacity: true)
      head = 0
    } else if head >= 1024 {
      items.removeSubrange(..<head)
      head = 0
    }
    return .one(work)
  }

  /// Accepts nothing more.
  func stop() {
    pthread_mutex_lock(mutex)
    isStopped = true
    pthread_cond_broadcast(changed)
    pthread_mutex_unlock(mutex)
  }

  /// Waits until the worker found the queue stopped and empty.
  func waitUntilEnded() {
    pthread_mutex_lock(mutex)
    while !hasEnded { pthread_cond_wait(changed, mutex) }
    pthread_mutex_unlock(mutex)
  }

  /// Starts a detached thread that takes no signals, those are the main thread's.
  static func startThread(named name: String, _ body: @escaping @Sendable () -> Void) {
    final class Body {
      let run: @Sendable () -> Void
      let name: String
      init(_ run: @escaping @Sendable () -> Void, name: String) {
        self.run = run
        self.name = name
      }
    }
    var every = sigset_t()
    var before = sigset_t()
    sigfillset(&every)
    pthread_sigmask(SIG_SETMASK, &every, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    var thread = pthread_t()
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setstacksize(&attributes, 512 * 1024)
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    let context = Unmanaged.passRetained(Body(body, name: name)).toOpaque()
    let code = pthread_create(
      &thread, &attributes,
      { context in
        guard let context else { return nil }
        let body = Unmanaged<Body>.fromOpaque(context).takeRetainedValue()
        _ = body.name.withCString { bindery_prctl(PR_SET_NAME, UInt(bitPattern: $0)) }
        body.run()
        return nil
      }, context)
    precondition(code == 0, "no thread for a database")
  }
}

/// Tells the creator of a thread how its opening went.
// Unchecked: the value is touched under `mutex`.
final class OpenOutcome: @unchecked Sendable {
  private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
  private var error: DatabaseError?

  init() {
    semaphore.initialize(to: sem_t())
    sem_init(semaphore, 0, 0)
  }

  deinit {
    sem_destroy(semaphore)
    semaphore.deallocate()
  }

  func set(_ error: DatabaseError?) {
    self.error = error  // sem_post orders this before the wait returns
    sem_post(semaphore)
  }

  func wait() -> DatabaseError? {
    while sem_wait(semaphore) != 0 {}
    return error
  }
}
