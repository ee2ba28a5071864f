// Blocks of memory for buffers that are empty most of the time: ten thousand idle connections share a
// few. Blocks come back wiped. Not Sendable: one loop owns it.

/// Equal blocks of memory, lent to buffers while they hold something.
package final class BufferPool {
  /// The size of every block.
  package let blockBytes: Int
  /// Where a buffer without memory points; nothing is read or written there.
  let nowhere = UnsafeMutableRawPointer.allocate(byteCount: 16, alignment: 16)
  private let keptMax: Int
  private let kept: UnsafeMutablePointer<UnsafeMutableRawPointer>
  private var count = 0

  /// A pool that keeps at most `keptMax` blocks that nobody uses.
  package init(blockBytes: Int, keptMax: Int) {
    precondition(blockBytes > 0 && keptMax > 0)
    self.blockBytes = blockBytes
    self.keptMax = keptMax
    kept = .allocate(capacity: keptMax)
  }

  deinit {
    for index in 0..<count { kept[index].deallocate() }
    kept.deallocate()
    nowhere.deallocate()
  }

  func take() -> UnsafeMutableRawPointer {
    guard count > 0 else { return .allocate(byteCount: blockBytes, alignment: 16) }
    count -= 1
    return kept[count]
  }

  /// Takes back a block that was wiped.
  func giveBack(_ block: UnsafeMutableRawPointer) {
    guard count < keptMax else { return block.deallocate() }
    kept[count] = block
    count += 1
  }
}
