// Which pieces of runtime text may stand in a log line. The set is closed: text becomes public only
// through one of the factories here, each of which admits a narrow shape or cuts down to one.
// There is deliberately no factory for a plain String.

import Posix

/// Text that may be seen by whoever reads the logs.
public struct PublicText: Sendable, Equatable {
  /// Admitted characters: printable ASCII without quote and backslash.
  let bytes: [UInt8]

  private init(bytes: [UInt8]) { self.bytes = bytes }

  private static let refused = PublicText(bytes: Array("(malformed)".utf8))

  /// A service of the catalogue: 1 to 32 lower-case letters, digits and `-`; else `(malformed)`.
  public static func serviceID(_ id: String) -> PublicText {
    let bytes = Array(id.utf8)
    guard (1...32).contains(bytes.count), bytes.allSatisfy(isSlugByte) else { return refused }
    return PublicText(bytes: bytes)
  }

  /// The first 8 characters of a row's id (connection, user, key, event), never more of it.
  public static func idPrefix(_ id: String) -> PublicText {
    let bytes = Array(id.utf8.prefix(8))
    guard !bytes.isEmpty, bytes.allSatisfy({ isSlugByte($0 | 0x20) || $0 == UInt8(ascii: "_") })
    else { return refused }
    return PublicText(bytes: bytes)
  }

  /// An address of ours or of an upstream's socket, whole.
  public static func address(_ address: SocketAddress) -> PublicText {
    PublicText(bytes: Array(address.description.utf8.filter(isPlainByte).prefix(128)))
  }

  /// A client's network: IPv4 /24, IPv6 /48.
  public static func network(of client: IPAddress) -> PublicText {
    range(client.neighbourhood)
  }

  /// A range that an operator configured or the abuse rules blocked.
  public static func range(_ range: CIDR) -> PublicText {
    PublicText(bytes: Array(range.description.utf8))
  }

  /// The host of a configured upstream: letters, digits, `.`, `-`, `:` and brackets, at most 253.
  public static func host(_ host: String) -> PublicText {
    let bytes = Array(host.utf8)
    let extra = Array(".:[]".utf8)
    guard (1...253).contains(bytes.count),
      bytes.allSatisfy({ isSlugByte($0 | 0x20) || extra.contains($0) })
    else { return refused }
    return PublicText(bytes: bytes)
  }

  /// A version such as `3.40.1` or a short build name: letters, digits, `.`, `-`, `+`, at most 32.
  public static func version(_ text: String) -> PublicText {
    let bytes = Array(text.utf8)
    let extra = Array(".+".utf8)
    guard (1...32).contains(bytes.count),
      bytes.allSatisfy({ isSlugByte($0 | 0x20) || extra.contains($0) })
    else { return refused }
    return PublicText(bytes: bytes)
  }

  /// Where in a settings file or a catalogue something stands, such as `oauth.scopes` or `#3`: at most
  /// 64 letters, digits, `_`, `-`, `.`, `#`.
  public static func place(_ text: String) -> PublicText {
    let bytes = Array(text.utf8)
    let extra = Array("_.#".utf8)
    guard (1...64).contains(bytes.count),
      bytes.allSatisfy({ isSlugByte($0 | 0x20) || extra.contains($0) })
    else { return refused }
    return PublicText(bytes: bytes)
  }

  /// A fingerprint of a key: its 16 lower-case hex digits; else `(malformed)`.
  public static func fingerprint(_ hex: String) -> PublicText {
    let bytes = Array(hex.utf8)
    let isHex = bytes.allSatisfy { byte in
      (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
        || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
    }
    guard bytes.count == 16, isHex else { return refused }
    return PublicText(bytes: bytes)
  }

  private static func isSlugByte(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
      || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "-")
  }

  private static func isPlainByte(_ byte: UInt8) -> Bool {
    (0x20...0x7e).contains(byte) && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
  }
}
