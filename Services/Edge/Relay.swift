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
final class Relay<Writer: AnswerWriter>: Cuttable {
  let client: ServerConnection
  let upstream: UpstreamConnection
  let loop: EventLoop
  let method: Method
  let clientIsModern: Bool
  let keepAlive: Bool
  var writer: Writer
  let limits: RelayLimits

  /// Bytes on their way up; the caller writes the head into it.
  var up: Buffer?
  let reframesRequest: Bool
  var requestDone: Bool

  /// A copy of a small request body until the answer begins: an error of ours names its id.
  var kept: [UInt8]? = []

  var down: Buffer?
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
    client: ServerConnection, upstream: UpstreamConnection, up: Buffer, method: Method,
    reframesRequest: Bool, clientIsModern: Bool, keepAlive: Bool, writer: Writer,
    limits: RelayLimits
  ) {
    self.client = client
    self.upstream = upstream
    loop = client.loop
    self.up = up
    self.method = method
    self.clientIsModern = clientIsModern
    self.keepAlive = keepAlive
    self.writer = writer
    self.limits = limits
    self.reframesRequest = reframesRequest
    requestDone = client.body.isComplete
    startedAt = client.loop.now
  }

  /// Whether the answer is an event stream that is flowing.
  var isStreaming: Bool { isEventStream && sentHead }
  /// Whether a byte of the request went to the upstream.
  var touchedUpstream = false

  func cutForRevocation() {
    isRevoked = true
    client.parker.unpark()
  }

  /// Runs the exchange to its end. The upstream connection is given back or discarded here.
  func run(pool: UpstreamPool) async -> RelayOutcome {
    armForAnswer()
    let outcome = await pump()
    client.timer.disarm()
    if let buffer = up { loop.giveBack(buffer) }
    if let buffer = down { loop.giveBack(buffer) }
    up = nil
    down = nil
    if outcome == .complete && requestDone && upstreamPersists {
      pool.giveBack(upstream)
    } else {
      pool.discard(upstream)
    }
    clientPersists = outcome == .complete && clientPersists && client.mayContinue
    return outcome
  }

  private func pump() async -> RelayOutcome {
    var rounds = 0
    while true {
      var moved = pushUp()
      if !answerEnded { moved = pullDown() || moved }
      moved = flushDown() || moved
      if let failure { return failure }
      if answerEnded && client.output.isEmpty { return .complete }
      if moved {
        // Two fast sides must not own the loop: others, timers and revocations have their turn.
        rounds += 1
        guard rounds % RelayLimits.roundsPerTurn == 0 else { continue }
        if let outcome = interruption() { return outcome }
        await loop.yield()
        continue
      }
      if let outcome = interruption() { return outcome }
      release()
      await client.parker.park()
    }
  }

  // MARK: Waiting

  func armForAnswer() {
    guard clientLeftAt == nil else { return }  // its half second is not prolonged
    let seconds: Int
    if isStreaming {
      seconds = client.output.isEmpty ? limits.heartbeatSeconds : client.limits.stallSeconds
    } else if !requestDone && !sentHead {
      return client.timer.arm(at: bodyDeadline)
    } else if sentHead && !client.output.isEmpty {
      seconds = client.limits.stallSeconds
    } else {
      seconds = limits.answerSeconds
    }
    client.timer.arm(afterSeconds: seconds)
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
    if client.isDraining && isStreaming && client.output.isEmpty && events.isAtBoundary {
      return .cut(.draining)
    }
    if client.stream.peerClosed, let outcome = clientLeft() { return outcome }
    guard client.timer.fired else { return nil }
    if clientLeftAt != nil { return .clientGone }
    if isStreaming {
      guard client.output.isEmpty else { return .clientGone }
      beat()
      return nil
    }
    if !requestDone && !sentHead {
      // Whose turn it is decides whose fault it is, and the deadline may have moved meanwhile.
      let stall = Duration.seconds(client.limits.stallSeconds)
      let deadline = blockedSince.map { $0.advanced(by: stall) } ?? bodyDeadline
      if deadline > loop.now {
        client.timer.arm(at: deadline)
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
      client.timer.arm(at: left.advanced(by: .milliseconds(500)))
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
        to: client.output, chunked: chunksAnswer)
      _ = flushDown()
    }
    client.timer.arm(afterSeconds: limits.heartbeatSeconds)
  }

  /// Ends a stream that we cut ourselves: cleanly where the client can see that it is an end.
  func endStream() async {
    if isStreaming && events.isAtBoundary && client.output.isEmpty && chunksAnswer {
      client.output.append("0\r\n\r\n")
      _ = await client.flush()
      client.stream.close()
    } else {
      client.stream.close(reset: true)
    }
  }

  func release() {
    if let buffer = down, buffer.isEmpty {
      down = nil
      loop.giveBack(buffer)
    }
    if isStreaming { client.releaseHead() }
    client.releaseBuffers()
  }
}
