// Deadlines by the thousand at the price of a store: a timer that moves later stays where it is in
// the heap and goes back when it comes up. Loop-confined.

import Clocks

/// A deadline that unparks a task.
public final class Timer {
  private let loop: EventLoop
  private let parker: Parker
  private var deadline: Instant?
  fileprivate var queued = Instant(nanoseconds: 0)
  fileprivate var position = -1  // in the heap, or -1
  /// Whether the deadline passed since `arm`.
  public private(set) var fired = false

  /// A timer at rest that wakes `parker`.
  public init(loop: EventLoop, parker: Parker) {
    self.loop = loop
    self.parker = parker
  }

  /// Sets the deadline, in place of an earlier one.
  public func arm(at instant: Instant) {
    deadline = instant
    fired = false
    if position < 0 {
      queued = instant
      loop.schedule(self)
    } else if instant < queued {
      queued = instant
      loop.reschedule(self)
    }
  }

  /// Sets the deadline to `duration` after the loop's present round.
  public func arm(after duration: Duration) { arm(at: loop.now.advanced(by: duration)) }

  /// Sets the deadline to `seconds` after the loop's present round.
  @inline(__always)
  public func arm(afterSeconds seconds: Int) { arm(at: loop.now.advanced(bySeconds: seconds)) }

  /// Takes the deadline away.
  public func disarm() {
    deadline = nil
    fired = false
  }

  /// Disarms and leaves the heap, which otherwise keeps the timer alive until its old deadline.
  public func cancel() {
    disarm()
    if position >= 0 { loop.unschedule(self) }
  }

  func fire(loop: EventLoop) {
    guard let deadline else { return }
    if deadline > loop.now {
      queued = deadline
      loop.schedule(self)
    } else {
      self.deadline = nil
      fired = true
      parker.unpark()
    }
  }
}

/// A binary heap by `queued`; every timer knows its place.
struct TimerHeap {
  private var timers: ContiguousArray<Timer> = []

  var first: Instant? { timers.first?.queued }

  mutating func insert(_ timer: Timer) {
    timer.position = timers.count
    timers.append(timer)
    moveUp(timer)
  }

  mutating func popDue(_ now: Instant) -> Timer? {
    guard let timer = timers.first, timer.queued <= now else { return nil }
    remove(timer)
    return timer
  }

  mutating func remove(_ timer: Timer) {
    let hole = timer.position
    timer.position = -1
    let last = timers.removeLast()
    guard hole < timers.count else { return }
    timers[hole] = last
    last.position = hole
    moveUp(last)
    moveDown(last)
  }

  mutating func moveUp(_ timer: Timer) {
    var index = timer.position
    while index > 0 {
      let parent = (index - 1) / 2
      guard timer.queued < timers[parent].queued else { break }
      place(timers[parent], at: index)
      index = parent
    }
    place(timer, at: index)
  }

  private mutating func moveDown(_ timer: Timer) {
    var index = timer.position
    while true {
      var child = index * 2 + 1
      guard child < timers.count else { break }
      if child + 1 < timers.count, timers[child + 1].queued < timers[child].queued { child += 1 }
      guard timers[child].queued < timer.queued else { break }
      place(timers[child], at: index)
      index = child
    }
    place(timer, at: index)
  }

  private mutating func place(_ timer: Timer, at index: Int) {
    timers[index] = timer
    timer.position = index
  }
}
