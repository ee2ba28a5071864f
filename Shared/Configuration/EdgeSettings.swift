// What the edge may know: addresses, limits, the catalogue. No master key, no client secret, no
// Stripe key: they are not among its fields, and not among what its reader may ask for.

import HTTPCodec
import Posix
import Providers

/// The settings of `bindery-edge`.
public struct EdgeSettings: Sendable {
  /// What every process knows.
  public let common: CommonSettings
  /// Where MCP clients and browsers connect.
  public let listener: ListenSetting
  /// Where operators look.
  public let opsListener: ListenSetting
  /// Certificate chain and key; nil = plain HTTP.
  public let tls: TLSFiles?
  /// Event loops.
  public let threads: Int
  /// Whose forwarding headers are believed.
  public let trustedProxies: [CIDR]
  /// The services.
  public let catalogue: Catalogue
  /// Where the operator's services are, to be read again; nil = the built-in ones alone.
  public let catalogueFile: CatalogueFile?
  /// Extra trust roots, as a path to PEM.
  public let upstreamCAFile: String?
  /// Browser origins beyond PUBLIC_URL and ADMIN_URL.
  public let allowedOrigins: AllowedOrigins
  /// The word in API keys.
  public let secretPrefix: String
  /// Whether plan rules hold; nil = billing is off.
  public let plan: PlanSettings?
  /// Requests per connection and hour; nil = any number.
  public let requestsPerHourMax: Int?
  /// Addresses that are never blocked.
  public let neverBlocked: [CIDR]
  /// Distinct bad credentials within 10 minutes before an address is blocked.
  public let badCredentialsMax: Int
  /// Names that stand for ranges in network policies.
  public let namedNetworks: [String: [CIDR]]

  /// Reads and checks them.
  public init(_ environment: Environment) throws(ConfigurationError) {
    let reader = try SettingsReader(.edge, environment)
    common = try CommonSettings(reader)
    listener = try reader.listener(.edgeListen)
    opsListener = try reader.opsListener(.edgeOpsListen, beside: listener, .edgeListen)
    tls = try TLSFiles(reader)
    threads = try reader.number(.edgeThreads) ?? usableCores
    trustedProxies = try reader.ranges(.trustedProxies)
    catalogueFile = try reader.catalogueFile()
    catalogue = try catalogueFile?.read() ?? .builtIn
    upstreamCAFile = try reader.readableFile(.upstreamCAFile)
    allowedOrigins = try reader.browserOrigins(.allowedOrigins)
    secretPrefix = try reader.choice(.secretPrefix, "live") { $0 }
    plan = try reader.text(.stripePrice) == nil ? nil : PlanSettings(reader)
    requestsPerHourMax = try reader.number(.rateLimit)
    neverBlocked = try reader.ranges(.addressAllowList)
    badCredentialsMax = try reader.number(.badCredentials) ?? 20
    namedNetworks = try reader.namedRanges(.namedNetworks)
  }
}

/// The edge's certificate and its key.
public struct TLSFiles: Sendable, Equatable {
  /// PEM certificate chain.
  public let certificate: String
  /// PEM private key.
  public let key: String

  init?(_ reader: SettingsReader) throws(ConfigurationError) {
    let certificate = try reader.readableFile(.tlsCertificateFile)
    let key = try reader.readableFile(.tlsKeyFile)
    switch (certificate, key) {
    case (nil, nil): return nil
    case (let certificate?, let key?):
      self.certificate = certificate
      self.key = key
    case (nil, _): throw ConfigurationError(.tlsCertificateFile, "must be set with TLS_KEY_FILE")
    case (_, nil): throw ConfigurationError(.tlsKeyFile, "must be set with TLS_CERTIFICATE_FILE")
    }
  }
}
