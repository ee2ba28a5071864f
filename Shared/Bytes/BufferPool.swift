// Blocks of memory for buffers that are empty most of the time: ten thousand idle connections share a
// few. Blocks come back wiped. Not Sendable: one loop owns it.

/// Equal blocks of memory, lent to buffers while they hold something. A handle without reference
/// counts, because it is used several times in each request: it lives as long as the process.
public struct BufferPool {
  private struct State {
    var count = 0
    let keptMax: Int
    let kept: UnsafeMutablePointer<UnsafeMutableRawPointer>
  }

  /// The size of every block.
  public let blockBytes: Int
  /// Where a buffer without memory points; nothing is read or written there.
  let nowhere: UnsafeMutableRawPointer
  private let state: UnsafeMutablePointer<State>

  /// A pool that keeps at most `keptMax` blocks that nobody uses.
  public init(blockBytes: Int, keptMax: Int) {
    precondition(blockBytes > 0 && keptMax > 0)
    self.blockBytes = blockBytes
    nowhere = .allocate(byteCount: 16, alignment: 16)
    state = .allocate(capacity: 1)
    state.initialize(to: State(keptMax: keptMax, kept: .allocate(capacity: keptMax)))
  }

  func take() -> UnsafeMutableRawPointer {
    guard state.pointee.count > 0 else {
      return .allocate(byteCount: blockBytes, alignment: 16)
    }
    state.pointee.count -= 1
    return state.pointee.kept[state.pointee.count]
  }

  /// Takes back a block that was wiped.
  func giveBack(_ block: UnsafeMutableRawPointer) {
    guard state.pointee.count < state.pointee.keptMax else { return block.deallocate() }
    state.pointee.kept[state.pointee.count] = block
    state.pointee.count += 1
  }
}
