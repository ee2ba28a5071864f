// Who listens for calls, and for how long? One listening socket, a bounded number of
// connections, and a drain that lets calls under way finish. What happens on a connection is in
// ServingConnection.swift. Loop-confined.

import Clocks
import EventLoop
import Logging
import Posix
import Transport

/// The answering side of a service.
public final class RPCServer {
  let service: Service
  let build: String
  let policy: PeerPolicy
  let handlers: CallHandlers
  let limits: RPCLimits
  let log: Log
  let loop: EventLoop
  private let listener: Listener
  private var connections: [ObjectIdentifier: ServingConnection] = [:]
  private var isDraining = false
  private let quiet = Parker()

  /// Takes over a bound socket, on the loop where the caller runs.
  /// - Throws: `Errno` when the loop can not watch it.
  public init(
    _ socket: consuming ListeningSocket, service: Service, build: String, policy: PeerPolicy,
    handlers: CallHandlers, limits: RPCLimits = RPCLimits(), loop: EventLoop, log: Log
  ) throws(Errno) {
    self.service = service
    self.build = build
    self.policy = policy
    self.handlers = handlers
    self.limits = limits
    self.loop = loop
    self.log = log
    listener = try Listener(socket, loop: loop)
  }

  /// Serves until `drain`.
  public func run() async {
    await listener.accept { descriptor, _ in admit(descriptor) }
  }

  /// The number of open connections.
  public var connectionCount: Int { connections.count }

  /// The number of calls being answered.
  public var callsUnderWay: Int { connections.values.reduce(0) { $0 + $1.callsUnderWay } }

  private func admit(_ descriptor: consuming Descriptor) {
    guard connections.count < limits.connectionsMax else {
      log.warning("rpc_connections_full", ["max": .count(limits.connectionsMax)])
      return
    }
    guard let peer = try? PeerCredentials(ofSocket: descriptor.number),
      policy.admits(userID: peer.uid, groupID: peer.gid)
    else {
      log.warning("rpc_peer_refused")
      return
    }
    let parker = Parker()
    guard let stream = try? Stream(owning: descriptor, loop: loop, parker: parker) else { return }
    let connection = ServingConnection(
      FrameChannel(stream, parker: parker, limits: limits), server: self)
    connections[ObjectIdentifier(connection)] = connection
    let bound = LoopBound(here: connection, on: loop)
    loop.spawn { await bound.value.run() }
  }

  func forget(_ connection: ServingConnection) {
    connections[ObjectIdentifier(connection)] = nil
    if connections.isEmpty { quiet.unpark() }
  }

  /// Stops accepting, refuses further calls, lets those under way finish until `deadline`, and
  /// closes what is left.
  public func drain(deadline: Instant) async {
    guard !isDraining else { return }
    isDraining = true
    listener.stop()
    for connection in connections.values { connection.drain() }
    let timer = Timer(loop: loop, parker: quiet)
    timer.arm(at: deadline)
    while !connections.isEmpty && !timer.fired { await quiet.park() }
    timer.cancel()
    for connection in connections.values { connection.cut() }
  }
}
