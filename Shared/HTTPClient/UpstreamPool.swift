// Opens upstream connections and keeps idle ones for a short while. Idle connections belong to a
// lane: one origin, one tenant. A connection never leaves its lane, so one tenant's bytes can not
// reach another; one that spoke unasked is never lent again. Loop-confined.

import Bytes
import Clocks
import EventLoop
import HTTPCodec
import Posix
import Transport

/// An open connection to an upstream, lent to one request at a time.
public final class UpstreamConnection {
  /// The socket.
  public let stream: Stream
  /// Requests that it was lent to, the present one included.
  public private(set) var uses = 0
  /// Where it belongs.
  fileprivate unowned let lane: UpstreamLane
  fileprivate var idleSince = Instant(nanoseconds: 0)
  /// Bytes that came from the upstream and were not consumed.
  public let input: Buffer
  /// The head of the present answer.
  public let head = ResponseHead()

  fileprivate init(stream: Stream, lane: UpstreamLane) {
    self.stream = stream
    self.lane = lane
    input = Buffer(pool: stream.loop.buffers)
  }

  fileprivate func lend(to parker: Parker) {
    stream.parker = parker
    uses += 1
  }
}

/// The idle connections of one tenant at one origin.
public final class UpstreamLane {
  /// The server.
  public let origin: Origin
  fileprivate var idle: [UpstreamConnection] = []
  fileprivate var isSwept = false

  /// A lane without connections; whoever holds it is the tenant.
  public init(_ origin: Origin) { self.origin = origin }
}

/// The upstream connections of one loop.
public final class UpstreamPool {
  private let loop: EventLoop
  private let resolver: Resolver
  private let tls: ClientTLS
  private var swept: [UpstreamLane] = []
  private var tickets: [Origin: ResumptionTicket] = [:]
  private var idleCount = 0
  private let idleMax: Int
  private let idleSeconds: Int
  private var sweeping = false

  /// A pool that keeps at most `idleMax` idle connections, each at most `idleSeconds`: less than the
  /// five seconds after which common servers close, because a request that meets a closing
  /// connection can not be sent again.
  public init(
    loop: EventLoop, resolver: Resolver, tls: ClientTLS, idleMax: Int = 2048, idleSeconds: Int = 4
  ) {
    self.loop = loop
    self.resolver = resolver
    self.tls = tls
    self.idleMax = idleMax
    self.idleSeconds = idleSeconds
  }

  /// An idle connection of `lane`, or nil; it wakes `parker` from now on.
  public func reuse(_ lane: UpstreamLane, parker: Parker) -> UpstreamConnection? {
    while let connection = lane.idle.popLast() {
      idleCount -= 1
      // Bytes or an end that nobody asked for: whatever it is, it is not the next answer.
      if connection.stream.canRead || connection.stream.peerClosed {
        connection.stream.close()
        continue
      }
      connection.lend(to: parker)
      return connection
    }
    return nil
  }

  /// A new connection of `lane`, which the caller holds as long as the connection.
  /// - Throws: `ConnectError`.
  public func open(
    _ lane: UpstreamLane, parker: Parker, deadline: Instant
  ) async throws(ConnectError) -> UpstreamConnection {
    let origin = lane.origin
    let targets = try await Lookup.targets(
      of: origin, resolver: resolver, loop: loop, parker: parker, deadline: deadline)
    let stream = try await Connector.connect(
      toFirstOf: targets, loop: loop, parker: parker, deadline: deadline)
    if origin.isSecure {
      let session = tls.makeSession(host: origin.host, resuming: tickets[origin])
      try await Connector.handshake(
        stream, with: session, loop: loop, parker: parker, deadline: deadline)
    }
    let connection = UpstreamConnection(stream: stream, lane: lane)
    connection.lend(to: parker)
    return connection
  }

  /// Takes back a connection whose last exchange ended cleanly; it may be lent again.
  public func giveBack(_ connection: UpstreamConnection) {
    let stream = connection.stream
    let lane = connection.lane
    keepTicket(of: connection)
    guard stream.isOpen, !stream.canRead, !stream.peerClosed, idleCount < idleMax else {
      stream.close()
      return
    }
    stream.parker = nil
    connection.idleSince = loop.now
    lane.idle.append(connection)
    idleCount += 1
    if !lane.isSwept {
      lane.isSwept = true
      swept.append(lane)
      startSweeping()
    }
  }

  /// Closes a connection that must not be used again; the upstream sees no clean end with `reset`.
  public func discard(_ connection: UpstreamConnection, reset: Bool = true) {
    keepTicket(of: connection)
    connection.stream.close(reset: reset)
  }

  /// Remembers how to resume the session. Under TLS 1.3 a ticket serves once, and the next one comes
  /// with the answer, so this is done when a connection's first exchange ends, however it ends.
  private func keepTicket(of connection: UpstreamConnection) {
    guard connection.uses == 1, let session = connection.stream.tls,
      let ticket = ResumptionTicket(of: session)
    else { return }
    if tickets.count >= 1024 { tickets.removeAll() }
    tickets[connection.lane.origin] = ticket
  }

  private func startSweeping() {
    guard !sweeping else { return }
    sweeping = true
    let bound = LoopBound(here: self, on: loop)
    loop.spawn {
      let pool = bound.value
      let parker = Parker()
      let timer = Timer(loop: pool.loop, parker: parker)
      while !pool.swept.isEmpty {
        timer.arm(afterSeconds: 1)
        while !timer.fired { await parker.park() }
        pool.sweep()
      }
      pool.sweeping = false
    }
  }

  private func sweep() {
    let oldest = loop.now.advanced(by: .seconds(-idleSeconds))
    for lane in swept {
      let before = lane.idle.count
      lane.idle.removeAll { connection in
        let stale =
          connection.idleSince <= oldest || connection.stream.peerClosed
          || connection.stream.canRead
        if stale { connection.stream.close() }
        return stale
      }
      idleCount -= before - lane.idle.count
      if lane.idle.isEmpty { lane.isSwept = false }
    }
    swept.removeAll { !$0.isSwept }
  }
}
