// The strict readers of setting values: bytes in, a typed value or nil out. No blanks around a
// value, no sign before a number, no second spelling of yes. Pure.

import HTTPCodec
import Posix

/// Turns the text of a setting into a value.
enum ValueParser {
  /// Plain decimal digits without leading zeros, at most 18 of them.
  static func decimal(_ bytes: [UInt8]) -> Int? {
    guard (1...18).contains(bytes.count), bytes.allSatisfy({ (0x30...0x39).contains($0) }),
      bytes.count == 1 || bytes[0] != 0x30
    else { return nil }
    return bytes.reduce(0) { $0 * 10 + Int($1 - 0x30) }
  }

  static func flag(_ bytes: [UInt8]) -> Bool? {
    if bytes.elementsEqual("true".utf8) { return true }
    if bytes.elementsEqual("false".utf8) { return false }
    return nil
  }

  /// Printable UTF-8 without line breaks and without blanks at its ends.
  static func text(_ bytes: [UInt8], bytesMax: Int) -> String? {
    guard (1...bytesMax).contains(bytes.count), bytes.first != 0x20, bytes.last != 0x20,
      let text = String(validating: bytes, as: UTF8.self),
      text.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7f })
    else { return nil }
    return text
  }

  /// A path; a relative one starts at `folder`.
  static func path(_ bytes: [UInt8], from folder: String) -> String? {
    guard let text = text(bytes, bytesMax: 4096) else { return nil }
    if text.hasPrefix("/") { return text }
    let trimmed = text.hasPrefix("./") ? String(text.dropFirst(2)) : text
    return folder.hasSuffix("/") ? folder + trimmed : "\(folder)/\(trimmed)"
  }

  static func url(_ bytes: [UInt8]) -> WebURL? {
    text(bytes, bytesMax: WebURL.bytesMax).flatMap { WebURL($0) }
  }

  /// The items between commas; blanks around an item are allowed, empty items are not.
  static func list(_ bytes: [UInt8]) -> [[UInt8]]? {
    let items = bytes.split(separator: 0x2c, omittingEmptySubsequences: false).map { item in
      Array(item.drop { $0 == 0x20 }.reversed().drop { $0 == 0x20 }.reversed())
    }
    return items.contains([]) || items.count > 10_000 ? nil : items
  }

  static func range(_ bytes: [UInt8]) -> CIDR? { text(bytes, bytesMax: 64).flatMap { CIDR($0) } }

  /// `host:port` with a literal address or `localhost`, or `none`.
  static func listener(_ bytes: [UInt8]) -> ListenSetting? {
    guard let text = text(bytes, bytesMax: 64) else { return nil }
    if bytes.elementsEqual("none".utf8) { return .unixOnly }
    let local = "localhost:"
    let literal =
      text.hasPrefix(local) ? "127.0.0.1:" + text.dropFirst(local.count) : text
    guard let address = SocketAddress(literal) else { return nil }
    return .address(address)
  }

  /// An address that a mail can be sent to: one `@`, no blanks, no controls, no quoting.
  static func email(_ bytes: [UInt8]) -> String? {
    guard (3...254).contains(bytes.count), bytes.allSatisfy({ (0x21...0x7e).contains($0) }),
      !bytes.contains(where: { "<>(),;:\\\"[]".utf8.contains($0) })
    else { return nil }
    let parts = bytes.split(separator: 0x40, omittingEmptySubsequences: false)
    guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else { return nil }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// `name=CIDR`, the name in lower-case letters, digits and `-`.
  static func namedRange(_ bytes: [UInt8]) -> (name: String, range: CIDR)? {
    guard let equals = bytes.firstIndex(of: 0x3d), (1...32).contains(equals),
      bytes[..<equals].allSatisfy({
        (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2d
      }), let range = range(Array(bytes[(equals + 1)...]))
    else { return nil }
    return (String(decoding: bytes[..<equals], as: UTF8.self), range)
  }
}

/// Where a process listens.
public enum ListenSetting: Sendable, Equatable {
  /// Only on its Unix socket.
  case unixOnly
  /// There too; port 0 takes a free one.
  case address(SocketAddress)
}
