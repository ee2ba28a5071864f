// Runs tasks on one thread around one epoll: jobs, socket readiness, timers and attendants, in that
// order, for ever. It is the task executor of everything that touches its sockets, so loop-confined classes
// need no lock. No blocking work belongs here (that is WorkerPool's), and no policy.

import Bytes
import CLinux
import Clocks
import Glibc
import Posix
import Synchronization

/// One thread, one epoll, one timer heap; a Swift task executor.
// Unchecked because everything but `inbox` and the atomics is touched on its thread alone.
public final class EventLoop: TaskExecutor, @unchecked Sendable {
  private let epoll: Int32
  private let wakeup: Int32
  private var handle = pthread_t()
  /// The loop's thread, 0 before it runs: `isCurrent` is asked on any thread.
  private let thread = Atomic<UInt>(0)
  private let name: String

  private var jobs: ContiguousArray<UnownedJob> = []
  private var running: ContiguousArray<UnownedJob> = []
  // Unsafe to spare a count an event: by slot; a watch's owner keeps it alive until `forget`.
  private var watches: ContiguousArray<Unmanaged<Watch>?> = []
  private var freeSlots: ContiguousArray<UInt32> = []
  private var nextGeneration: UInt32 = 1
  private var timers = TimerHeap()
  private var turns: ContiguousArray<Parker> = []
  private var turning: ContiguousArray<Parker> = []
  private var yielded: ContiguousArray<UnsafeContinuation<Void, Never>> = []

  private let inbox = Mutex<ContiguousArray<UnownedJob>>([])
  private let awake = Atomic<Bool>(false)
  private let stopping = Atomic<Bool>(false)

  /// The size of a block of `buffers`.
  public static let bufferBytes = 16 * 1024
  /// Memory for the buffers of this loop's connections; idle connections hold none.
  public let buffers = BufferPool(blockBytes: bufferBytes, keptMax: 256)

  /// The time when the present round began; cheaper than asking the clock.
  public private(set) var now = Instant.now

  /// A loop whose thread is called `name` (at most 15 bytes show).
  /// - Throws: `Errno` when the kernel gives no epoll or eventfd.
  public init(name: String) throws(Errno) {
    self.name = name
    epoll = epoll_create1(O_CLOEXEC)
    guard epoll >= 0 else { throw .last }
    wakeup = eventfd(0, O_CLOEXEC | O_NONBLOCK)
    guard wakeup >= 0 else { throw .last }
    var event = epoll_event()
    event.events = EPOLLIN.rawValue
    bindery_epoll_set_data(&event, UInt64.max)
    guard epoll_ctl(epoll, EPOLL_CTL_ADD, wakeup, &event) == 0 else { throw .last }
  }

  /// Starts the loop's thread; it runs until `stop`.
  public func start() {
    let box = Unmanaged.passRetained(self)
    let entry: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { raw in
      Unmanaged<EventLoop>.fromOpaque(raw!).takeRetainedValue().turn()
      return nil
    }
    let code = pthread_create(&handle, nil, entry, box.toOpaque())
    precondition(code == 0, "no thread for an event loop")
  }

  /// Asks the loop to end after its present round and waits for its thread.
  public func stop() {
    stopping.store(true, ordering: .releasing)
    wake()
    pthread_join(handle, nil)
  }

  /// Whether the caller runs on this loop's thread.
  @inline(__always)
  public var isCurrent: Bool { pthread_self() == thread.load(ordering: .relaxed) }

  /// Starts a task on the loop, from any thread.
  public func spawn(_ body: @escaping @Sendable () async -> Void) {
    Task(executorPreference: self) { await body() }
  }

  /// Runs `body` on the loop and gives back its result.
  public func run<R: Sendable>(_ body: @escaping @Sendable () async -> R) async -> R {
    await Task(executorPreference: self) { await body() }.value
  }

  /// Lets everything else on the loop have its turn: sockets, timers, other tasks.
  public func yield() async {
    // Unsafe for speed: resumed exactly once, in the next round.
    await withUnsafeContinuation { yielded.append($0) }
  }

  // MARK: Executor

  /// Takes a job of a task that runs on this loop, from any thread.
  public func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    if isCurrent {
      jobs.append(job)
    } else {
      inbox.withLock { $0.append(job) }
      wake()
    }
  }

  /// Gives the attendant of `parker` a turn in the next round.
  func enqueue(_ parker: Parker) { turns.append(parker) }

  private func wake() {
    // One eventfd write serves all jobs that arrive before the loop looks.
    if awake.exchange(true, ordering: .acquiringAndReleasing) { return }
    var one: UInt64 = 1
    _ = write(wakeup, &one, 8)
  }

  // MARK: Watches

  /// Registers `descriptor` edge-triggered for reading, writing and hang-up, once for its life.
  /// - Throws: `Errno` of epoll_ctl.
  public func watch(_ descriptor: Int32, parker: Parker?) throws(Errno) -> Watch {
    try add(
      descriptor,
      events: EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLRDHUP.rawValue
        | EPOLLET.rawValue, parker: parker)
  }

  /// Registers a listening `descriptor`, edge-triggered, for new connections alone.
  /// - Throws: `Errno` of epoll_ctl.
  public func watchListener(_ descriptor: Int32, parker: Parker) throws(Errno) -> Watch {
    try add(descriptor, events: EPOLLIN.rawValue | EPOLLET.rawValue, parker: parker)
  }

  private func add(_ descriptor: Int32, events: UInt32, parker: Parker?) throws(Errno) -> Watch {
    let slot = freeSlots.popLast() ?? UInt32(watches.count)
    let generation = nextGeneration
    nextGeneration = generation == .max ? 1 : generation + 1
    var event = epoll_event()
    event.events = events
    bindery_epoll_set_data(&event, UInt64(generation) << 32 | UInt64(slot))
    guard epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) == 0 else {
      let failure = Errno.last
      freeSlots.append(slot)
      throw failure
    }
    let watch = Watch(slot: slot, generation: generation, parker: parker)
    let held = Unmanaged.passUnretained(watch)
    if Int(slot) == watches.count { watches.append(held) } else { watches[Int(slot)] = held }
    return watch
  }

  /// Forgets a watch. The caller closes the descriptor, which takes it out of the epoll.
  public func forget(_ watch: Watch) {
    guard watches[Int(watch.slot)]?.toOpaque() == Unmanaged.passUnretained(watch).toOpaque() else {
      return
    }
    watch.parker = nil
    watches[Int(watch.slot)] = nil
    freeSlots.append(watch.slot)
  }

  // MARK: Timers

  func schedule(_ timer: Timer) { timers.insert(timer) }
  func reschedule(_ timer: Timer) { timers.moveUp(timer) }
  func unschedule(_ timer: Timer) { timers.remove(timer) }

  // MARK: The rounds

  private func turn() {
    thread.store(pthread_self(), ordering: .relaxed)
    _ = name.withCString { bindery_prctl(PR_SET_NAME, UInt(bitPattern: $0)) }
    let events = UnsafeMutablePointer<epoll_event>.allocate(capacity: 256)
    defer { events.deallocate() }
    while true {
      var rounds = 0
      while !jobs.isEmpty && rounds < 16 {
        runJobs()
        rounds += 1
      }
      if stopping.load(ordering: .acquiring) { return }
      let isIdle = jobs.isEmpty && turns.isEmpty && yielded.isEmpty
      let count = epoll_wait(epoll, events, 256, isIdle ? timeout() : 0)
      now = .now
      if count > 0 { dispatch(UnsafeBufferPointer(start: events, count: Int(count))) }
      while let timer = timers.popDue(now) { timer.fire(loop: self) }
      if !yielded.isEmpty {
        for continuation in yielded { continuation.resume() }
        yielded.removeAll(keepingCapacity: true)
      }
      takeTurns()
    }
  }

  private func takeTurns() {
    guard !turns.isEmpty else { return }
    swap(&turns, &turning)
    for parker in turning { parker.takeTurn() }
    turning.removeAll(keepingCapacity: true)
  }

  private func runJobs() {
    swap(&jobs, &running)
    for job in running { job.runSynchronously(on: asUnownedTaskExecutor()) }
    running.removeAll(keepingCapacity: true)
  }

  private func dispatch(_ events: UnsafeBufferPointer<epoll_event>) {
    for index in 0..<events.count {
      var event = events[index]
      let data = bindery_epoll_data(&event)
      if data == .max {
        takeInbox()
        continue
      }
      let slot = Int(truncatingIfNeeded: data & 0xffff_ffff)
      guard slot < watches.count, let held = watches[slot] else { continue }
      held._withUnsafeGuaranteedRef { watch in
        // Else an event for a descriptor that was closed earlier in this batch.
        if watch.generation == UInt32(truncatingIfNeeded: data >> 32) { watch.note(event.events) }
      }
    }
  }

  private func takeInbox() {
    var count: UInt64 = 0
    _ = read(wakeup, &count, 8)
    awake.store(false, ordering: .sequentiallyConsistent)
    inbox.withLock {
      jobs.append(contentsOf: $0)
      $0.removeAll(keepingCapacity: true)
    }
  }

  private func timeout() -> Int32 {
    guard let next = timers.first else { return -1 }
    let present = Instant.now.nanoseconds
    if next.nanoseconds <= present { return 0 }
    return Int32(clamping: (next.nanoseconds - present + 999_999) / 1_000_000)
  }
}
