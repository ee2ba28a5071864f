// What is known about one third-party service: where its MCP server is, how a person authorizes us
// there, how its tokens live, and how its API keys are sent. Data only; a value exists only if the
// reader in CatalogueReader found it sound.

import HTTPCodec

/// A service of the catalogue.
public struct Provider: Sendable, Equatable {
  /// How the MCP server is spoken to.
  public enum Transport: String, Sendable, CaseIterable {
    case streamableHTTP = "streamable-http"
    /// The transport of 2024-11-05: a GET stream and a second address for messages.
    case legacySSE = "sse"
  }

  /// 1 to 32 lower-case letters, digits and `-`; stands in secret URLs.
  public let id: String
  /// The name that people read.
  public let name: String
  /// The MCP server.
  public let mcpURL: WebURL
  /// How it is spoken to.
  public let transport: Transport
  /// How a person authorizes us; nil when only an API key will do.
  public let oauth: OAuthRules?
  /// How its tokens live.
  public let refresh: RefreshRules
  /// How an API key is sent; nil when the service takes none.
  public let apiKey: APIKeyRules?

  /// The setting that holds the OAuth client's id, for a service with `static` registration.
  public var clientIDSetting: String { settingPrefix + "_CLIENT_ID" }
  /// The setting that holds the OAuth client's secret.
  public var clientSecretSetting: String { settingPrefix + "_CLIENT_SECRET" }

  private var settingPrefix: String {
    String(decoding: id.utf8.map { $0 == 0x2d ? 0x5f : $0 }, as: UTF8.self).uppercased()
  }
}

/// How a person authorizes us at a service.
public struct OAuthRules: Sendable, Equatable {
  /// How we become a client there.
  public enum Registration: String, Sendable, CaseIterable {
    /// Our client id is the URL of a document about us.
    case metadataDocument = "metadata_document"
    /// We register when first needed (RFC 7591).
    case dynamic
    /// The operator registered us and set id and secret.
    case `static`
  }

  /// How we prove who we are at the token endpoint.
  public enum ClientAuthentication: String, Sendable, CaseIterable {
    case none
    case basic
    case post
  }

  /// How a service is told that a token shall end.
  public enum Revocation: String, Sendable, CaseIterable {
    /// As RFC 7009 has it; also where nothing is known, if an endpoint is discovered.
    case rfc7009
    /// DELETE {revocation_url}/{client id}/token with Basic and the access token as JSON.
    case github
    /// POST with the access token as Bearer (`auth.revoke`).
    case slack
    /// There is no way.
    case none
  }

  public let registration: Registration
  /// Asked for, in this order; empty = the server's default.
  public let scopes: [String]
  /// What stands between scopes: a space in the standard, a comma at some.
  public let scopeSeparator: String
  /// Whether S256 is used.
  public let pkce: Bool
  /// Whether `resource` (RFC 8707) is sent.
  public let resource: Bool
  /// The exact issuer, compared byte for byte; nil = discovered, like the endpoints below.
  public let issuer: String?
  public let authorizationURL: WebURL?
  public let tokenURL: WebURL?
  public let revocationURL: WebURL?
  /// What is sent to `revocationURL`.
  public let revocation: Revocation
  public let registrationURL: WebURL?
  public let clientAuthentication: ClientAuthentication
  /// Further parameters of the authorization request, by name.
  public let authorizeParameters: [String: String]
}

/// How a service's tokens live.
public struct RefreshRules: Sendable, Equatable {
  /// Whether a refresh answers a new refresh token that replaces the old.
  public let rotates: Bool
  /// For how long the previous refresh token still works after a refresh.
  public let graceSeconds: Int
  /// The access token's life when the answer does not say; nil = it does not end.
  public let defaultLifetimeSeconds: Int?
  /// How often a managed connection is refreshed that nobody uses; nil = never.
  public let backgroundIntervalSeconds: Int?
  /// The most token requests per second to this service, from all of us.
  public let maxPerSecond: Int
  /// Error codes beside `invalid_grant` with which this service says that a grant is dead.
  public let deadErrors: [String]

  /// Rules of these parts.
  public init(
    rotates: Bool, graceSeconds: Int, defaultLifetimeSeconds: Int?,
    backgroundIntervalSeconds: Int?, maxPerSecond: Int, deadErrors: [String]
  ) {
    self.rotates = rotates
    self.graceSeconds = graceSeconds
    self.defaultLifetimeSeconds = defaultLifetimeSeconds
    self.backgroundIntervalSeconds = backgroundIntervalSeconds
    self.maxPerSecond = maxPerSecond
    self.deadErrors = deadErrors
  }

  /// What holds when the catalogue says nothing.
  public static let standard = RefreshRules(
    rotates: true, graceSeconds: 0, defaultLifetimeSeconds: nil, backgroundIntervalSeconds: 86_400,
    maxPerSecond: 10, deadErrors: [])
}

/// How an API key of a service is sent and checked.
public struct APIKeyRules: Sendable, Equatable {
  /// How a new key is tried before it is stored.
  public enum Validation: Sendable, Equatable {
    /// `initialize` or `server/discover` at the MCP server.
    case mcp
    /// A GET that answers 2xx.
    case http(WebURL)
    /// Not at all.
    case none
  }

  /// How the key stands in the header's value.
  public enum Encoding: Sendable, Equatable {
    /// As the person gave it: `{key}`.
    case plain
    /// In base64, for pairs such as `e-mail:token`: `{key_base64}`.
    case base64
  }

  /// The header's name, in lower case.
  public let header: String
  /// What stands before the key.
  public let valuePrefix: String
  /// How the key is written.
  public let encoding: Encoding
  /// What stands behind the key.
  public let valueSuffix: String
  /// Where a person finds such a key.
  public let instructions: String
  /// How a new key is tried.
  public let validation: Validation

  /// The longest API key that is taken.
  public static let keyBytesMax = 4096

  /// Whether `key` has a length and bytes that may stand in a header.
  public func admits(_ key: UnsafeRawBufferPointer) -> Bool {
    guard let base = key.baseAddress, (1...Self.keyBytesMax).contains(key.count) else {
      return false
    }
    for index in 0..<key.count {
      let byte = base.load(fromByteOffset: index, as: UInt8.self)
      if byte < 0x21 || byte > 0x7e { return false }
    }
    return true
  }

  /// The header's value for `key`, or nil when the key is empty, too long, or holds a byte that may
  /// not stand in a header (anything but visible ASCII; blanks inside are refused too).
  public func headerValue(key: UnsafeRawBufferPointer) -> [UInt8]? {
    guard admits(key) else { return nil }
    var value = Array(valuePrefix.utf8)
    switch encoding {
    case .plain: value.append(contentsOf: key)
    case .base64: Self.appendBase64(key, to: &value)
    }
    value.append(contentsOf: valueSuffix.utf8)
    return value
  }

  /// Standard base64 with padding (RFC 4648 section 4), as Basic authentication wants it.
  private static func appendBase64(_ bytes: UnsafeRawBufferPointer, to text: inout [UInt8]) {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var index = 0
    while index < bytes.count {
      let rest = min(3, bytes.count - index)
      var group = UInt32(bytes[index]) << 16
      if rest > 1 { group |= UInt32(bytes[index + 1]) << 8 }
      if rest > 2 { group |= UInt32(bytes[index + 2]) }
      for position in 0..<4 {
        let isPadding = position > rest
        text.append(
          isPadding ? UInt8(ascii: "=") : alphabet[Int(group >> UInt32(18 - 6 * position)) & 63])
      }
      index += 3
    }
  }
}
