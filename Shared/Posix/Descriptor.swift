// Owns a file descriptor: one owner, closed on release, never inherited over exec. Whoever needs
// the bare number borrows it and does not keep it.

import Glibc

/// An open file descriptor that closes when released.
public struct Descriptor: ~Copyable, Sendable {
  /// The number, valid while this value lives.
  public let number: Int32

  /// Takes over `number`, which the caller opened with CLOEXEC.
  public init(owning number: Int32) {
    precondition(number >= 0)
    self.number = number
  }

  deinit { _ = close(number) }

  /// Gives up the number without closing it.
  public consuming func release() -> Int32 {
    let number = number
    discard self
    return number
  }
}
