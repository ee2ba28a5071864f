// Opens listening sockets and accepts from them on a loop. When descriptors run out it pauses and
// goes on, without spinning. What a connection is for is the caller's business.

import CLinux
import Clocks
import EventLoop
import Glibc
import Posix

/// A bound, listening, non-blocking socket.
public struct ListeningSocket: ~Copyable {
  let descriptor: Descriptor
  /// The address in use, with the real port when 0 was asked for.
  public let address: SocketAddress

  /// Binds and listens. Several sockets may share one TCP address (SO_REUSEPORT, one per loop); a
  /// Unix path gets `mode` and replaces a socket file that nobody listens on.
  /// - Throws: `Errno` of the failing call.
  public init(
    _ address: SocketAddress, reusingPort: Bool = false, mode: UInt32 = 0o660
  ) throws(Errno) {
    let type = Int32(bindery_sock_stream) | O_CLOEXEC | O_NONBLOCK
    let number = socket(address.family, type, 0)
    guard number >= 0 else { throw .last }
    let opened = Descriptor(owning: number)
    if case .unix(let path) = address { try Self.removeStale(path, address) }
    setFlag(number, SOL_SOCKET, SO_REUSEADDR)
    if reusingPort { setFlag(number, SOL_SOCKET, SO_REUSEPORT) }
    if address.family == AF_INET6 { setFlag(number, Int32(IPPROTO_IPV6), IPV6_V6ONLY) }
    guard try address.withSockAddr({ bind(number, $0, $1) }) == 0 else { throw .last }
    if case .unix(let path) = address, chmod(path, mode) != 0 { throw .last }
    guard listen(number, 4096) == 0 else { throw .last }
    self.address = Self.boundAddress(number) ?? address
    descriptor = opened
  }

  /// `address` with a free port in place of 0; another process may take it before it is used.
  /// - Throws: `Errno` of the failing call.
  public static func choosingPort(_ address: SocketAddress) throws(Errno) -> SocketAddress {
    guard case .ip(_, 0) = address else { return address }
    let number = socket(address.family, Int32(bindery_sock_stream) | O_CLOEXEC, 0)
    guard number >= 0 else { throw .last }
    let probe = Descriptor(owning: number)
    guard try address.withSockAddr({ bind(probe.number, $0, $1) }) == 0 else { throw .last }
    return boundAddress(probe.number) ?? address
  }

  private static func boundAddress(_ number: Int32) -> SocketAddress? {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let code = withUnsafeMutablePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(number, $0, &length) }
    }
    return code == 0 ? SocketAddress(storage) : nil
  }

  private static func removeStale(_ path: String, _ address: SocketAddress) throws(Errno) {
    let probe = socket(AF_UNIX, Int32(bindery_sock_stream) | O_CLOEXEC | O_NONBLOCK, 0)
    guard probe >= 0 else { throw .last }
    defer { close(probe) }
    let code = try address.withSockAddr { connect(probe, $0, $1) }
    if code == 0 { throw Errno(code: EADDRINUSE) }
    if errno == ECONNREFUSED { unlink(path) }
  }
}

/// Accepts connections of one listening socket on one loop.
public final class Listener {
  private let loop: EventLoop
  private let descriptor: Descriptor
  private let parker = Parker()
  private let pause: Timer
  private let watch: Watch
  private var closed = false
  /// The address in use.
  public let address: SocketAddress
  /// Accept failures since the start: descriptors or memory ran out.
  public private(set) var refusals = 0

  /// Takes over `socket` on the loop where the caller runs.
  /// - Throws: `Errno` when the loop can not watch it.
  public init(_ socket: consuming ListeningSocket, loop: EventLoop) throws(Errno) {
    self.loop = loop
    address = socket.address
    watch = try loop.watchListener(socket.descriptor.number, parker: parker)
    descriptor = socket.takeDescriptor()
    pause = Timer(loop: loop, parker: parker)
  }

  /// Stops accepting; `accept` then returns. The socket closes when this value goes.
  public func stop() {
    closed = true
    loop.forget(watch)
    parker.unpark()
  }

  /// Gives every new connection to `receive` until `stop`; nil as address for a Unix peer.
  public func accept(_ receive: (consuming Descriptor, SocketAddress?) -> Void) async {
    while !closed {
      acceptWaiting(receive)
      if closed { return }
      await parker.park()
      watch.canRead = true
    }
  }

  private func acceptWaiting(_ receive: (consuming Descriptor, SocketAddress?) -> Void) {
    var taken = 0
    while !closed && taken < 64 {
      var storage = sockaddr_storage()
      var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
      let number = withUnsafeMutablePointer(to: &storage) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          accept4(descriptor.number, $0, &length, O_CLOEXEC | O_NONBLOCK)
        }
      }
      if number >= 0 {
        taken += 1
        let peer = SocketAddress(storage)
        if case .ip = peer { setFlag(number, Int32(IPPROTO_TCP), TCP_NODELAY) }
        receive(Descriptor(owning: number), peer)
        continue
      }
      switch errno {
      case EINTR, ECONNABORTED, EPROTO: continue
      case EAGAIN: return
      default:
        refusals += 1
        pause.arm(after: .milliseconds(100))
        return
      }
    }
    if taken == 64 { parker.unpark() }  // let the others of this loop run, then go on
  }
}

extension ListeningSocket {
  consuming func takeDescriptor() -> Descriptor { descriptor }
}

func setFlag(_ number: Int32, _ level: Int32, _ option: Int32) {
  var on: Int32 = 1
  setsockopt(number, level, option, &on, socklen_t(MemoryLayout<Int32>.size))
}
