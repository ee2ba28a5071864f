// Who a URL or a Host header points at: a host and a port, read strictly, so that no two readers of
// the same text can disagree about where a request goes. Refused are user names, escapes, zones,
// trailing dots, non-ASCII, and every spelling of an IPv4 address but four plain decimals.
// Whether an address may be connected to is decided later, on the resolved address.

import Posix

/// A host, and a port when one is written.
public struct Authority: Hashable, Sendable, CustomStringConvertible {
  /// What the host is.
  public enum Host: Hashable, Sendable {
    /// A DNS name in lower case.
    case name(String)
    /// A literal address.
    case address(IPAddress)
  }

  /// The host.
  public let host: Host
  /// The port as written, 1 to 65535.
  public let port: UInt16?

  /// An authority of parts that were checked before.
  public init(host: Host, port: UInt16?) {
    self.host = host
    self.port = port
  }

  /// The authority that `text` writes (`example.com`, `10.0.0.1:80`, `[::1]:8080`), or nil.
  public init?(_ text: some Collection<UInt8>) {
    let bytes = Array(text)
    guard let first = bytes.first, bytes.count <= 262 else { return nil }
    var rest: ArraySlice<UInt8>
    if first == UInt8(ascii: "[") {
      guard let end = bytes.firstIndex(of: UInt8(ascii: "]")) else { return nil }
      let inner = bytes[1..<end]
      guard inner.contains(UInt8(ascii: ":")), inner.allSatisfy(Self.isAddressByte),
        let address = IPAddress(String(decoding: inner, as: UTF8.self))
      else { return nil }
      host = .address(address)
      rest = bytes[(end + 1)...]
    } else {
      let end = bytes.firstIndex(of: UInt8(ascii: ":")) ?? bytes.count
      guard let host = Self.namedHost(bytes[..<end]) else { return nil }
      self.host = host
      rest = bytes[end...]
    }
    if rest.isEmpty {
      port = nil
      return
    }
    guard rest.removeFirst() == UInt8(ascii: ":"), (1...5).contains(rest.count),
      rest.allSatisfy({ (0x30...0x39).contains($0) })
    else { return nil }
    let number = rest.reduce(0) { $0 * 10 + Int($1 - 0x30) }
    guard (1...65535).contains(number) else { return nil }
    port = UInt16(number)
  }

  /// The host without port; an IPv6 address in brackets.
  public var hostText: String {
    switch host {
    case .name(let name): name
    case .address(let address): address.isV4 ? "\(address)" : "[\(address)]"
    }
  }

  /// The text that `init` reads.
  public var description: String { port.map { "\(hostText):\($0)" } ?? hostText }

  /// Whether the host is `localhost` or a literal loopback address.
  public var isLoopback: Bool {
    switch host {
    case .name(let name): name == "localhost"
    case .address(let address): address.isLoopback
    }
  }

  /// A DNS name or four decimals.
  private static func namedHost(_ bytes: ArraySlice<UInt8>) -> Host? {
    let lower = bytes.map { byte in
      (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
    }
    guard (1...253).contains(lower.count) else { return nil }
    let labels = lower.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard labels.allSatisfy(isLabel), let last = labels.last else { return nil }
    let text = String(decoding: lower, as: UTF8.self)
    // A name whose last label is a number is an IPv4 address to some readers: 127.1, 0x7f.1, 1.
    if isNumber(last) {
      guard labels.count == 4, let address = IPAddress(text), "\(address)" == text else {
        return nil
      }
      return .address(address)
    }
    return .name(text)
  }

  private static func isLabel(_ label: ArraySlice<UInt8>) -> Bool {
    guard (1...63).contains(label.count), label.first != UInt8(ascii: "-"),
      label.last != UInt8(ascii: "-")
    else { return false }
    return label.allSatisfy { byte in
      (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (0x30...0x39).contains(byte)
        || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
    }
  }

  private static func isNumber(_ label: ArraySlice<UInt8>) -> Bool {
    if label.allSatisfy({ (0x30...0x39).contains($0) }) { return true }
    guard label.count >= 2, label.starts(with: "0x".utf8) else { return false }
    return label.dropFirst(2).allSatisfy { byte in
      (0x30...0x39).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
    }
  }

  private static func isAddressByte(_ byte: UInt8) -> Bool {
    (0x30...0x3a).contains(byte) || byte == UInt8(ascii: ".")
      || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte | 0x20)
  }
}
