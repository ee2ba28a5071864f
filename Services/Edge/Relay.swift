// Carries one exchange between a client and an upstream: request body up, answer down, both as they
// come, each side held back when the other is slow. Answers are read as strictly as requests; one
// that breaks a rule is cut, never ended cleanly. What goes into the two heads is the caller's.

import Bytes
import Clocks
import EventLoop
import HTTPClient
import HTTPCodec
import HTTPServer
import Transport

/// One exchange under way.
final class Relay: Cuttable {
  let client: ServerConnection
  let upstream: UpstreamConnection
  // Their parts, once more: a constant of one's own is reached without counting a reference, one of
  // another object's is not.
  let clientStream: Stream
  let upstreamStream: Stream
  let timer: Timer
  /// Bytes on their way up; the caller writes the head into it.
  let up: Buffer
  /// Bytes on their way down, framed as the upstream framed them.
  let down: Buffer
  /// Bytes on their way down, framed for the client.
  let output: Buffer
  let method: Method
  let clientIsModern: Bool
  let keepAlive: Bool
  let limits: RelayLimits

  let reframesRequest: Bool
  var requestDone: Bool

  /// A copy of a small request body until the answer begins: an error of ours names its id.
  var kept: [UInt8]? = []

  var status = 0
  var body = BodyDecoder.none
  var interim = 0
  var chunksAnswer = false
  var answerEnded = false
  var sentHead = false
  var isEventStream = false
  var isEncoded = false  // compressed: nothing may be put between
  var events = EventStreamScanner()
  /// Whether a heartbeat went out before the stream's first byte.
  var beganWithBeat = false
  var upstreamPersists = false
  var abandoned = false  // the upstream did not take the whole request
  var clientLeftAt: Instant?
  var failure: RelayOutcome?
  var answerBegan = false
  /// Whether a byte of the answer went to the client.
  var wroteDown = false
  let startedAt: Instant
  /// Since when the upstream takes nothing, and for how long it took nothing before.
  var blockedSince: Instant?
  var blockedNanoseconds: UInt64 = 0
  /// Bytes of the request's body that came up.
  var bytesUp: UInt64 = 0
  /// Bytes of the answer's body that went down.
  var bytesDown: UInt64 = 0
  /// Whether the client's connection may carry another request afterwards.
  var clientPersists = false
  var isRevoked = false

  init(
    client: ServerConnection, upstream: UpstreamConnection, method: Method,
    reframesRequest: Bool, clientIsModern: Bool, keepAlive: Bool, limits: RelayLimits
  ) {
    self.client = client
    self.upstream = upstream
    clientStream = client.stream
    upstreamStream = upstream.stream
    timer = client.timer
    up = client.onward
    down = upstream.input
    output = client.output
    self.method = method
    self.clientIsModern = clientIsModern
    self.keepAlive = keepAlive
    self.limits = limits
    self.reframesRequest = reframesRequest
    requestDone = client.body.isComplete
    startedAt = client.loop.now
    armForAnswer()
  }

  var loop: EventLoop { client.loop }
  /// Whether the answer is an event stream that is flowing.
  var isStreaming: Bool { isEventStream && sentHead }
  /// Whether a byte of the request went to the upstream.
  var touchedUpstream = false

  func cutForRevocation() {
    isRevoked = true
    client.parker.unpark()
  }

  /// Moves what can be moved, with heads by `writer`. Nil when it must wait: call it again after the
  /// parker's next unpark.
  func advance(_ writer: some AnswerWriter) -> RelayOutcome? {
    for _ in 0..<RelayLimits.roundsPerTurn {
      var moved = pushUp()
      if !answerEnded { moved = pullDown(writer) || moved }
      moved = flushDown() || moved
      if let failure { return failure }
      if answerEnded && output.isEmpty { return .complete }
      guard moved else {
        if let outcome = interruption() { return outcome }
        release()
        return nil
      }
    }
    // Two fast sides must not own the loop: others, timers and revocations have their turn.
    if let outcome = interruption() { return outcome }
    client.parker.unpark()
    return nil
  }

  /// Ends the exchange, whose outcome is known; the upstream connection is given back or discarded.
  func finish(_ outcome: RelayOutcome, pool: UpstreamPool) {
    timer.disarm()
    up.release()
    down.release()
    if outcome == .complete && requestDone && upstreamPersists {
      pool.giveBack(upstream)
    } else {
      pool.discard(upstream)
    }
    clientPersists = outcome == .complete && clientPersists && client.mayContinue
  }

  // MARK: Waiting

  func armForAnswer() {
    guard clientLeftAt == nil else { return }  // its half second is not prolonged
    let seconds: Int
    if isStreaming {
      seconds = output.isEmpty ? limits.heartbeatSeconds : client.limits.stallSeconds
    } else if !requestDone && !sentHead {
      return timer.arm(at: bodyDeadline)
    } else if sentHead && !output.isEmpty {
      seconds = client.limits.stallSeconds
    } else {
      seconds = limits.answerSeconds
    }
    timer.arm(afterSeconds: seconds)
  }

  /// Until when the client must have sent more: a grace, then a minimum rate.
  var bodyDeadline: Instant {
    let earned = bytesUp / UInt64(RelayLimits.bodyBytesPerSecondMin)
    let seconds = RelayLimits.bodyGraceSeconds + Int(min(earned, 1 << 30))
    let late = startedAt.advanced(bySeconds: seconds)
    return Instant(nanoseconds: late.nanoseconds &+ blockedNanoseconds)
  }

  /// Whether something other than bytes ends the wait.
  func interruption() -> RelayOutcome? {
    if isRevoked { return sentHead ? .cut(.revoked) : .refused(.credentialRefused) }
    if client.isCut { return sentHead ? .cut(.draining) : .refused(.dependencyDown) }
    if client.isDraining && isStreaming && output.isEmpty && events.isAtBoundary {
      return .cut(.draining)
    }
    if clientStream.peerClosed, let outcome = clientLeft() { return outcome }
    guard timer.fired else { return nil }
    if clientLeftAt != nil { return .clientGone }
    if isStreaming {
      guard output.isEmpty else { return .clientGone }
      beat()
      return nil
    }
    if !requestDone && !sentHead {
      // Whose turn it is decides whose fault it is, and the deadline may have moved meanwhile.
      let stall = Duration.seconds(client.limits.stallSeconds)
      let deadline = blockedSince.map { $0.advanced(by: stall) } ?? bodyDeadline
      if deadline > loop.now {
        timer.arm(at: deadline)
        return nil
      }
      return .refused(blockedSince == nil ? .malformed(status: 408) : .upstreamTimeout)
    }
    return sentHead ? .cut(.stalled) : .refused(.upstreamTimeout)
  }

  /// A client that ended its side has half a second to get what is already on its way: some send
  /// their end right behind the request. Afterwards it is gone, and the upstream is told.
  func clientLeft() -> RelayOutcome? {
    if isStreaming { return .clientGone }
    let left = clientLeftAt ?? loop.now
    if clientLeftAt == nil {
      clientLeftAt = left
      timer.arm(at: left.advanced(by: .milliseconds(500)))
    }
    return loop.now >= left.advanced(by: .milliseconds(500)) ? .clientGone : nil
  }

  /// A comment between events tells client and middle boxes that the stream lives.
  func beat() {
    if events.isAtBoundary && !isEncoded {
      if events.isAtStart { beganWithBeat = true }
      let beat: StaticString = ":\n\n"
      append(
        UnsafeRawBufferPointer(start: beat.utf8Start, count: beat.utf8CodeUnitCount),
        to: output, chunked: chunksAnswer)
      _ = flushDown()
    }
    timer.arm(afterSeconds: limits.heartbeatSeconds)
  }

  /// Ends a stream that we cut ourselves: cleanly where the client can see that it is an end.
  func endStream() async {
    if isStreaming && events.isAtBoundary && output.isEmpty && chunksAnswer {
      output.append("0\r\n\r\n")
      _ = await client.flush()
      clientStream.close()
    } else {
      clientStream.close(reset: true)
    }
  }

  func release() {
    if up.isEmpty { up.release() }
    if down.isEmpty { down.release() }
    if isStreaming { client.head.release() }
    client.releaseBuffers()
  }
}
