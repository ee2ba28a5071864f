// What a running service counts with. Every instrument is a few atomics: counting is a relaxed add,
// without a lock, an allocation or a lookup, so it may stand on the request path.
// Rendering is elsewhere; a reader may see one instrument newer than another.

import Synchronization

/// A number that only grows.
public final class Counter: Sendable {
  private let value = Atomic<UInt64>(0)

  init() {}

  /// Adds `amount`.
  public func add(_ amount: UInt64 = 1) { value.wrappingAdd(amount, ordering: .relaxed) }

  /// What was added so far.
  public var total: UInt64 { value.load(ordering: .relaxed) }
}

/// A number that goes up and down.
public final class Gauge: Sendable {
  private let value = Atomic<Int64>(0)

  init() {}

  /// Adds `amount`, which may be negative.
  public func add(_ amount: Int64) { value.wrappingAdd(amount, ordering: .relaxed) }

  /// Replaces the number.
  public func set(_ number: Int64) { value.store(number, ordering: .relaxed) }

  /// The number now.
  public var current: Int64 { value.load(ordering: .relaxed) }
}

/// How many observations fell under each of a few fixed bounds, with their sum.
public final class Histogram: Sendable {
  /// The unit of bounds and observations, and how it is written out.
  public enum Unit: Sendable {
    /// Nanoseconds, written as seconds.
    case nanoseconds
    /// Plain numbers, such as bytes.
    case plain
  }

  /// Bounds for the time of a request or a call: 1 ms to 60 s.
  public static let requestBounds: [Duration] = [
    .milliseconds(1), .milliseconds(2), .milliseconds(5), .milliseconds(10), .milliseconds(25),
    .milliseconds(50), .milliseconds(100), .milliseconds(250), .milliseconds(500), .seconds(1),
    .seconds(2), .seconds(5), .seconds(10), .seconds(30), .seconds(60),
  ]

  let bounds: [UInt64]
  let unit: Unit
  private let cells: Cells
  private let sum = Atomic<UInt64>(0)

  init(bounds: [UInt64], unit: Unit) {
    precondition(!bounds.isEmpty && bounds == bounds.sorted() && Set(bounds).count == bounds.count)
    self.bounds = bounds
    self.unit = unit
    cells = Cells(count: bounds.count + 1)
  }

  /// Counts one observation in the unit of the bounds.
  public func observe(_ amount: UInt64) {
    var cell = 0
    while cell < bounds.count, amount > bounds[cell] { cell += 1 }
    cells.add(at: cell)
    sum.wrappingAdd(amount, ordering: .relaxed)
  }

  /// Counts one duration; a negative one counts as zero.
  public func observe(_ duration: Duration) { observe(duration.wholeNanoseconds) }

  /// How many observations were at most each bound, then all of them; and their sum.
  var reading: (cumulative: [UInt64], sum: UInt64) {
    var total: UInt64 = 0
    let cumulative = (0...bounds.count).map { cell in
      total &+= cells.load(at: cell)
      return total
    }
    return (cumulative, sum.load(ordering: .relaxed))
  }
}

extension Duration {
  /// The whole nanoseconds of a duration, held to the range of the type.
  var wholeNanoseconds: UInt64 {
    let (seconds, attoseconds) = components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    let (scaled, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
    return overflow ? .max : scaled &+ UInt64(attoseconds / 1_000_000_000)
  }
}

// Sendable because the memory holds nothing but atomics and lives as long as the object.
/// A row of atomic counters of a length known only while running.
private final class Cells: @unchecked Sendable {
  private let pointer: UnsafeMutablePointer<Atomic<UInt64>>
  private let count: Int

  init(count: Int) {
    self.count = count
    pointer = .allocate(capacity: count)
    for index in 0..<count { (pointer + index).initialize(to: Atomic(0)) }
  }

  deinit {
    pointer.deinitialize(count: count)
    pointer.deallocate()
  }

  func add(at index: Int) {
    precondition(index < count)
    pointer[index].wrappingAdd(1, ordering: .relaxed)
  }

  func load(at index: Int) -> UInt64 {
    precondition(index < count)
    return pointer[index].load(ordering: .relaxed)
  }
}
