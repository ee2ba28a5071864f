// EDGE_LISTEN with port 0 under `bindery up`: the port has to be known before the services start,
// because auth writes it into every secret URL. So it is chosen here, unless PUBLIC_URL says where
// the world finds the edge anyway.

import CLinux
import Configuration
import Glibc
import Posix

/// Chooses a port that is free now.
enum FreePort {
  /// The environment with a chosen port in EDGE_LISTEN where one has to be chosen.
  static func chosen(in environment: Environment) throws(CommandFailure) -> Environment {
    let name = "\(Setting.edgeListen.name)"
    guard !environment.isSet(.publicURL), let bytes = environment[name],
      let address = SocketAddress(String(decoding: bytes, as: UTF8.self)),
      case .ip(let ip, port: 0) = address
    else { return environment }
    let socket = Descriptor(owning: socket(address.family, Int32(SOCK_STREAM.rawValue), 0))
    guard socket.number >= 0 else { throw .failed("no socket (\(Errno.last.name))") }
    var found = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let bound: Int32
    do throws(Errno) {
      bound = try address.withSockAddr { bind(socket.number, $0, $1) }
    } catch {
      throw .failed("EDGE_LISTEN cannot be bound (\(error.name))")
    }
    let status = withUnsafeMutableBytes(of: &found) { bytes in
      getsockname(
        socket.number, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self), &length)
    }
    guard bound == 0, status == 0, case .ip(_, let port)? = SocketAddress(found) else {
      throw .failed("EDGE_LISTEN cannot be bound (\(Errno.last.name))")
    }
    return environment.setting([name: "\(SocketAddress.ip(ip, port: port))"])
  }
}
