// Admits an e-mail address as a name to sign in with. Narrower than the mail standards on purpose:
// printable ASCII, one @, a dotted host name; what is refused here could be read in two ways there.

/// An e-mail address that one account may sign in with.
public struct EmailAddress: Hashable, Sendable {
  /// The most characters of an address (RFC 5321 section 4.5.3.1.3).
  public static let charactersMax = 254

  /// As it was typed.
  public let text: String
  /// Lower-cased: two addresses with one key are one account.
  public let key: String

  /// The address that `text` spells, or nil.
  public init?(_ text: String) {
    let bytes = Array(text.utf8)
    guard bytes.count <= Self.charactersMax,
      let at = bytes.firstIndex(of: UInt8(ascii: "@")),
      bytes.lastIndex(of: UInt8(ascii: "@")) == at
    else { return nil }
    let local = bytes[..<at]
    let labels = bytes[(at + 1)...].split(
      separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard (1...64).contains(local.count), local.allSatisfy(Self.isLocal),
      local.first != UInt8(ascii: "."), local.last != UInt8(ascii: "."),
      !zip(local, local.dropFirst()).contains(where: { $0 == 0x2e && $1 == 0x2e }),
      labels.count >= 2,
      labels.allSatisfy({ label in
        (1...63).contains(label.count) && label.allSatisfy(Self.isHost)
          && label.first != UInt8(ascii: "-") && label.last != UInt8(ascii: "-")
      })
    else { return nil }
    self.text = text
    key = String(
      decoding: bytes.map { (0x41...0x5a).contains($0) ? $0 + 32 : $0 }, as: UTF8.self)
  }

  private static func isHost(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "-"): true
    default: false
    }
  }

  private static func isLocal(_ byte: UInt8) -> Bool {
    isHost(byte) || ".!#$%&'*+/=?^_`{|}~".utf8.contains(byte)
  }
}
