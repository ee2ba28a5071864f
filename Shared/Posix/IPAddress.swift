// Reads, writes and classifies IP addresses in binary. Text is parsed strictly (four decimal parts,
// or RFC 4291 text); an IPv4-mapped IPv6 address is the IPv4 address, so that no list has two
// spellings to forget.

import Glibc

/// An IPv4 or IPv6 address in canonical form.
public struct IPAddress: Hashable, Sendable, CustomStringConvertible {
  /// The first 64 bits as a number; IPv4 is ::ffff:a.b.c.d.
  public let high: UInt64
  /// The low 64 bits.
  public let low: UInt64

  /// The address of two words; see `high` and `low`.
  public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// The IPv4 address of 32 bits in host order.
  public init(v4 bits: UInt32) { self.init(high: 0, low: 0xffff_0000_0000 | UInt64(bits)) }

  /// The address of 16 bytes in network order.
  public init(bytes: UnsafeRawBufferPointer) {
    precondition(bytes.count == 16)
    self.init(
      high: UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)),
      low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
  }

  /// The 16 bytes in network order.
  public var bytes: [UInt8] {
    withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) { [UInt8]($0) }
  }

  /// The address that `text` writes, or nil; no zone, no brackets, no octal or short IPv4.
  public init?(_ text: String) {
    guard text.utf8.count <= 45, !text.utf8.contains(0) else { return nil }
    var v4 = in_addr()
    var v6 = in6_addr()
    if !text.utf8.contains(UInt8(ascii: ":")) {
      guard inet_pton(AF_INET, text, &v4) == 1 else { return nil }
      self.init(v4: UInt32(bigEndian: v4.s_addr))
    } else {
      guard inet_pton(AF_INET6, text, &v6) == 1 else { return nil }
      self = withUnsafeBytes(of: &v6) { IPAddress(bytes: $0) }
    }
  }

  /// Whether this is IPv4 (also when it came as IPv4-mapped IPv6).
  public var isV4: Bool { high == 0 && low >> 32 == 0xffff }
  /// The 32 bits of an IPv4 address in host order.
  public var v4Bits: UInt32 { UInt32(truncatingIfNeeded: low) }

  /// 127.0.0.0/8 or ::1.
  public var isLoopback: Bool {
    isV4 ? v4Bits >> 24 == 127 : high == 0 && low == 1
  }

  /// Whether no stranger may make us connect there: loopback, private, link-local, shared,
  /// multicast, reserved, documentation, or a form that embeds an IPv4 address (RFC 6890, 6052).
  public var isSpecialUse: Bool {
    Self.specialUse.contains { $0.contains(self) }
  }

  private static let specialUse: [CIDR] = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
    "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "::/96", "64:ff9b::/96",
    "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
  ].compactMap { CIDR($0) }

  /// The network that stands for one client in limits: IPv4 whole, IPv6 its /64.
  public var clientNetwork: IPAddress { isV4 ? self : IPAddress(high: high, low: 0) }

  /// The network that may be written down of one client: IPv4 /24, IPv6 /48.
  public var neighbourhood: CIDR {
    CIDR(around: self, bits: isV4 ? 96 + 24 : 48)
  }

  /// Canonical text.
  public var description: String {
    var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    if isV4 {
      var address = in_addr(s_addr: v4Bits.bigEndian)
      inet_ntop(AF_INET, &address, &text, socklen_t(text.count))
    } else {
      var words = (high.bigEndian, low.bigEndian)
      inet_ntop(AF_INET6, &words, &text, socklen_t(text.count))
    }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

/// A network: an address and the number of its leading bits that count.
public struct CIDR: Hashable, Sendable, CustomStringConvertible {
  /// The first address of the network.
  public let network: IPAddress
  /// Leading bits that count, 0 to 128 (an IPv4 /8 is 104 here).
  public let bits: Int

  fileprivate init(around address: IPAddress, bits: Int) {
    network = Self.mask(address, bits)
    self.bits = bits
  }

  /// `a.b.c.d/n`, `x::/n` or a single address; nil for anything else, host bits included.
  public init?(_ text: String) {
    let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    guard let address = IPAddress(String(parts[0])) else { return nil }
    let wide = parts[0].utf8.contains(UInt8(ascii: ":"))
    var bits = 128
    if parts.count == 2 {
      let digits = parts[1].utf8
      guard (1...3).contains(digits.count), digits.allSatisfy({ (48...57).contains($0) }),
        digits.count == 1 || digits.first != 48
      else { return nil }
      let length = digits.reduce(0) { $0 * 10 + Int($1 - 48) }
      guard length <= (wide ? 128 : 32) else { return nil }
      bits = wide ? length : length + 96
    }
    let masked = Self.mask(address, bits)
    guard masked == address else { return nil }
    network = masked
    self.bits = bits
  }

  /// Whether `address` lies in the network.
  public func contains(_ address: IPAddress) -> Bool {
    // ::/96 and shorter networks near zero must not swallow IPv4, whose home is ::ffff:0:0/96.
    if address.isV4 && bits < 96 { return false }
    return Self.mask(address, bits) == network
  }

  private static func mask(_ address: IPAddress, _ bits: Int) -> IPAddress {
    let high = bits >= 64 ? UInt64.max : bits == 0 ? 0 : ~(UInt64.max >> UInt64(bits))
    let rest = bits - 64
    let low = rest <= 0 ? 0 : rest >= 64 ? UInt64.max : ~(UInt64.max >> UInt64(rest))
    return IPAddress(high: address.high & high, low: address.low & low)
  }

  /// Canonical text.
  public var description: String {
    "\(network)/\(network.isV4 && bits >= 96 ? bits - 96 : bits)"
  }
}
