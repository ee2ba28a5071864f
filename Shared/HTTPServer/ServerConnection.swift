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
public enum HeadOutcome {
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
public final class ServerConnection {
  /// The loop of the connection.
  public let loop: EventLoop
  /// The socket.
  public let stream: Stream
  /// Where the connection's one task waits.
  public let parker: Parker
  /// The deadline of the present wait.
  public let timer: Timer
  /// The peer's address; nil or a path for Unix sockets.
  public let peer: SocketAddress?
  /// The bounds in force.
  public let limits: ServerLimits
  /// The process is ending: finish the request and close.
  public var isDraining = false {
    didSet { parker.unpark() }
  }
  /// The end of patience: streams are cut as well.
  public var isCut = false {
    didSet { parker.unpark() }
  }

  var whenTrusted: (() -> Void)?

  // Constants, so that the request path neither tests nor counts references to reach them; their
  // memory is borrowed while they hold something.

  /// Bytes that came from the client and were not consumed.
  public let input: Buffer
  /// Bytes that go to the client with the next `flush`.
  public let output: Buffer
  /// For the handler: what it sends on for the present request.
  public let onward: Buffer
  /// The parsed head of the present request; its offsets count from the front of `input` until the
  /// head is consumed.
  public let head = RequestHead()
  /// What is left of the request's body.
  public var body = BodyDecoder.none
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
    input = Buffer(pool: loop.buffers)
    output = Buffer(pool: loop.buffers)
    onward = Buffer(pool: loop.buffers)
  }

  /// Notes that the client showed a good credential: it no longer counts as a stranger.
  public func trust() {
    whenTrusted?()
    whenTrusted = nil
  }

  /// Gives the memory of empty buffers back; a waiting stream calls it before it parks.
  public func releaseBuffers() {
    if input.isEmpty { input.release() }
    if output.isEmpty { output.release() }
  }

  // MARK: Reading

  /// Begins to wait for the next head.
  func expectHead() {
    isIdle = true
    timer.arm(afterSeconds: requests == 0 ? limits.headSeconds : limits.idleSeconds)
  }

  /// What came of the wait since `expectHead`; nil when there is nothing yet. The head stays in
  /// `input`; `headBytes` is its length.
  func nextHead() -> HeadOutcome? {
    while true {
      if !input.isEmpty {
        if isIdle {
          isIdle = false
          timer.arm(afterSeconds: limits.headSeconds)
        }
        do throws(HeadError) {
          if let length = try head.parse(input.readable, limits: limits.head) {
            headBytes = length
            body = BodyDecoder(head.framing)
            requests += 1
            timer.disarm()
            return .request
          }
        } catch {
          headBytes = input.count
          return .refused(error)
        }
      }
      if isCut || (isDraining && isIdle) { return .closed }
      if stream.canRead {
        switch stream.read(into: roomyInput()) {
        case .bytes: continue
        case .wouldBlock: break
        case .end, .failed: return .closed
        }
      }
      // After reading: a loop that overslept finds bytes that came in time.
      if timer.fired { return isIdle ? .closed : .tooSlow }
      break
    }
    releaseBuffers()
    return nil
  }

  /// The length of the present head; consumed from `input` by the handler or by `consumeHead`.
  public private(set) var headBytes = 0

  /// Drops the head from `input`; its fields must not be read afterwards.
  public func consumeHead() {
    input.consume(headBytes)
    headBytes = 0
  }

  /// Whether another request may follow on this connection.
  public var mayContinue: Bool {
    body.isComplete && !isDraining && requests < limits.requestsPerConnectionMax
  }

  /// Collects the body, at most `bytesMax` bytes (nil: `limits.bodyBytesMax`), after `consumeHead`.
  /// One that may be longer than usual must come faster: it takes one of few places.
  /// - Throws: `BodyFailure`.
  public func collectBody(bytesMax: Int? = nil) async throws(BodyFailure) -> [UInt8] {
    let bytesMax = bytesMax ?? limits.bodyBytesMax
    let rate = limits.bodyBytesPerSecondMin * (bytesMax > limits.bodyBytesMax ? 20 : 1)
    var bytes: [UInt8] = []
    let start = loop.now
    while true {
      do throws(ChunkError) {
        while bytes.count <= bytesMax, let piece = try body.next(from: input) {
          bytes.append(contentsOf: piece)
        }
      } catch { throw .malformed }
      guard bytes.count <= bytesMax else { throw .tooLarge }
      if body.isComplete { break }
      switch stream.read(into: roomyInput()) {
      case .bytes: continue
      case .wouldBlock:
        let patience = limits.bodyGraceSeconds + bytes.count / rate
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
  public func roomyInput() -> Buffer {
    if input.writable.isEmpty { input.reserve(1) }
    return input
  }

  // MARK: Writing

  /// Writes all of `output`; false when the client is gone or takes nothing for too long.
  public func flush() async -> Bool {
    guard !output.isEmpty else { return stream.isOpen }
    timer.arm(afterSeconds: limits.stallSeconds)
    defer { timer.disarm() }
    while !output.isEmpty {
      switch stream.write(from: output) {
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
    while left > 0 && !timer.fired && !isCut {
      input.clear()
      switch stream.read(into: roomyInput()) {
      case .bytes(let count): left -= count
      case .wouldBlock: await parker.park()
      case .end, .failed: left = 0
      }
    }
  }

  func finish() {
    timer.cancel()
    stream.close()
    input.release()
    output.release()
    onward.release()
  }
}

/// Why a body could not be collected.
public enum BodyFailure: Error, Equatable {
  /// Over the limit: 413.
  case tooLarge
  /// Bad chunk framing: 400.
  case malformed
  /// No byte for too long: 408.
  case tooSlow
  /// The client left: no answer.
  case gone
}
