// The client's side of one connection: connect, greet, send calls, hand out answers, and start
// over when it breaks. One task keeps it (`keep`); each call waits in `exchange` with a parker
// and a timer of its own. Loop-confined.

import Clocks
import EventLoop
import Logging
import Posix
import Transport

final class CallingConnection {
  private enum State {
    case apart
    case together(FrameChannel, Introduction)
    case stopped
  }

  /// One call under way, or waiting for the connection.
  private final class Waiting {
    let parker = Parker()
    var outcome: Result<[UInt8], RPCError>?

    func settle(_ result: Result<[UInt8], RPCError>) {
      if outcome == nil { outcome = result }
      parker.unpark()
    }
  }

  private let address: SocketAddress
  private let peer: Service
  private let greeting: Frame?
  private let policy: PeerPolicy
  private let limits: RPCLimits
  private let loop: EventLoop
  private let log: Log
  private let flag: ConnectionFlag
  private let parker = Parker()
  private var state = State.apart
  private var failure: RPCError
  private var isWanted = false
  private var nextID: UInt64 = 1
  private var calls: [UInt64: Waiting] = [:]
  private var hopefuls: [ObjectIdentifier: Waiting] = [:]

  init(
    to address: SocketAddress, peer: Service, as service: Service, build: String,
    policy: PeerPolicy, limits: RPCLimits, loop: EventLoop, log: Log, flag: ConnectionFlag
  ) {
    self.address = address
    self.peer = peer
    self.policy = policy
    self.limits = limits
    self.loop = loop
    self.log = log
    self.flag = flag
    greeting = try? Greeting(service: service, build: build).frame()
    failure = .unreachable(peer)
  }

  // MARK: Calls

  func exchange(_ payload: [UInt8], deadline: Instant) async -> Result<[UInt8], RPCError> {
    let waiting = Waiting()
    let timer = Timer(loop: loop, parker: waiting.parker)
    defer { timer.cancel() }
    guard calls.count + hopefuls.count < limits.callsMax else {
      return .failure(.overloaded(peer))
    }
    if case .apart = state {
      await awaitConnection(waiting, timer, deadline)
    }
    guard case .together(let channel, let introduction) = state else {
      return .failure(failure)
    }
    let left = Instant.now.duration(to: deadline)
    guard left > .zero else { return .failure(.unreachable(peer)) }
    guard channel.queuedBytes + payload.count <= limits.queuedBytesMax else {
      return .failure(.overloaded(peer))
    }
    let id = nextID
    nextID += 1
    calls[id] = waiting
    defer { calls[id] = nil }
    channel.send(
      Frame(
        version: introduction.version, kind: .call, id: id,
        deadlineMilliseconds: milliseconds(left), payload: payload))
    timer.arm(at: deadline)
    while true {
      if let outcome = waiting.outcome { return outcome }
      if timer.fired { return .failure(.deadlineExceeded(peer)) }
      await waiting.parker.park()
    }
  }

  /// Waits a moment for a connection and makes the keeper try at once.
  private func awaitConnection(_ waiting: Waiting, _ timer: Timer, _ deadline: Instant) async {
    hopefuls[ObjectIdentifier(waiting)] = waiting
    defer { hopefuls[ObjectIdentifier(waiting)] = nil }
    isWanted = true
    parker.unpark()
    timer.arm(at: min(deadline, Instant.now.advanced(by: limits.connectMax)))
    while case .apart = state, !timer.fired { await waiting.parker.park() }
  }

  private func milliseconds(_ duration: Duration) -> UInt32 {
    let (seconds, attoseconds) = duration.components
    return UInt32(clamping: seconds * 1_000 + attoseconds / 1_000_000_000_000_000 + 1)
  }

  // MARK: The keeper

  func stop() {
    let before = state
    state = .stopped
    failure = .unreachable(peer)
    if case .together(let channel, _) = before { channel.close() }
    settleAll()
    parker.unpark()
  }

  func keep() async {
    var backoff = Backoff()
    let pause = Timer(loop: loop, parker: parker)
    defer { pause.cancel() }
    while true {
      if case .stopped = state { return }
      isWanted = false
      if let (channel, introduction) = await meet() {
        if case .stopped = state { return channel.close() }
        backoff.reset()
        state = .together(channel, introduction)
        flag.value.store(true, ordering: .releasing)
        log.debug("rpc_connected", ["peer": .literal(peer.label)])
        for hopeful in hopefuls.values { hopeful.parker.unpark() }
        await pump(channel)
        flag.value.store(false, ordering: .releasing)
        channel.close()
        if case .stopped = state { return }
        state = .apart
        failure = .disconnected(peer)
        settleAll()
        failure = .unreachable(peer)
      }
      // A waiting call shortens the pause to its first step, no further: a peer that is gone is
      // not hammered.
      let wait = backoff.next(dice: Randomness.uint64())
      let soonest = Instant.now.advanced(by: min(wait, Backoff.first))
      pause.arm(at: Instant.now.advanced(by: wait))
      while !pause.fired {
        if case .stopped = state { return }
        if isWanted && Instant.now >= soonest { break }
        if isWanted { pause.arm(at: soonest) }
        await parker.park()
      }
      pause.disarm()
    }
  }

  private func settleAll() {
    for call in calls.values { call.settle(.failure(failure)) }
    for hopeful in hopefuls.values { hopeful.parker.unpark() }
  }

  /// Connects and exchanges greetings; nil when it did not come to that.
  private func meet() async -> (FrameChannel, Introduction)? {
    guard let greeting else { return nil }
    let deadline = Instant.now.advanced(by: limits.greetingMax)
    guard
      let stream = try? await Connector.connect(
        to: address, loop: loop, parker: parker, deadline: deadline)
    else {
      failure = .unreachable(peer)
      return nil
    }
    // The server's credentials count as much: a call may carry what no stranger should read.
    guard let credentials = try? PeerCredentials(ofSocket: stream.descriptor),
      policy.admits(userID: credentials.uid, groupID: credentials.gid)
    else {
      log.warning("rpc_peer_refused", ["peer": .literal(peer.label)])
      failure = .wrongPeer(peer)
      return nil
    }
    let channel = FrameChannel(stream, parker: parker, limits: limits)
    channel.send(greeting)
    guard let frame = await firstFrame(of: channel, deadline: deadline) else {
      channel.close()
      failure = .unreachable(peer)
      return nil
    }
    do throws(GreetingError) {
      let introduction = try Greeting.admit(frame, expecting: peer)
      channel.version = introduction.version
      return (channel, introduction)
    } catch {
      log.warning(
        "rpc_greeting_refused",
        ["peer": .literal(peer.label), "reason": .literal(error.label)])
      channel.close()
      failure = .wrongPeer(peer)
      return nil
    }
  }

  private func firstFrame(of channel: FrameChannel, deadline: Instant) async -> Frame? {
    let timer = Timer(loop: loop, parker: parker)
    timer.arm(at: deadline)
    defer { timer.cancel() }
    while !timer.fired {
      do throws(ChannelError) {
        try channel.flush()
        if let frame = try channel.receive() { return frame }
      } catch { return nil }
      if case .stopped = state { return nil }
      await parker.park()
    }
    return nil
  }

  /// Moves frames until the connection is over.
  private func pump(_ channel: FrameChannel) async {
    while true {
      if case .stopped = state { return }
      do throws(ChannelError) {
        try channel.flush()
        while let frame = try channel.receive() {
          guard settle(frame) else {
            log.warning("rpc_frame_unexpected", ["peer": .literal(peer.label)])
            return
          }
        }
        try channel.flush()
      } catch {
        if case .malformed = error {
          log.warning("rpc_frame_malformed", ["peer": .literal(peer.label)])
        }
        return
      }
      await parker.park()
    }
  }

  /// Hands an answer to its call; one that nobody waits for any more is dropped.
  private func settle(_ frame: Frame) -> Bool {
    switch frame.kind {
    case .reply: calls[frame.id]?.settle(.success(frame.payload))
    case .refusal:
      calls[frame.id]?.settle(.failure(.refused(peer, CallFrame.refusal(frame.payload))))
    case .greeting, .call: return false
    }
    return true
  }
}
