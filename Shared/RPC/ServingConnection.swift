// One caller's connection, from its greeting to its end: greet, then answer its calls, several
// at a time, in the order in which they finish. Promises: nothing of a call is decoded before
// the caller table admitted it; a bad frame ends this connection and no other; a caller that
// does not read its answers is not read either. Loop-confined.

import Clocks
import EventLoop
import Logging

final class ServingConnection {
  private enum State {
    case greeting
    case serving(Introduction)
    case over
  }

  private let channel: FrameChannel
  private let server: RPCServer
  private var state = State.greeting
  private(set) var callsUnderWay = 0
  private var isDraining = false
  /// The caller said that it asks nothing more; it may still read.
  private var hasEnded = false

  init(_ channel: FrameChannel, server: RPCServer) {
    self.channel = channel
    self.server = server
  }

  func run() async {
    let timer = Timer(loop: server.loop, parker: channel.parker)
    timer.arm(after: server.limits.greetingMax)
    do throws(ChannelError) {
      if let frame = try? Greeting(service: server.service, build: server.build).frame() {
        channel.send(frame)
      }
      while true {
        try channel.flush()
        try takeFrames()
        try channel.flush()
        switch state {
        case .over: break
        case .greeting where timer.fired || hasEnded: state = .over
        case .greeting: break
        case .serving:
          timer.disarm()
          let isQuiet = callsUnderWay == 0 && channel.queuedBytes == 0
          if isQuiet && (isDraining || hasEnded) { state = .over }
        }
        if case .over = state { break }
        await channel.parker.park()
      }
    } catch {
      if case .malformed = error { server.log.warning("rpc_frame_malformed") }
      if case .stalled = error { server.log.warning("rpc_peer_stalled") }
    }
    state = .over
    timer.cancel()
    channel.close()
    server.forget(self)
  }

  /// Reads what is there, within fairness to other connections; a caller that leaves its answers
  /// unread gets no further call read.
  private func takeFrames() throws(ChannelError) {
    var taken = 0
    while !hasEnded && channel.queuedBytes < server.limits.queuedBytesMax {
      guard taken < 64 else { return channel.parker.unpark() }
      do throws(ChannelError) {
        guard let frame = try channel.receive() else { return }
        receive(frame)
        taken += 1
      } catch .ended {
        hasEnded = true
      }
    }
  }

  /// Refuses further calls and ends once those under way are answered.
  func drain() {
    isDraining = true
    if case .greeting = state { state = .over }
    channel.parker.unpark()
  }

  /// Ends now.
  func cut() {
    state = .over
    channel.parker.unpark()
  }

  private func receive(_ frame: Frame) {
    switch state {
    case .over: return
    case .greeting: greet(frame)
    case .serving(let introduction): answer(frame, from: introduction)
    }
  }

  private func greet(_ frame: Frame) {
    do throws(GreetingError) {
      let introduction = try Greeting.admit(frame)
      channel.version = introduction.version
      state = .serving(introduction)
    } catch {
      server.log.warning("rpc_greeting_refused", ["reason": .literal(error.label)])
      state = .over
    }
  }

  private func answer(_ frame: Frame, from introduction: Introduction) {
    guard frame.kind == .call else {
      server.log.warning("rpc_frame_unexpected", ["peer": .literal(introduction.peer.label)])
      state = .over
      return
    }
    let deadline = server.loop.now.advanced(by: .milliseconds(frame.deadlineMilliseconds))
    do throws(Refusal) {
      if isDraining { throw .draining }
      guard callsUnderWay < server.limits.callsMax else { throw .overloaded }
      let call = try CallFrame.admit(frame.payload, from: introduction.peer, at: server.service)
      guard let handler = server.handlers[call.name] else { throw .unknownCall }
      let context = CallContext(caller: introduction.peer, deadline: deadline)
      let bound = LoopBound(here: self, on: server.loop)
      let (id, version) = (frame.id, introduction.version)
      callsUnderWay += 1
      server.loop.spawn {
        let result = await handler(call.request, context)
        bound.value.finish(id: id, version: version, with: result)
      }
    } catch {
      if error == .notAllowed {
        server.log.warning("rpc_call_refused", ["peer": .literal(introduction.peer.label)])
      }
      refuse(id: frame.id, version: introduction.version, error)
    }
  }

  private func finish(id: UInt64, version: UInt8, with result: Result<[UInt8], Refusal>) {
    callsUnderWay -= 1
    switch result {
    case .success(let payload):
      channel.send(Frame(version: version, kind: .reply, id: id, payload: payload))
    case .failure(let refusal): refuse(id: id, version: version, refusal)
    }
  }

  private func refuse(id: UInt64, version: UInt8, _ refusal: Refusal) {
    channel.send(
      Frame(version: version, kind: .refusal, id: id, payload: Array(refusal.rawValue.utf8)))
  }
}
