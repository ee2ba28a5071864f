// Where a socket listens or connects: an IP address with a port, or a path. Translates to and from
// the kernel's structures; no names here, those are Transport's Resolver.

import CLinux
import Glibc

/// An address that a stream socket can have.
public enum SocketAddress: Hashable, Sendable, CustomStringConvertible {
  case ip(IPAddress, port: UInt16)
  case unix(path: String)

  /// `127.0.0.1:8080`, `[::1]:8080`, or nil; the port is 0 to 65535 in plain digits.
  public init?(_ text: String) {
    guard let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")) else { return nil }
    var host = text[..<colon]
    let digits = text[text.utf8.index(after: colon)...].utf8
    guard (1...5).contains(digits.count), digits.allSatisfy({ (48...57).contains($0) }) else {
      return nil
    }
    let port = digits.reduce(0) { $0 * 10 + Int($1 - 48) }
    guard port <= 65535 else { return nil }
    if host.hasPrefix("["), host.hasSuffix("]") {
      host = host.dropFirst().dropLast()
      guard host.utf8.contains(UInt8(ascii: ":")) else { return nil }
    } else if host.utf8.contains(UInt8(ascii: ":")) {
      return nil
    }
    guard let address = IPAddress(String(host)) else { return nil }
    self = .ip(address, port: UInt16(port))
  }

  /// The text that `init` reads; `unix:` and the path for a path.
  public var description: String {
    switch self {
    case .ip(let address, let port):
      address.isV4 ? "\(address):\(port)" : "[\(address)]:\(port)"
    case .unix(let path): "unix:\(path)"
    }
  }

  /// AF_INET, AF_INET6 or AF_UNIX.
  public var family: Int32 {
    switch self {
    case .ip(let address, _): address.isV4 ? AF_INET : AF_INET6
    case .unix: AF_UNIX
    }
  }

  /// Lends the kernel's structure to `body`.
  /// - Throws: `Errno` ENAMETOOLONG for a path over 107 bytes.
  public func withSockAddr<R>(
    _ body: (UnsafePointer<sockaddr>, socklen_t) -> R
  ) throws(Errno) -> R {
    var storage = sockaddr_storage()
    let length: socklen_t
    switch self {
    case .ip(let address, let port) where address.isV4:
      var v4 = sockaddr_in()
      v4.sin_family = sa_family_t(AF_INET)
      v4.sin_port = port.bigEndian
      v4.sin_addr.s_addr = address.v4Bits.bigEndian
      length = socklen_t(MemoryLayout<sockaddr_in>.size)
      withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: v4, as: sockaddr_in.self) }
    case .ip(let address, let port):
      var v6 = sockaddr_in6()
      v6.sin6_family = sa_family_t(AF_INET6)
      v6.sin6_port = port.bigEndian
      withUnsafeMutableBytes(of: &v6.sin6_addr) {
        $0.storeBytes(of: address.high.bigEndian, as: UInt64.self)
        $0.storeBytes(of: address.low.bigEndian, toByteOffset: 8, as: UInt64.self)
      }
      length = socklen_t(MemoryLayout<sockaddr_in6>.size)
      withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: v6, as: sockaddr_in6.self) }
    case .unix(let path):
      let bytes = Array(path.utf8)
      guard bytes.count < 108, !bytes.contains(0) else { throw Errno(code: ENAMETOOLONG) }
      let offset = MemoryLayout<sa_family_t>.size
      withUnsafeMutableBytes(of: &storage) {
        $0.storeBytes(of: sa_family_t(AF_UNIX), as: sa_family_t.self)
        $0[offset..<offset + bytes.count].copyBytes(from: bytes)
      }
      length = socklen_t(offset + bytes.count + 1)
    }
    return withUnsafePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
    }
  }

  /// The address in the kernel's structure, or nil for a family that is not ours.
  public init?(_ storage: sockaddr_storage) {
    var storage = storage
    switch Int32(storage.ss_family) {
    case AF_INET:
      let v4 = withUnsafeBytes(of: &storage) { $0.load(as: sockaddr_in.self) }
      self = .ip(
        IPAddress(v4: UInt32(bigEndian: v4.sin_addr.s_addr)), port: UInt16(bigEndian: v4.sin_port))
    case AF_INET6:
      var v6 = withUnsafeBytes(of: &storage) { $0.load(as: sockaddr_in6.self) }
      let address = withUnsafeBytes(of: &v6.sin6_addr) { IPAddress(bytes: $0) }
      self = .ip(address, port: UInt16(bigEndian: v6.sin6_port))
    case AF_UNIX:
      let bytes = withUnsafeBytes(of: &storage) { Array($0.dropFirst(2).prefix { $0 != 0 }) }
      self = .unix(path: String(decoding: bytes, as: UTF8.self))
    default: return nil
    }
  }
}

/// Who is at the other end of a Unix socket, as the kernel says (SO_PEERCRED).
public struct PeerCredentials: Equatable, Sendable {
  /// The process that connected or listened.
  public let pid: Int32
  /// Its user.
  public let uid: UInt32
  /// Its group.
  public let gid: UInt32

  /// The credentials of the peer of a connected Unix socket.
  /// - Throws: `Errno` of getsockopt.
  public init(ofSocket number: Int32) throws(Errno) {
    var credentials = bindery_ucred()
    var length = socklen_t(MemoryLayout<bindery_ucred>.size)
    guard getsockopt(number, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0 else {
      throw .last
    }
    pid = credentials.pid
    uid = credentials.uid
    gid = credentials.gid
  }
}
