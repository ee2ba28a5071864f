// Names people, connections, credentials and sessions: random UUIDs as lower-case text, each kind
// a type of its own, so that one can never stand for another. Not secrets: knowing one opens nothing.

import Bytes
import Clocks

/// The identifier of one record of a kind.
public struct Identifier<Kind>: Hashable, Sendable, CustomStringConvertible {
  /// 36 characters, 8-4-4-4-12 lower-case hexadecimal digits.
  public let text: String

  /// A fresh identifier (RFC 9562, version 4).
  public static func random() -> Identifier { Identifier(bytes: Randomness.bytes(count: 16)) }

  init(bytes: [UInt8]) {
    precondition(bytes.count == 16)
    var bytes = bytes
    bytes[6] = bytes[6] & 0x0f | 0x40
    bytes[8] = bytes[8] & 0x3f | 0x80
    let digits = Array(Hex.encode(bytes).utf8)
    var text: [UInt8] = []
    for (index, digit) in digits.enumerated() {
      if index == 8 || index == 12 || index == 16 || index == 20 { text.append(UInt8(ascii: "-")) }
      text.append(digit)
    }
    self.text = String(decoding: text, as: UTF8.self)
  }

  /// The identifier that `text` spells exactly, or nil.
  public init?(_ text: String) {
    guard text.utf8.count == 36 else { return nil }
    for (index, byte) in text.utf8.enumerated() {
      switch index {
      case 8, 13, 18, 23: guard byte == UInt8(ascii: "-") else { return nil }
      default:
        guard (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte) else { return nil }
      }
    }
    self.text = text
  }

  /// The 36 characters.
  public var description: String { text }
}

/// What identifiers are of.
public enum IdentifierKind {
  /// A person.
  public enum User {}
  /// A connected service.
  public enum Connection {}
  /// A secret URL and API key.
  public enum Credential {}
  /// A sign-in.
  public enum Session {}
  /// A re-wrapping under a new master key.
  public enum Rotation {}
  /// What a person granted to an MCP client.
  public enum Grant {}
  /// A program's key, of a person or of a space.
  public enum ProgramKey {}
  /// Some of a person's connections.
  public enum Space {}
}

/// Names a person.
public typealias UserID = Identifier<IdentifierKind.User>
/// Names a connected service.
public typealias ConnectionID = Identifier<IdentifierKind.Connection>
/// Names a secret URL and API key.
public typealias CredentialID = Identifier<IdentifierKind.Credential>
/// Names a sign-in.
public typealias SessionID = Identifier<IdentifierKind.Session>
/// Names a re-wrapping under a new master key.
public typealias RotationID = Identifier<IdentifierKind.Rotation>
/// Names what a person granted to an MCP client.
public typealias GrantID = Identifier<IdentifierKind.Grant>
/// Names a program's key.
public typealias ProgramKeyID = Identifier<IdentifierKind.ProgramKey>
/// Names some of a person's connections.
public typealias SpaceID = Identifier<IdentifierKind.Space>
