// How does a service reach another? One lasting connection per peer, kept by a task that
// reconnects with jitter; any number of calls over it, each with its deadline. Calls may come
// from any task; they hop to the client's loop. Promises: a dead peer fails the calls under way
// at once and new ones within 100 ms; nothing is ever sent twice.

import Clocks
import EventLoop
import Logging
import Metrics
import Posix
import Synchronization

/// The calling side towards one peer.
public final class RPCClient: Sendable {
  public let peer: Service
  private let state: LoopBound<CallingConnection>
  private let connected: ConnectionFlag
  private let seconds: Family<Histogram, CallName>?

  /// A client of `peer`, whose socket is in `runDirectory`; it starts to connect at once.
  public init(
    to peer: Service, as service: Service, build: String, runDirectory: String,
    policy: PeerPolicy, limits: RPCLimits = RPCLimits(), loop: EventLoop, log: Log,
    seconds: Family<Histogram, CallName>? = nil
  ) {
    precondition(Service.listening.contains(peer), "this service is never called")
    self.peer = peer
    self.seconds = seconds
    let connected = ConnectionFlag()
    self.connected = connected
    let connection = CallingConnection(
      to: .unix(path: "\(runDirectory)/\(peer.socketName)"), peer: peer, as: service,
      build: build, policy: policy, limits: limits, loop: loop, log: log, flag: connected)
    state = LoopBound(connection, to: loop)
    let bound = state
    loop.spawn { await bound.value.keep() }
  }

  /// Whether greetings were exchanged and the connection stands.
  public var isConnected: Bool { connected.value.load(ordering: .acquiring) }

  /// Makes a call and waits for its answer, at most for the call's deadline or the one given.
  /// - Throws: `RPCError`, whose `isSurelyUndone` says whether it may be made again.
  public func call<C: Call>(
    _: C.Type, _ request: C.Request, within limit: Duration? = nil
  ) async throws(RPCError) -> C.Response {
    let start = Instant.now
    defer { seconds?[C.name].observe(start.duration(to: .now)) }
    let payload: [UInt8]
    do throws(PayloadError) {
      payload = try CallFrame.encode(C.name, request: try Payload.encode(request))
    } catch {
      if case .tooLarge(let count) = error { throw .requestTooLarge(count) }
      throw .requestTooLarge(0)
    }
    let deadline = start.advanced(by: limit ?? C.name.rule.deadline)
    let bound = state
    let result = await withTaskExecutorPreference(bound.loop) {
      await bound.value.exchange(payload, deadline: deadline)
    }
    let answer = try result.get()
    do { return try Payload.decode(C.Response.self, from: answer[...]) } catch {
      throw .malformedResponse(peer)
    }
  }

  /// Closes the connection and stops looking for the peer.
  public func stop() async {
    let bound = state
    await withTaskExecutorPreference(bound.loop) { bound.value.stop() }
  }
}

/// Whether a client's connection stands, readable from any thread.
final class ConnectionFlag: Sendable {
  let value = Atomic<Bool>(false)
}
