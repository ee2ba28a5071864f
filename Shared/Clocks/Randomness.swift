// The only source of chance: the kernel's generator, asked anew each time, so that no process-side
// pool can repeat after a fork or a snapshot.

import CLinux
import Glibc

/// Random bytes from the kernel.
public enum Randomness {
  /// Fills `target` with random bytes.
  public static func fill(_ target: UnsafeMutableRawBufferPointer) {
    var filled = 0
    while filled < target.count {
      let count = getrandom(target.baseAddress! + filled, target.count - filled, 0)
      if count > 0 {
        filled += count
      } else {
        precondition(errno == EINTR, "the kernel's random generator is not usable")
      }
    }
  }

  /// `count` random bytes.
  public static func bytes(count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { target, filled in
      fill(UnsafeMutableRawBufferPointer(target))
      filled = count
    }
  }

  /// A random word.
  public static func uint64() -> UInt64 {
    var word: UInt64 = 0
    withUnsafeMutableBytes(of: &word) { fill($0) }
    return word
  }
}
