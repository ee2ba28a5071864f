// What a setting is: its name, default, meaning and shape, whether it is a secret, and which
// processes may read it. The settings themselves are in SettingTable.swift; nothing else in the
// system names an environment variable.

/// A process that reads settings.
public enum Program: String, Sendable, CaseIterable {
  case edge, auth, billing, scheduler
  /// The operator's tool.
  case `operator`

  /// The four that run as services.
  public static let services: [Program] = [.edge, .auth, .billing, .scheduler]
}

/// One declared setting.
public struct Setting: Sendable {
  /// What a value must look like; the parsers are in `ValueParser`.
  public enum Kind: Sendable {
    case text(bytesMax: Int)
    case directory
    case readableFile
    case descriptor
    case flag
    case number(ClosedRange<Int>)
    case choice([StaticString])
    /// An origin that tokens may go to: https, or http to loopback.
    case secureOrigin
    case secureOrigins
    /// An API's base: https, or http to loopback; may have a path.
    case secureURL
    /// Origins of browsers, or `*`.
    case browserOrigins
    case listener
    case ranges
    case namedRanges
    case secret
    /// Comma-separated secrets.
    case secrets
    case masterKeys
    case masterKey
    case email
  }

  /// The environment variable.
  public let name: StaticString
  /// The section of the manual it stands in.
  public let group: Group
  /// What is used when it is not set, as text for people; nil = nothing.
  public let standard: StaticString?
  /// What it is for, in one or two sentences.
  public let meaning: StaticString
  /// What a value must look like.
  public let kind: Kind
  /// Who may read it.
  public let readers: [Program]

  /// Whether its value is a secret; it can then also be given as a file by `<name>_FILE`.
  public var isSecret: Bool {
    switch kind {
    case .secret, .secrets, .masterKeys, .masterKey: true
    default: false
    }
  }

  /// The variable that names a file with the value.
  public var fileName: String { "\(name)_FILE" }

  /// A section of the manual.
  public enum Group: String, Sendable, CaseIterable {
    case places = "Places and addresses"
    case upstreams = "Services and upstreams"
    case keys = "Keys and credentials"
    case accounts = "Accounts"
    case billing = "Billing and plans"
    case mail = "Mail and support"
    case limits = "Limits"
    case running = "Running"
  }
}
