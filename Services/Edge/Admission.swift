// The first questions to a request, before any credential is looked at: is it for us (Host), may a
// browser's page ask it (Origin), and who is asking (address). Built from the settings once; pure.

import Bytes
import Glibc
import HTTPCodec
import HTTPServer
import Posix
import Transport

/// What is served here and to whom.
final class Admission: Sendable {
  /// Authorities in lower case that `Host` may name.
  private let authorities: [[UInt8]]
  /// Origins in lower case, or nil for all.
  private let origins: [[UInt8]]?
  private let trustedProxies: [CIDR]

  /// - Parameters:
  ///   - authorities: `host` or `host:port` texts of PUBLIC_URL and the listeners.
  ///   - origins: browser origins that may ask, nil for any.
  init(authorities: [String], origins: [String]?, trustedProxies: [CIDR]) {
    self.authorities = authorities.map { Array($0.lowercased().utf8) }
    self.origins = origins?.map { Array($0.lowercased().utf8) }
    self.trustedProxies = trustedProxies
  }

  /// Refuses a request for somebody else's host or from a foreign page.
  func check(_ head: RequestHead, in bytes: UnsafeRawBufferPointer) throws(Refusal) {
    let host = head.host(in: bytes)
    guard authorities.contains(where: { equalsIgnoringCase(host, $0) }) else {
      throw .misdirected
    }
    guard let origin = head.value(.origin, in: bytes), let origins else { return }
    // MCP clients in browsers register and fetch tokens from anywhere, without cookies; the
    // authorization server itself says which of its paths pages may read.
    let path = head.rawPath(in: bytes)
    if path.starts(with: "/oauth/".utf8) || path.starts(with: "/.well-known/".utf8)
      || path.elementsEqual("/token".utf8) || path.elementsEqual("/register".utf8)
    {
      return
    }
    guard origins.contains(where: { equalsIgnoringCase(origin, $0) }) else {
      throw .originForbidden
    }
  }

  /// The client's address: the peer's, or what a trusted proxy says, read from the right.
  func client(
    of connection: ServerConnection, _ head: RequestHead, in bytes: UnsafeRawBufferPointer
  ) -> IPAddress? {
    guard case .ip(var address, _) = connection.peer else { return nil }
    guard !trustedProxies.isEmpty, isTrusted(address) else { return address }
    var hops: [UInt8] = []
    for field in head.fields where field.known == .xForwardedFor {
      if !hops.isEmpty { hops.append(UInt8(ascii: ",")) }
      hops.append(contentsOf: field.value(in: bytes))
    }
    for hop in hops.split(separator: UInt8(ascii: ",")).reversed() {
      let text = hop.filter { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\t") }
      guard let named = IPAddress(String(decoding: text, as: UTF8.self)) else { return address }
      address = named
      if !isTrusted(address) { return address }
    }
    return address
  }

  private func isTrusted(_ address: IPAddress) -> Bool {
    trustedProxies.contains { $0.contains(address) }
  }
}

/// Whether `text` is `lower` apart from the case of ASCII letters.
func equalsIgnoringCase(_ text: UnsafeRawBufferPointer, _ lower: [UInt8]) -> Bool {
  guard text.count == lower.count, let start = text.baseAddress else {
    return text.isEmpty && lower.isEmpty
  }
  if memcmp(start, lower, lower.count) == 0 { return true }
  for index in 0..<lower.count {
    let byte = text[index]
    let folded = (0x41...0x5a).contains(byte) ? byte | 0x20 : byte
    if folded != lower[index] { return false }
  }
  return true
}
