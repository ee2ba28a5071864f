// The only sources of now: a monotonic clock for waiting and a wall clock for what is written down.
// Pure modules never call these; they take a time as an argument.

import Glibc

/// A point on the clock that never steps (CLOCK_BOOTTIME, nanoseconds).
public struct Instant: Comparable, Hashable, Sendable {
  /// Nanoseconds since the machine started.
  public let nanoseconds: UInt64

  /// A point at `nanoseconds` since start.
  public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

  /// The present.
  public static var now: Instant {
    var time = timespec()
    clock_gettime(CLOCK_BOOTTIME, &time)
    return Instant(nanoseconds: UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec))
  }

  /// The point `duration` later; a negative duration stops at zero.
  public func advanced(by duration: Duration) -> Instant {
    let (seconds, attoseconds) = duration.components
    let delta = seconds &* 1_000_000_000 &+ attoseconds / 1_000_000_000
    if delta >= 0 { return Instant(nanoseconds: nanoseconds &+ UInt64(delta)) }
    let back = delta.magnitude
    return Instant(nanoseconds: nanoseconds > back ? nanoseconds - back : 0)
  }

  /// The point `seconds` later, or earlier when negative; without the wide arithmetic of Duration.
  @inline(__always)
  public func advanced(bySeconds seconds: Int) -> Instant {
    Instant(nanoseconds: nanoseconds &+ UInt64(bitPattern: Int64(seconds)) &* 1_000_000_000)
  }

  /// Nanoseconds from `earlier` to here, 0 when it is later.
  @inline(__always)
  public func nanoseconds(since earlier: Instant) -> UInt64 {
    nanoseconds > earlier.nanoseconds ? nanoseconds &- earlier.nanoseconds : 0
  }

  /// The time from here to `other`, negative when `other` is earlier.
  public func duration(to other: Instant) -> Duration {
    .nanoseconds(Int64(bitPattern: other.nanoseconds &- nanoseconds))
  }

  /// Whether the left point is earlier.
  public static func < (left: Instant, right: Instant) -> Bool {
    left.nanoseconds < right.nanoseconds
  }
}

/// A point on the calendar's clock in whole seconds since 1970-01-01 UTC; it may step.
public struct UnixTime: Comparable, Hashable, Sendable {
  /// Seconds since 1970-01-01 00:00:00 UTC.
  public let seconds: Int64

  /// A point at `seconds` since 1970.
  public init(seconds: Int64) { self.seconds = seconds }

  /// The present, cut to the second.
  public static var now: UnixTime { UnixTime(seconds: milliseconds / 1000) }

  /// The present in milliseconds since 1970, for log lines.
  public static var milliseconds: Int64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec) &* 1000 &+ Int64(time.tv_nsec) / 1_000_000
  }

  /// The point `seconds` later.
  public func advanced(bySeconds seconds: Int64) -> UnixTime {
    UnixTime(seconds: self.seconds + seconds)
  }

  /// Whether the left point is earlier.
  public static func < (left: UnixTime, right: UnixTime) -> Bool { left.seconds < right.seconds }
}
