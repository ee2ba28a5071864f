// Decides from which addresses a connection or a credential may be used. A policy is a list of
// CIDRs and named ranges; no policy means anywhere. Stored as lines, so that the edge reads it
// without a JSON parser.

import Posix

/// Ranges that have a name of their own; the operator may set others.
public struct NamedNetworks: Sendable, Equatable {
  private let ranges: [String: [CIDR]]

  /// These ranges by name.
  public init(_ ranges: [String: [CIDR]]) { self.ranges = ranges }

  /// What holds when the operator sets nothing.
  public static let standard = NamedNetworks(
    ["anthropic": ["160.79.104.0/21"].compactMap { CIDR($0) }])

  subscript(name: String) -> [CIDR]? { ranges[name] }
}

/// The networks a caller may come from.
public struct NetworkPolicy: Equatable, Sendable {
  /// The most entries that one policy has.
  public static let entriesMax = 64

  /// The entries in canonical text, as they were given in order.
  public let entries: [String]
  private let networks: [CIDR]

  /// A policy of these entries; nil when there is none, too many, or one is neither a CIDR in
  /// canonical form nor a name in `named`.
  public init?(entries: [String], named: NamedNetworks = .standard) {
    self.init(entries, named: named, keepingUnknownNames: false)
  }

  /// The policy that `storedText` wrote; nil when it is not such a text. A name that the operator
  /// took away since then admits nobody.
  public init?(storedText: String, named: NamedNetworks = .standard) {
    let lines = storedText.utf8.split(separator: 0x0a, omittingEmptySubsequences: false)
    self.init(
      lines.map { String(decoding: $0, as: UTF8.self) }, named: named, keepingUnknownNames: true)
  }

  private init?(_ entries: [String], named: NamedNetworks, keepingUnknownNames: Bool) {
    guard !entries.isEmpty, entries.count <= Self.entriesMax else { return nil }
    var canonical: [String] = []
    var networks: [CIDR] = []
    for entry in entries {
      if let network = CIDR(entry) {
        canonical.append(network.description)
        networks.append(network)
      } else {
        guard Self.isName(entry), keepingUnknownNames || named[entry] != nil else { return nil }
        canonical.append(entry)
        networks += named[entry] ?? []
      }
    }
    self.entries = canonical
    self.networks = networks
  }

  private static func isName(_ text: String) -> Bool {
    (1...32).contains(text.utf8.count)
      && text.utf8.allSatisfy {
        (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == UInt8(ascii: "-")
          || $0 == UInt8(ascii: "_")
      }
  }

  /// One entry a line.
  public var storedText: String { entries.joined(separator: "\n") }

  /// Whether a caller at `address` is let in.
  public func admits(_ address: IPAddress) -> Bool {
    networks.contains { $0.contains(address) }
  }
}
