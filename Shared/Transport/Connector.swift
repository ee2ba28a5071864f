// Opens connections: to one address, or to a host by trying its addresses in turn. Every wait has a
// deadline. It connects to whatever it is told: today all hosts come from the operator's settings.

import CLinux
import Clocks
import EventLoop
import Glibc
import Posix

/// Why a connection could not be made.
public enum ConnectError: Error, Equatable {
  /// The name does not resolve, or the resolver is overloaded.
  case unresolvable
  /// Nobody answered in time.
  case timeout
  /// The kernel said no (refused, unreachable, no descriptor).
  case refused(Errno)
  /// TLS could not be agreed or the certificate does not verify.
  case tls(TLSFailure)
}

/// Opens outgoing connections on the loop where it is called.
public enum Connector {
  /// Connects to `address` before `deadline`. The stream wakes `parker`, which the caller owns.
  /// - Throws: `ConnectError.refused` or `.timeout`.
  public static func connect(
    to address: SocketAddress, loop: EventLoop, parker: Parker, deadline: Instant
  ) async throws(ConnectError) -> Stream {
    let type = Int32(bindery_sock_stream) | O_CLOEXEC | O_NONBLOCK
    let number = socket(address.family, type, 0)
    guard number >= 0 else { throw .refused(.last) }
    let descriptor = Descriptor(owning: number)
    if case .ip = address { setFlag(number, Int32(IPPROTO_TCP), TCP_NODELAY) }
    let code: Int32
    do throws(Errno) {
      code = try address.withSockAddr { Glibc.connect(number, $0, $1) == 0 ? 0 : errno }
    } catch { throw .refused(error) }
    guard code == 0 || code == EINPROGRESS else { throw .refused(Errno(code: code)) }
    let stream: Stream
    do throws(Errno) {
      stream = try Stream(owning: descriptor, loop: loop, parker: parker)
    } catch { throw .refused(error) }
    if code == EINPROGRESS { try await finish(stream, loop, parker, deadline) }
    return stream
  }

  private static func finish(
    _ stream: Stream, _ loop: EventLoop, _ parker: Parker, _ deadline: Instant
  ) async throws(ConnectError) {
    let timer = Timer(loop: loop, parker: parker)
    timer.arm(at: deadline)
    defer { timer.cancel() }
    while !stream.isConnected {
      if timer.fired { throw .timeout }
      await parker.park()
    }
    var failure: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    getsockopt(stream.descriptor, SOL_SOCKET, SO_ERROR, &failure, &length)
    guard failure == 0 else { throw .refused(Errno(code: failure)) }
  }

  /// Tries `addresses` in turn, each with a fair part of the time left.
  /// - Throws: the failure of the last one.
  public static func connect(
    toFirstOf addresses: [SocketAddress], loop: EventLoop, parker: Parker, deadline: Instant
  ) async throws(ConnectError) -> Stream {
    var failure = ConnectError.unresolvable
    for (index, address) in addresses.enumerated() {
      let left = Instant.now.duration(to: deadline)
      if left <= .zero { throw .timeout }
      let part = Instant.now.advanced(by: left / (addresses.count - index))
      do throws(ConnectError) {
        return try await connect(to: address, loop: loop, parker: parker, deadline: part)
      } catch { failure = error }
    }
    throw failure
  }

  /// Brings `stream` under TLS before `deadline`.
  /// - Throws: `ConnectError.tls`, or `.timeout`.
  public static func handshake(
    _ stream: Stream, with session: TLSSession, loop: EventLoop, parker: Parker, deadline: Instant
  ) async throws(ConnectError) {
    stream.secure(session)
    let timer = Timer(loop: loop, parker: parker)
    timer.arm(at: deadline)
    defer { timer.cancel() }
    while true {
      switch session.handshake() {
      case .done: return
      case .failed(let failure): throw .tls(failure)
      case .wouldBlock:
        if timer.fired { throw .timeout }
        await parker.park()
      }
    }
  }
}
