// Reads the JSON of a catalogue, strictly: every member is known, typed and within its range, or
// the whole file is refused with the service and the field named. What a URL must be to receive a
// token is decided here, once.

import HTTPCodec

/// Turns catalogue JSON into providers.
enum CatalogueReader {
  static let servicesMax = 1000

  static func read(_ json: [UInt8]) throws(CatalogueError) -> [Provider] {
    guard case .object(let top)? = JSONTree.parse(json), top.count == 1,
      case .array(let list)? = top["services"], list.count <= servicesMax
    else { throw .malformed }
    var providers: [Provider] = []
    for (index, item) in list.enumerated() {
      let provider = try provider(item, place: "#\(index + 1)")
      if providers.contains(where: { $0.id.utf8.elementsEqual(provider.id.utf8) }) {
        throw .field(service: provider.id, field: "id", problem: .duplicate)
      }
      providers.append(provider)
    }
    return providers
  }

  private static func provider(
    _ tree: JSONTree, place: String
  ) throws(CatalogueError) -> Provider {
    var fields = try FieldReader(tree, service: place, path: "")
    let id = try fields.text("id", limit: 32) { byte in
      (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2d
    }
    fields.service = id
    let name = try fields.text("name", limit: 64)
    let mcpURL = try fields.secureURL("mcp_url")
    let transport =
      try fields.choice("transport", Provider.Transport.self) ?? .streamableHTTP
    let oauth = try fields.nested("oauth").map { nested throws(CatalogueError) in
      try oauthRules(nested)
    }
    let refresh =
      try fields.nested("refresh").map { nested throws(CatalogueError) in
        try refreshRules(nested)
      } ?? .standard
    let apiKey = try fields.nested("api_key").map { nested throws(CatalogueError) in
      try apiKeyRules(nested)
    }
    try fields.finish()
    guard oauth != nil || apiKey != nil else { throw fields.error("oauth", .missing) }
    return Provider(
      id: id, name: name, mcpURL: mcpURL, transport: transport, oauth: oauth, refresh: refresh,
      apiKey: apiKey)
  }

  private static func oauthRules(_ reader: FieldReader) throws(CatalogueError) -> OAuthRules {
    var fields = reader
    guard let registration = try fields.choice("registration", OAuthRules.Registration.self) else {
      throw fields.error("registration", .missing)
    }
    let rules = OAuthRules(
      registration: registration,
      scopes: try fields.texts("scopes"),
      scopeSeparator: try fields.choice("scope_separator", ScopeSeparator.self)?.rawValue ?? " ",
      pkce: try fields.flag("pkce") ?? true,
      resource: try fields.flag("resource") ?? true,
      issuer: try fields.issuer("issuer"),
      authorizationURL: try fields.optionalSecureURL("authorization_url"),
      tokenURL: try fields.optionalSecureURL("token_url"),
      revocationURL: try fields.optionalSecureURL("revocation_url"),
      revocation: try fields.choice("revocation", OAuthRules.Revocation.self) ?? .rfc7009,
      registrationURL: try fields.optionalSecureURL("registration_url"),
      clientAuthentication: try fields.choice(
        "client_authentication", OAuthRules.ClientAuthentication.self) ?? .none,
      authorizeParameters: try fields.parameters("authorize_parameters"))
    try fields.finish()
    // One endpoint without the other would be mixed with a discovered one (mix-up attack).
    if (rules.authorizationURL == nil) != (rules.tokenURL == nil) {
      throw fields.error(
        rules.tokenURL == nil ? "token_url" : "authorization_url", .missing)
    }
    // Nothing is discovered beside them.
    if rules.tokenURL != nil, rules.registration == .dynamic, rules.registrationURL == nil {
      throw fields.error("registration_url", .missing)
    }
    switch (rules.revocation, rules.revocationURL) {
    case (.github, nil), (.slack, nil): throw fields.error("revocation_url", .missing)
    case (.none, .some): throw fields.error("revocation_url", .contradicts)
    default: return rules
    }
  }

  /// What may stand between scopes.
  private enum ScopeSeparator: String, CaseIterable {
    case space = " "
    case comma = ","
  }

  private static func refreshRules(_ reader: FieldReader) throws(CatalogueError) -> RefreshRules {
    var fields = reader
    let rules = RefreshRules(
      rotates: try fields.flag("rotates") ?? true,
      graceSeconds: try fields.number("grace_seconds", 0...86_400) ?? 0,
      defaultLifetimeSeconds: try fields.number("default_lifetime_seconds", 1...3_153_600_000),
      backgroundIntervalSeconds: try fields.number("background_interval_seconds", 60...31_536_000),
      maxPerSecond: try fields.number("max_per_second", 1...10_000) ?? 10,
      deadErrors: try fields.texts("dead_errors"))
    try fields.finish()
    return rules
  }

  /// Headers that are ours or the transport's, never a key's.
  private static let reservedHeaders: Set<String> = [
    "host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade",
    "keep-alive", "expect", "cookie", "accept", "content-type", "user-agent", "origin", "referer",
    "forwarded", "via", "mcp-session-id", "mcp-protocol-version", "last-event-id",
  ]

  private static func apiKeyRules(_ reader: FieldReader) throws(CatalogueError) -> APIKeyRules {
    var fields = reader
    let header = try fields.text("header", limit: 64) { byte in
      (0x61...0x7a).contains(byte | 0x20) || (0x30...0x39).contains(byte) || byte == 0x2d
    }.lowercased()
    guard !reservedHeaders.contains(header), !header.hasPrefix("proxy-") else {
      throw fields.error("header", .badValue)
    }
    let format = try fields.text("format", limit: 256) { (0x20...0x7e).contains($0) }
    guard let (prefix, encoding, suffix) = split(format: format) else {
      throw fields.error("format", .badValue)
    }
    let rules = APIKeyRules(
      header: header, valuePrefix: prefix, encoding: encoding, valueSuffix: suffix,
      instructions: try fields.text("instructions", limit: 2000),
      validation: try fields.nested("validate").map { nested throws(CatalogueError) in
        try validation(nested)
      } ?? .mcp)
    try fields.finish()
    return rules
  }

  /// The text around the one place for the key.
  private static func split(
    format: String
  ) -> (prefix: String, encoding: APIKeyRules.Encoding, suffix: String)? {
    let bytes = Array(format.utf8)
    guard let open = bytes.firstIndex(of: 0x7b), let close = bytes.firstIndex(of: 0x7d),
      open < close, bytes.lastIndex(of: 0x7b) == open, bytes.lastIndex(of: 0x7d) == close,
      bytes.first != 0x20, bytes.last != 0x20
    else { return nil }
    let encoding: APIKeyRules.Encoding
    switch String(decoding: bytes[open...close], as: UTF8.self) {
    case "{key}": encoding = .plain
    case "{key_base64}": encoding = .base64
    default: return nil
    }
    return (
      String(decoding: bytes[..<open], as: UTF8.self), encoding,
      String(decoding: bytes[(close + 1)...], as: UTF8.self)
    )
  }

  private enum ValidationMethod: String, CaseIterable { case mcp, http, none }

  private static func validation(
    _ reader: FieldReader
  ) throws(CatalogueError) -> APIKeyRules.Validation {
    var fields = reader
    guard let method = try fields.choice("method", ValidationMethod.self) else {
      throw fields.error("method", .missing)
    }
    let url = try fields.optionalSecureURL("url")
    try fields.finish()
    switch (method, url) {
    case (.mcp, nil): return .mcp
    case (.none, nil): return .none
    case (.http, let url?): return .http(url)
    case (.http, nil): throw fields.error("url", .missing)
    case (_, .some): throw fields.error("url", .contradicts)
    }
  }
}
