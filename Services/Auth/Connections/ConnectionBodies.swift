// The bodies that the routes of connections take, and the rules of their fields. A member that is
// absent and one that is null are told apart where they mean different things.

import Accounts

/// POST /api/connections/{service}/api-key
struct ConnectBody: Decodable {
  let apiKey: String
  let keyStorageMode: String?
  let label: String?
  let networks: [String]?

  private enum CodingKeys: String, CodingKey {
    case apiKey = "api_key"
    case keyStorageMode = "key_storage_mode"
    case label, networks
  }

  func mode() throws(Refusal) -> KeyStorageMode {
    guard let text = keyStorageMode else { return .zeroKnowledge }
    guard let mode = KeyStorageMode(rawValue: text) else { throw .bodyInvalid(.keyStorageMode) }
    return mode
  }

  /// The label as it will be stored; empty for the standard one.
  func admittedLabel() throws(Refusal) -> String {
    guard let label else { return "" }
    guard let admitted = PlainText.admit(label) else { throw .bodyInvalid(.label) }
    return admitted
  }
}

/// PATCH /api/connections/{id}
struct ChangeBody: Decodable {
  let label: String?
  /// Outer nil: not mentioned. Inner nil: from anywhere.
  let networks: [String]??

  private enum CodingKeys: String, CodingKey { case label, networks }

  init(from decoder: any Decoder) throws {
    let members = try decoder.container(keyedBy: CodingKeys.self)
    label = members.contains(.label) ? try members.decode(String.self, forKey: .label) : nil
    networks =
      members.contains(.networks)
      ? .some(try members.decodeIfPresent([String].self, forKey: .networks)) : nil
  }
}

/// POST /api/connections/{id}/credentials
struct CredentialBody: Decodable {
  let name: String
  let networks: [String]?
  let tools: [String]?
  let expiresIn: Int64?
  let credential: String?

  private enum CodingKeys: String, CodingKey {
    case name, networks, tools, credential
    case expiresIn = "expires_in"
  }

  static let expiresInRange: ClosedRange<Int64> = 1...31_536_000
  private static let toolsMax = 128
  private static let toolBytesMax = 128

  func admittedName() throws(Refusal) -> String {
    guard let admitted = PlainText.admit(name) else { throw .bodyInvalid(.name) }
    return admitted
  }

  /// Tool names are printable ASCII without blanks.
  func admittedTools() throws(Refusal) -> [String]? {
    guard let tools else { return nil }
    guard (1...Self.toolsMax).contains(tools.count),
      tools.allSatisfy({ tool in
        (1...Self.toolBytesMax).contains(tool.utf8.count)
          && tool.utf8.allSatisfy { (0x21...0x7e).contains($0) }
      })
    else { throw .bodyInvalid(.tools) }
    return tools
  }

  func admittedExpiresIn() throws(Refusal) -> Int64? {
    guard let expiresIn else { return nil }
    guard Self.expiresInRange.contains(expiresIn) else { throw .bodyInvalid(.expiresIn) }
    return expiresIn
  }
}

/// PATCH /api/connections/{id}/mode
struct ModeBody: Decodable {
  let keyStorageMode: String
  let credential: String?

  private enum CodingKeys: String, CodingKey {
    case keyStorageMode = "key_storage_mode"
    case credential
  }
}

/// DELETE /api/connections/{id}
struct RevokeBody: Decodable {
  let credential: String?
}

/// A network policy in a body.
enum NetworksField {
  /// The policy of `entries`; nil for anywhere.
  static func admit(
    _ entries: [String]?, _ named: NamedNetworks
  ) throws(Refusal) -> NetworkPolicy? {
    guard let entries else { return nil }
    guard let policy = NetworkPolicy(entries: entries, named: named) else {
      throw .bodyInvalid(.networks)
    }
    return policy
  }
}
