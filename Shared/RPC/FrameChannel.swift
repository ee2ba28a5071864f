// One connected socket as frames: reads what is there, writes what goes, and notices a peer that
// stalls in the middle of either. Never waits itself; the owning task parks. Descriptors that a
// peer attaches to its bytes are dropped by the kernel, because plain recv takes none.
// Loop-confined.

import Bytes
import Clocks
import EventLoop
import Transport

/// Why a channel is over.
enum ChannelError: Error, Equatable {
  /// The peer closed between frames.
  case ended
  /// Reset, or closed in the middle of a frame.
  case failed
  case malformed(FrameError)
  case stalled
}

final class FrameChannel {
  let parker: Parker
  private let stream: Transport.Stream
  private let outbound = Buffer(capacity: 1_024)
  private let limits: RPCLimits
  private let readStall: Timer
  private let writeStall: Timer
  private var isInsideFrame = false
  private var isWriteWatched = false
  private var decoder = FrameDecoder()
  private var isOver = false

  init(_ stream: Transport.Stream, parker: Parker, limits: RPCLimits) {
    self.stream = stream
    self.parker = parker
    self.limits = limits
    readStall = Timer(loop: stream.loop, parker: parker)
    writeStall = Timer(loop: stream.loop, parker: parker)
  }

  /// The negotiated version; frames of another one are malformed from here on.
  var version: UInt8 {
    get { decoder.version }
    set { decoder.version = newValue }
  }

  /// Bytes that the peer has not taken yet.
  var queuedBytes: Int { outbound.count }

  /// Queues a frame and wakes the owner to write it.
  func send(_ frame: Frame) {
    guard !isOver else { return }
    outbound.append(frame.encoded())
    parker.unpark()
  }

  /// The next whole frame that is there, or nil.
  func receive() throws(ChannelError) -> Frame? {
    while true {
      do throws(FrameError) {
        if let frame = try decoder.next() {
          isInsideFrame = false
          return frame
        }
      } catch { throw .malformed(error) }
      switch readMore() {
      case .bytes: continue
      case .wouldBlock:
        try watchReading()
        return nil
      case .end: throw decoder.isInsideFrame ? .failed : .ended
      case .failed: throw .failed
      }
    }
  }

  private func readMore() -> ReadResult {
    withUnsafeTemporaryAllocation(byteCount: 16 << 10, alignment: 16) { room in
      let result = stream.read(into: room)
      if case .bytes(let count) = result {
        decoder.append(UnsafeRawBufferPointer(rebasing: room[..<count]))
      }
      return result
    }
  }

  /// The clock of a half-read frame starts with its first byte; later bytes do not start it over.
  private func watchReading() throws(ChannelError) {
    guard decoder.isInsideFrame else {
      isInsideFrame = false
      readStall.disarm()
      return
    }
    if !isInsideFrame {
      isInsideFrame = true
      readStall.arm(after: limits.stallMax)
    } else if readStall.fired {
      throw .stalled
    }
  }

  /// Writes what goes now.
  func flush() throws(ChannelError) {
    while !outbound.isEmpty {
      switch stream.write(from: outbound) {
      case .bytes: writeStall.disarm()
      case .wouldBlock:
        if writeStall.fired { throw .stalled }
        if !isWriteWatched { writeStall.arm(after: limits.stallMax) }
        isWriteWatched = true
        return
      case .failed: throw .failed
      }
      isWriteWatched = false
    }
  }

  /// Writes what goes and closes.
  func close() {
    guard !isOver else { return }
    isOver = true
    try? flush()
    readStall.cancel()
    writeStall.cancel()
    stream.close()
  }
}
