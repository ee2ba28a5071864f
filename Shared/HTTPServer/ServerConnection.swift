// One client connection: reads heads, lends bodies piece by piece, writes answers. It knows HTTP's
// framing and its time limits, and nothing of what a request is for. Loop-confined; between
// requests it holds no buffer.

import Bytes
import Clocks
import EventLoop
import HTTPCodec
import Posix
import Transport

/// What waiting for a request came to.
package enum HeadOutcome {
  /// `head` describes a request; its bytes are the front of `input`.
  case request
  /// The client left, or was idle too long; nothing is owed.
  case closed
  /// The head breaks a rule; an answer is owed, then the connection closes.
  case refused(HeadError)
  /// The head did not end in time.
  case tooSlow
}

/// A client connection as a handler sees it.
package final class ServerConnection {
  /// The loop of the connection.
  package let loop: EventLoop
  /// The socket.
  package let stream: Stream
  /// Where the connection's one task waits.
  package let parker: Parker
  /// The deadline of the present wait.
  package let timer: Timer
  /// The peer's address; nil or a path for Unix sockets.
  package let peer: SocketAddress?
  /// The bounds in force.
  package let limits: ServerLimits
  /// The process is ending: finish the request and close.
  package var isDraining = false {
    didSet { parker.unpark() }
  }
  /// The end of patience: streams are cut as well.
  package var isCut = false {
    didSet { parker.unpark() }
  }

  var whenTrusted: (() -> Void)?

  private var heldInput: Buffer?
  private var heldOutput: Buffer?
  private var heldHead: RequestHead?
  /// What is left of the request's body.
  package var body = BodyDecoder.none
  private(set) var isIdle = true
  private var requests = 0

  init(
    stream: Stream, parker: Parker, peer: SocketAddress?, limits: ServerLimits
  ) {
    loop = stream.loop
    self.stream = stream
    self.parker = parker
    self.peer = peer
    self.limits = limits
    timer = Timer(loop: loop, parker: parker)
  }

  /// Bytes that came from the client and were not consumed; lent by the loop's pool.
  package var input: Buffer {
    if let heldInput { return heldInput }
    let buffer = loop.takeBuffer()
    heldInput = buffer
    return buffer
  }

  /// Bytes that go to the client with the next `flush`; lent by the loop's pool.
  package var output: Buffer {
    if let heldOutput { return heldOutput }
    let buffer = loop.takeBuffer()
    heldOutput = buffer
    return buffer
  }

  /// The parsed head of the present request; its offsets count from the front of `input` until the
  /// head is consumed.
  package var head: RequestHead {
    if let heldHead { return heldHead }
    let head = RequestHead()
    heldHead = head
    return head
  }

  /// Notes that the client showed a good credential: it no longer counts as a stranger.
  package func trust() {
    whenTrusted?()
    whenTrusted = nil
  }

  /// Gives idle buffers back; a waiting stream calls it before it parks.
  package func releaseBuffers() {
    if let buffer = heldInput, buffer.isEmpty {
      heldInput = nil
      loop.giveBack(buffer)
    }
    if let buffer = heldOutput, buffer.isEmpty {
      heldOutput = nil
      loop.giveBack(buffer)
    }
  }

  /// Lets the parsed head go, for requests that live long.
  package func releaseHead() { heldHead = nil }

  // MARK: Reading

  /// Waits for the next head. The head stays in `input`; `headBytes` is its length.
  func receiveHead() async -> HeadOutcome {
    isIdle = true
    timer.arm(afterSeconds: requests == 0 ? limits.headSeconds : limits.idleSeconds)
    while true {
      if let buffer = heldInput, !buffer.isEmpty {
        if isIdle {
          isIdle = false
          timer.arm(afterSeconds: limits.headSeconds)
        }
        do throws(HeadError) {
          if let length = try head.parse(buffer.readable, limits: limits.head) {
            headBytes = length
            body = BodyDecoder(head.framing)
            requests += 1
            timer.disarm()
            return .request
          }
        } catch {
          headBytes = buffer.count
          return .refused(error)
        }
        buffer.reserve(1)
      }
      if timer.fired { return isIdle ? .closed : .tooSlow }
      if isCut || (isDraining && isIdle) { return .closed }
      switch stream.read(into: input) {
      case .bytes: continue
      case .wouldBlock:
        releaseBuffers()
        await parker.park()
      case .end, .failed: return .closed
      }
    }
  }

  /// The length of the present head; consumed from `input` by the handler or by `consumeHead`.
  package private(set) var headBytes = 0

  /// Drops the head from `input`; its fields must not be read afterwards.
  package func consumeHead() {
    input.consume(headBytes)
    headBytes = 0
  }

  /// Whether another request may follow on this connection.
  package var mayContinue: Bool {
    body.isComplete && !isDraining && requests < limits.requestsPerConnectionMax
  }

  /// Collects the body, at most `limits.bodyBytesMax` bytes, after `consumeHead`.
  /// - Throws: `BodyFailure`.
  package func collectBody() async throws(BodyFailure) -> [UInt8] {
    var bytes: [UInt8] = []
    let start = loop.now
    while true {
      do throws(ChunkError) {
        while bytes.count <= limits.bodyBytesMax, let piece = try body.next(from: input) {
          bytes.append(contentsOf: piece)
        }
      } catch { throw .malformed }
      guard bytes.count <= limits.bodyBytesMax else { throw .tooLarge }
      if body.isComplete { break }
      switch stream.read(into: roomyInput()) {
      case .bytes: continue
      case .wouldBlock:
        let patience = limits.bodyGraceSeconds + bytes.count / limits.bodyBytesPerSecondMin
        timer.arm(at: start.advanced(by: .seconds(patience)))
        if loop.now >= start.advanced(by: .seconds(patience)) { throw .tooSlow }
        if isCut { throw .gone }
        await parker.park()
      case .end, .failed: throw .gone
      }
    }
    timer.disarm()
    return bytes
  }

  /// `input` with room for at least one byte.
  package func roomyInput() -> Buffer {
    let buffer = input
    if buffer.writable.isEmpty { buffer.reserve(1) }
    return buffer
  }

  // MARK: Writing

  /// Writes all of `output`; false when the client is gone or takes nothing for too long.
  package func flush() async -> Bool {
    guard let buffer = heldOutput, !buffer.isEmpty else { return stream.isOpen }
    timer.arm(afterSeconds: limits.stallSeconds)
    defer { timer.disarm() }
    while !buffer.isEmpty {
      switch stream.write(from: buffer) {
      case .bytes: timer.arm(afterSeconds: limits.stallSeconds)
      case .wouldBlock:
        if timer.fired || isCut { return false }
        await parker.park()
      case .failed: return false
      }
    }
    return true
  }

  /// Ends our side and reads on for a moment, so that an answer to a request that was not read to
  /// its end is not destroyed by a reset.
  func closeAfterAnswer() async {
    stream.endWriting()
    timer.arm(afterSeconds: 1)
    var left = 256 * 1024
    let scratch = loop.takeBuffer()
    defer { loop.giveBack(scratch) }
    while left > 0 && !timer.fired && !isCut {
      switch stream.read(into: scratch.writable) {
      case .bytes(let count): left -= count
      case .wouldBlock: await parker.park()
      case .end, .failed: left = 0
      }
    }
  }

  func finish() {
    timer.cancel()
    stream.close()
    heldInput.map { loop.giveBack($0) }
    heldOutput.map { loop.giveBack($0) }
    heldInput = nil
    heldOutput = nil
  }
}

/// Why a body could not be collected.
package enum BodyFailure: Error, Equatable {
  /// Over the limit: 413.
  case tooLarge
  /// Bad chunk framing: 400.
  case malformed
  /// No byte for too long: 408.
  case tooSlow
  /// The client left: no answer.
  case gone
}
