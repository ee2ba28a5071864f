// Listens on addresses over loops and runs one task per client connection: head, handler, next head,
// until somebody has had enough. Draining closes what is idle, lets requests finish, then cuts. What
// requests mean is the handler's.

import Bytes
import Clocks
import EventLoop
import HTTPCodec
import Posix
import Synchronization
import Transport

/// Where and how to listen.
public struct ListenOptions: Sendable {
  /// Addresses; a TCP address gets one socket per loop, a Unix path one socket on the first loop.
  public var addresses: [SocketAddress]
  /// Bounds on each connection.
  public var limits = ServerLimits()
  /// Certificate and key for the TCP addresses, or nil for plain.
  public var tls: ServerTLS?

  /// Listens on `addresses`.
  public init(addresses: [SocketAddress]) { self.addresses = addresses }
}

/// A server over several loops.
public final class WebServer: Sendable {
  private let loops: [EventLoop]
  private let workers: [LoopBound<LoopServer>]
  /// The addresses in use, with real ports, in the order asked for.
  public let addresses: [SocketAddress]

  /// Binds, and starts to accept.
  /// - Throws: `Errno` of the first address that can not be bound.
  public init(
    _ options: ListenOptions, loops: [EventLoop],
    makeHandler: @escaping @Sendable (EventLoop) -> any ExchangeHandler
  ) async throws(Errno) {
    var workers: [LoopBound<LoopServer>] = []
    for loop in loops {
      workers.append(
        await loop.run {
          let server = LoopServer(loop: loop, options: options, handler: makeHandler(loop))
          return LoopBound(here: server, on: loop)
        })
    }
    var bound: [SocketAddress] = []
    for address in options.addresses {
      bound.append(try await Self.listen(address, loops, workers))
    }
    self.loops = loops
    self.workers = workers
    addresses = bound
  }

  /// Serves collected requests with `handler`.
  /// - Throws: `Errno` of the first address that can not be bound.
  public convenience init(
    _ options: ListenOptions, loops: [EventLoop], handler: some RequestHandler
  ) async throws(Errno) {
    try await self.init(options, loops: loops) { _ in CollectingHandler(handler) }
  }

  private static func listen(
    _ address: SocketAddress, _ loops: [EventLoop], _ workers: [LoopBound<LoopServer>]
  ) async throws(Errno) -> SocketAddress {
    var target = address
    var shares = workers
    if case .unix = address { shares = [workers[0]] }
    for worker in shares {
      let place = target
      let many = shares.count > 1
      let result: Result<SocketAddress, Errno> = await worker.loop.run {
        do throws(Errno) {
          let socket = try ListeningSocket(place, reusingPort: many)
          return .success(try worker.value.accept(on: socket))
        } catch { return .failure(error) }
      }
      target = try result.get()
    }
    return target
  }

  /// Stops accepting and ends what is idle; waits up to `patience` for requests and streams, then
  /// cuts the rest.
  public func drain(patience: Duration) async {
    for worker in workers { await worker.loop.run { worker.value.drain() } }
    let deadline = Instant.now.advanced(by: patience)
    while Instant.now < deadline {
      if await connectionCount() == 0 { return }
      await loops[0].run {
        let parker = Parker()
        let timer = Timer(loop: self.loops[0], parker: parker)
        timer.arm(at: .now.advanced(by: .milliseconds(20)))
        await parker.park()
      }
    }
    for worker in workers { await worker.loop.run { worker.value.cut() } }
  }

  /// Open client connections now.
  public func connectionCount() async -> Int {
    var count = 0
    for worker in workers { count += await worker.loop.run { worker.value.count } }
    return count
  }
}

/// The part of a server that lives on one loop.
final class LoopServer {
  private let loop: EventLoop
  private let options: ListenOptions
  fileprivate let handler: any ExchangeHandler
  private var listeners: [Listener] = []
  private var connections: [ObjectIdentifier: ServerConnection] = [:]
  private var perClient: [IPAddress: Int] = [:]
  private var draining = false

  init(loop: EventLoop, options: ListenOptions, handler: any ExchangeHandler) {
    self.loop = loop
    self.options = options
    self.handler = handler
  }

  var count: Int { connections.count }

  func accept(on socket: consuming ListeningSocket) throws(Errno) -> SocketAddress {
    let listener = try Listener(socket, loop: loop)
    listeners.append(listener)
    let secure: Bool
    if case .ip = listener.address { secure = options.tls != nil } else { secure = false }
    let me = LoopBound(here: self, on: loop)
    let listening = LoopBound(here: listener, on: loop)
    loop.spawn {
      let server = me.value
      await listening.value.accept { descriptor, peer in
        server.start(descriptor, peer: peer, secure: secure)
      }
    }
    return listener.address
  }

  func drain() {
    draining = true
    for listener in listeners { listener.stop() }
    listeners.removeAll()
    for connection in connections.values { connection.isDraining = true }
  }

  func cut() {
    for connection in connections.values { connection.isCut = true }
  }

  private func start(_ descriptor: consuming Descriptor, peer: SocketAddress?, secure: Bool) {
    let client: IPAddress? =
      if case .ip(let address, _) = peer { address.clientNetwork } else { nil }
    if let client {
      guard perClient[client, default: 0] < options.limits.strangersPerClientMax else { return }
    }
    guard connections.count < options.limits.connectionsMax else { return }
    let parker = Parker(on: loop)
    guard let stream = try? Stream(owning: descriptor, loop: loop, parker: parker) else { return }
    let connection = ServerConnection(
      stream: stream, parker: parker, peer: peer, limits: options.limits)
    let id = ObjectIdentifier(connection)
    connections[id] = connection
    if let client {
      perClient[client, default: 0] += 1
      connection.whenTrusted = { [unowned self] in forget(client) }
    }
    if draining { connection.isDraining = true }
    let bound = LoopBound(here: (self, connection), on: loop)
    loop.spawn {
      let (server, connection) = bound.value
      let ready = secure ? await server.secure(connection) : true
      if ready { await Conversation(connection, server.handler).run() }
      connection.finish()
      server.connections[id] = nil
      connection.trust()
    }
  }

  private func forget(_ client: IPAddress) {
    let left = perClient[client, default: 1] - 1
    perClient[client] = left > 0 ? left : nil
  }

  private func secure(_ connection: ServerConnection) async -> Bool {
    guard let tls = options.tls else { return false }
    do throws(ConnectError) {
      try await Connector.handshake(
        connection.stream, with: tls.makeSession(), loop: loop, parker: connection.parker,
        deadline: loop.now.advanced(by: .seconds(options.limits.handshakeSeconds)))
      return true
    } catch { return false }
  }
}
