// Carries log lines to a descriptor without ever making the caller wait: a bounded queue in memory
// and one thread that scrubs and writes. When the reader of the log stands still, the queue fills
// and further lines are dropped and counted; the count is written as `log_lines_dropped` as soon as
// the reader moves again. What is in the queue when a process is killed outright is lost.

import CLinux
import Clocks
import Glibc
import Synchronization

// Sendable by its lock: every stored var is touched with `lock` held.
/// The queue and the writing thread behind a log.
public final class LogSink: @unchecked Sendable {
  /// The bytes that may wait to be written.
  public static let queuedBytesMax = 4 << 20

  private let descriptor: Int32
  private let service: StaticString
  private let lock: UnsafeMutablePointer<pthread_mutex_t>
  private let wake: UnsafeMutablePointer<pthread_cond_t>
  private let drained: UnsafeMutablePointer<pthread_cond_t>
  private var queue: [[UInt8]] = []
  private var queuedBytes = 0
  private var droppedUnreported = 0
  private var isWriting = false
  private var isClosed = false
  private let droppedCount = Atomic<UInt64>(0)

  /// A sink that writes to `descriptor`, which stays open; `service` names the process in the lines
  /// about dropped ones. Starts the thread.
  public init(descriptor: Int32 = 2, service: StaticString) {
    self.descriptor = descriptor
    self.service = service
    lock = .allocate(capacity: 1)
    wake = .allocate(capacity: 1)
    drained = .allocate(capacity: 1)
    pthread_mutex_init(lock, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(wake, &attributes)
    pthread_cond_init(drained, &attributes)
    pthread_condattr_destroy(&attributes)
    startThread()
  }

  // No deinit: the thread holds the sink for the life of the process.

  /// Lines that were dropped because the queue was full.
  public var droppedLines: UInt64 { droppedCount.load(ordering: .relaxed) }

  /// Queues a rendered line, or drops it when the queue is full.
  func append(_ line: [UInt8]) {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    guard !isClosed, queuedBytes + line.count <= Self.queuedBytesMax else {
      droppedUnreported += 1
      droppedCount.wrappingAdd(1, ordering: .relaxed)
      return
    }
    queue.append(line)
    queuedBytes += line.count
    if queue.count == 1 { pthread_cond_signal(wake) }
  }

  /// Waits until everything queued is written, at most for `limit`; whether it is.
  @discardableResult
  public func flush(within limit: Duration) -> Bool {
    var deadline = timespec()
    clock_gettime(CLOCK_MONOTONIC, &deadline)
    let (seconds, attoseconds) = limit.components
    let nanoseconds = Int64(deadline.tv_nsec) + attoseconds / 1_000_000_000
    deadline.tv_sec += Int(seconds + nanoseconds / 1_000_000_000)
    deadline.tv_nsec = Int(nanoseconds % 1_000_000_000)
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    // Once nobody reads any more, there is nothing to wait for.
    while !isClosed, !queue.isEmpty || isWriting || droppedUnreported > 0 {
      pthread_cond_signal(wake)
      if pthread_cond_timedwait(drained, lock, &deadline) == ETIMEDOUT { return false }
    }
    return true
  }

  private func startThread() {
    var thread = pthread_t()
    let box = Unmanaged.passRetained(self)
    let status = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        var signals = sigset_t()
        sigfillset(&signals)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        Unmanaged<LogSink>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, box.toOpaque())
    precondition(status == 0, "no thread for the log")
    pthread_detach(thread)
  }

  private func run() {
    while true {
      pthread_mutex_lock(lock)
      while queue.isEmpty && droppedUnreported == 0 && !isClosed { pthread_cond_wait(wake, lock) }
      if isClosed {
        pthread_mutex_unlock(lock)
        return
      }
      let lines = queue
      let dropped = droppedUnreported
      queue = []
      droppedUnreported = 0
      isWriting = true
      pthread_mutex_unlock(lock)

      let isGone = !write(lines, dropped: dropped)
      let bytes = lines.reduce(0) { $0 + $1.count }

      pthread_mutex_lock(lock)
      queuedBytes -= bytes
      isWriting = false
      isClosed = isGone
      if isGone {
        queue = []
        droppedUnreported = 0
      }
      pthread_cond_broadcast(drained)
      pthread_mutex_unlock(lock)
    }
  }

  /// Writes the lines in pieces of at most 64 KiB; false when nobody can read them any more.
  private func write(_ lines: [[UInt8]], dropped: Int) -> Bool {
    var piece: [UInt8] = []
    for line in lines {
      if piece.count + line.count > 65_536, !piece.isEmpty {
        guard writeAll(piece) else { return false }
        piece.removeAll(keepingCapacity: true)
      }
      piece.append(contentsOf: Scrubbing.scrub(line))
    }
    if dropped > 0 {
      piece += LogLine.render(
        milliseconds: UnixTime.milliseconds, level: .warning, service: service,
        event: "log_lines_dropped", fields: ["count": .count(dropped)])
    }
    return writeAll(piece)
  }

  private func writeAll(_ bytes: [UInt8]) -> Bool {
    bytes.withUnsafeBytes { all in
      var rest = all[...]
      while !rest.isEmpty {
        let written = Glibc.write(
          descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
        if written > 0 {
          rest = rest.dropFirst(written)
        } else if errno == EAGAIN {
          var pending = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
          poll(&pending, 1, -1)
        } else if errno == ENOSPC {
          // A full disk: the piece is lost, the log goes on when there is room again.
          return true
        } else if errno != EINTR {
          return false
        }
      }
      return true
    }
  }
}
