// Tells the edge, at the cost of a load, that something it remembers may no longer hold. A small
// file in the run folder is mapped by all: counters that the owner of a change bumps after its
// commit and before its answer. What was read before a bump is stale; a bump too many costs one
// read. Carries no data, only "look again".

import Glibc
import JOSE
import Posix
import Synchronization

/// What the counters stood at when something was read.
public struct EpochMark: Equatable, Sendable {
  /// The connection's counter.
  public let slot: UInt16
  fileprivate let value: UInt64
  fileprivate let everything: UInt64

  /// A mark that is stale from the start: for what may be used once and not remembered.
  fileprivate static func stale(slot: UInt16) -> EpochMark {
    EpochMark(slot: slot, value: .max, everything: .max)
  }
}

// Unchecked because the memory is mapped once and holds atomics alone; see `counter`.
/// The mapped counters.
public final class RevocationEpochs: @unchecked Sendable {
  /// The file's name inside the run folder.
  public static let fileName = "epochs"
  /// Counters, one for each connection's slot.
  public static let slots = 4096

  // Behind the slots: one counter for everything, one for any change at all.
  private static let everythingIndex = slots
  private static let changesIndex = slots + 1
  private static let byteCount = (slots + 2) * MemoryLayout<UInt64>.size

  private let base: UnsafeMutableRawPointer
  private let writable: Bool

  /// Maps the file in `runDirectory`, which is made when nobody made it yet.
  /// - Parameter forWriting: only an owner of revocable records bumps.
  /// - Throws: `Errno` of the call that failed.
  public init(runDirectory: String, forWriting: Bool) throws(Errno) {
    let path = "\(runDirectory)/\(Self.fileName)"
    try Self.create(path)
    let number = open(path, (forWriting ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW)
    guard number >= 0 else { throw .last }
    let descriptor = Descriptor(owning: number)
    let protection = forWriting ? PROT_READ | PROT_WRITE : PROT_READ
    let mapped = mmap(nil, Self.byteCount, protection, MAP_SHARED, descriptor.number, 0)
    guard let mapped, mapped != MAP_FAILED else { throw .last }
    base = mapped
    writable = forWriting
  }

  deinit { munmap(base, Self.byteCount) }

  /// Whoever comes first makes the file; a second maker changes nothing.
  private static func create(_ path: String) throws(Errno) {
    let number = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o660)
    guard number >= 0 else { throw .last }
    let descriptor = Descriptor(owning: number)
    var facts = stat()
    guard fstat(descriptor.number, &facts) == 0 else { throw .last }
    if facts.st_uid == geteuid() { _ = fchmod(descriptor.number, 0o660) }  // whatever the umask
    guard facts.st_size < byteCount else { return }
    guard ftruncate(descriptor.number, off_t(byteCount)) == 0 else { throw .last }
  }

  private func counter(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    // Atomic<UInt64> is laid out as the word it holds, and a mapping is aligned to pages.
    base.assumingMemoryBound(to: Atomic<UInt64>.self) + index
  }

  /// The slot of a connection: the first two bytes of SHA-256 of its
  /// identifier, 12 bits of them.
  public static func slot(of id: ConnectionID) -> UInt16 {
    let digest = SHA256Digest.of(id.text)
    return (UInt16(digest[0]) << 8 | UInt16(digest[1])) & UInt16(slots - 1)
  }

  /// Whether nothing was bumped since `mark`.
  public func isCurrent(_ mark: EpochMark) -> Bool {
    counter(Int(mark.slot)).pointee.load(ordering: .sequentiallyConsistent) == mark.value
      && counter(Self.everythingIndex).pointee.load(ordering: .sequentiallyConsistent)
        == mark.everything
  }

  /// Reads something together with a mark that is older than what was read.
  /// - Parameter read: gives the value and the connection that it hangs on; nil for nothing there.
  public func marking<Value, Failure: Error>(
    _ read: () throws(Failure) -> (value: Value, connection: ConnectionID)?
  ) throws(Failure) -> (value: Value, mark: EpochMark)? {
    for _ in 0..<4 {
      // The slot is known only after the read. A change between the read and the mark would leave
      // an old value under a new mark; the counter of all changes, which is bumped first, tells.
      let before = changes
      let everything = counter(Self.everythingIndex).pointee.load(
        ordering: .sequentiallyConsistent)
      guard let found = try read() else { return nil }
      let slot = Self.slot(of: found.connection)
      let value = counter(Int(slot)).pointee.load(ordering: .sequentiallyConsistent)
      if changes == before {
        return (found.value, EpochMark(slot: slot, value: value, everything: everything))
      }
    }
    // Changes without end: this read began after the caller asked, so it may be used this once.
    guard let found = try read() else { return nil }
    return (found.value, .stale(slot: Self.slot(of: found.connection)))
  }

  private var changes: UInt64 {
    counter(Self.changesIndex).pointee.load(ordering: .sequentiallyConsistent)
  }

  /// Says that something about `connection` changed. Call after the commit, before the answer.
  public func bump(_ connection: ConnectionID) {
    bump(index: Int(Self.slot(of: connection)))
  }

  /// Says that anything may have changed: at the start of an owner, which may have died between a
  /// commit and its bump.
  public func bumpEverything() { bump(index: Self.everythingIndex) }

  private func bump(index: Int) {
    precondition(writable, "a reader bumps nothing")
    counter(Self.changesIndex).pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
    counter(index).pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
  }
}
