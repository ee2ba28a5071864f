// Holds bytes that nobody may see by accident: not copyable, so there is one owner; not printable
// and not encodable, because it has no such conformance; wiped when released. Equality takes
// constant time. What its borrowers copy out is theirs to wipe.

import Glibc

/// Bytes with one owner that are wiped on release.
public struct Secret: ~Copyable, Sendable {
  // Unsafe for the checker alone: written in init, afterwards only read.
  nonisolated(unsafe) private let storage: UnsafeMutableRawBufferPointer

  /// A secret of `count` bytes, zeroes that `fill` overwrites.
  public init(count: Int, filledBy fill: (UnsafeMutableRawBufferPointer) -> Void) {
    // malloc, because for so few bytes calloc and the aligned allocator that Swift would take cost
    // several times as much.
    guard let base = malloc(max(count, 1)) else { preconditionFailure("no memory") }
    memset(base, 0, count)
    storage = UnsafeMutableRawBufferPointer(start: base, count: count)
    fill(storage)
  }

  /// A secret that copies `bytes`; the source stays the caller's to wipe.
  public init(copying bytes: UnsafeRawBufferPointer) {
    self.init(count: bytes.count) { $0.copyMemory(from: bytes) }
  }

  /// A secret that takes over `bytes` and zeroes the array it came from.
  public init(wiping bytes: inout [UInt8]) {
    self.init(count: bytes.count) { target in
      bytes.withUnsafeBytes { target.copyMemory(from: $0) }
    }
    bytes.withUnsafeMutableBytes { wipe($0) }
    bytes = []
  }

  deinit {
    wipe(storage)
    free(storage.baseAddress)
  }

  /// The number of bytes.
  public var count: Int { storage.count }

  /// Lends the bytes for the length of `body`.
  public borrowing func withBytes<Result: ~Copyable, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    defer { extendLifetime(self) }  // `storage` alone would not keep the bytes until the end
    return try body(UnsafeRawBufferPointer(storage))
  }

  /// Whether both hold the same bytes, in constant time.
  public borrowing func isEqual(to other: borrowing Secret) -> Bool {
    constantTimeEqual(UnsafeRawBufferPointer(storage), UnsafeRawBufferPointer(other.storage))
  }
}

/// Zeroes `bytes` in a way that the optimizer keeps.
public func wipe(_ bytes: UnsafeMutableRawBufferPointer) {
  guard let base = bytes.baseAddress else { return }
  explicit_bzero(base, bytes.count)
}
