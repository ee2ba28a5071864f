// What auth may know: the master keys, the clients' secrets at the providers, Clerk and the help
// desk. No Stripe key: whether billing is on it learns from the price alone.

import Bytes
import HTTPCodec
import Posix
import Providers

/// The settings of `bindery-auth`.
public struct AuthSettings: Sendable {
  /// What every process knows.
  public let common: CommonSettings
  /// Where it listens beside its Unix socket.
  public let listener: ListenSetting
  /// Where operators look.
  public let opsListener: ListenSetting
  /// Whose forwarding headers are believed.
  public let trustedProxies: [CIDR]
  /// The services.
  public let catalogue: Catalogue
  /// Where the operator's services are, to be read again; nil = the built-in ones alone.
  public let catalogueFile: CatalogueFile?
  /// Our client at each service with `static` registration that is set up, by service id.
  public let oauthClients: [String: OAuthClient]
  /// Extra trust roots, as a path to PEM.
  public let upstreamCAFile: String?
  /// The master keys; nil = the managed mode is off.
  public let masterKeys: MasterKeys?
  /// The word in API keys.
  public let secretPrefix: String
  /// Whether people can register with e-mail and password.
  public let localAccounts: Bool
  /// Clerk; nil = its tokens are not accepted.
  public let clerk: Clerk?
  /// New accounts beyond this many are refused.
  public let usersMax: Int?
  /// Whether plan rules hold; nil = billing is off.
  public let plan: PlanSettings?
  /// Who is told about new accounts.
  public let adminEmail: String?
  /// The help desk; nil = no tickets.
  public let zoho: Zoho?
  /// Names that stand for ranges in network policies.
  public let namedNetworks: [String: [CIDR]]

  /// Reads and checks them.
  public init(_ environment: Environment) throws(ConfigurationError) {
    let reader = try SettingsReader(.auth, environment)
    common = try CommonSettings(reader)
    listener = try reader.listener(.authListen)
    opsListener = try reader.opsListener(.authOpsListen, beside: listener, .authListen)
    trustedProxies = try reader.ranges(.trustedProxies)
    catalogueFile = try reader.catalogueFile()
    catalogue = try catalogueFile?.read() ?? .builtIn
    oauthClients = try reader.oauthClients(catalogue)
    upstreamCAFile = try reader.readableFile(.upstreamCAFile)
    masterKeys = try Self.masterKeys(reader, environment)
    secretPrefix = try reader.choice(.secretPrefix, "live") { $0 }
    localAccounts = try reader.flag(.localAccounts, true)
    clerk = try Clerk(reader)
    usersMax = try reader.number(.usersMax)
    plan = try reader.text(.stripePrice) == nil ? nil : PlanSettings(reader)
    adminEmail = try reader.email(.adminEmail)
    zoho = try Zoho(reader)
    namedNetworks = try reader.namedRanges(.namedNetworks)
    guard localAccounts || clerk != nil else {
      throw ConfigurationError(
        .localAccounts, "is false and Clerk is not set: nobody could sign in")
    }
  }

  private static func masterKeys(
    _ reader: SettingsReader, _ environment: Environment
  ) throws(ConfigurationError) -> MasterKeys? {
    if let json = try reader.heldSecret(.managedKeys) {
      let file = environment[Setting.managedKeys.fileName].flatMap {
        ValueParser.path($0, from: reader.folder)
      }
      // An inherited descriptor can be read once; there is nothing to read again.
      let isInherited = file.map { SettingFile.inheritedDescriptor($0) != nil } ?? true
      return try MasterKeys(
        json: json, file: isInherited ? nil : file, setting: "\(Setting.managedKeys.name)")
    }
    guard let hex = try reader.heldSecret(.managedMasterKey) else { return nil }
    return try MasterKeys(hex: hex, setting: "\(Setting.managedMasterKey.name)")
  }

  /// Clerk, whose tokens are accepted beside ours.
  public struct Clerk: Sendable {
    /// Who signs its tokens: an origin.
    public let issuer: String
    /// Where its public keys are.
    public let jwksURL: WebURL
    /// Its API key, to delete accounts.
    public let secretKey: SecretSetting?
    /// The base of its API.
    public let apiURL: WebURL

    init?(_ reader: SettingsReader) throws(ConfigurationError) {
      let named = try Self.domain(reader)
      let given = try reader.secureURL(.clerkJWKS)
      secretKey = try reader.secret(.clerkSecretKey)
      apiURL = try reader.secureURLOrStandard(.clerkAPI)
      guard let url = given ?? named else {
        guard secretKey == nil else {
          throw ConfigurationError(
            .clerkSecretKey, "needs CLERK_PUBLISHABLE_KEY or CLERK_JWKS_URL")
        }
        return nil
      }
      jwksURL = url
      issuer = url.origin
    }

    /// Where the keys of the domain are that a publishable key names: `pk_live_` or `pk_test_`, then
    /// base64 of the domain and a `$`.
    private static func domain(_ reader: SettingsReader) throws(ConfigurationError) -> WebURL? {
      guard let text = try reader.text(.clerkPublishableKey) else { return nil }
      let prefix = ["pk_live_", "pk_test_"].first { text.utf8.starts(with: $0.utf8) }
      let body = text.utf8.dropFirst(prefix?.utf8.count ?? 0)
      let unpadded = body.reversed().drop { $0 == UInt8(ascii: "=") }.reversed()
      guard prefix != nil,
        let bytes = Base64URL.decode(String(decoding: Array(unpadded), as: UTF8.self)),
        bytes.last == UInt8(ascii: "$"),
        let domain = String(validating: bytes.dropLast(), as: UTF8.self),
        let url = WebURL("https://\(domain)/.well-known/jwks.json"),
        url.origin.utf8.elementsEqual("https://\(domain)".utf8)
      else {
        throw ConfigurationError(.clerkPublishableKey, "is not a publishable key of Clerk")
      }
      return url
    }
  }

  /// Zoho Desk, for support tickets.
  public struct Zoho: Sendable {
    /// The OAuth client's id.
    public let clientID: String
    /// Its secret.
    public let clientSecret: SecretSetting
    /// Its refresh token.
    public let refreshToken: SecretSetting
    /// The organization.
    public let organizationID: String
    /// The department.
    public let departmentID: String
    /// Where tokens are answered.
    public let accountsURL: WebURL
    /// The base of the API.
    public let deskURL: WebURL

    init?(_ reader: SettingsReader) throws(ConfigurationError) {
      let client = try reader.text(.zohoClientID)
      let secret = try reader.secret(.zohoClientSecret)
      let token = try reader.secret(.zohoRefreshToken)
      let organization = try reader.text(.zohoOrganization)
      let department = try reader.text(.zohoDepartment)
      accountsURL = try reader.secureURLOrStandard(.zohoAccounts)
      deskURL = try reader.secureURLOrStandard(.zohoDesk)
      let given: [(Setting, Bool)] = [
        (.zohoClientID, client != nil), (.zohoClientSecret, secret != nil),
        (.zohoRefreshToken, token != nil), (.zohoOrganization, organization != nil),
        (.zohoDepartment, department != nil),
      ]
      if given.allSatisfy({ !$0.1 }) { return nil }
      guard let client, let secret, let token, let organization, let department else {
        let absent = given.first { !$0.1 }?.0 ?? .zohoClientID
        throw ConfigurationError(absent, "must be set with the other ZOHO settings")
      }
      clientID = client
      clientSecret = secret
      refreshToken = token
      organizationID = organization
      departmentID = department
    }
  }
}

/// Our OAuth client at a service, registered by the operator.
public struct OAuthClient: Sendable {
  /// The client id.
  public let id: String
  /// The client secret; nil for a public client.
  public let secret: SecretSetting?
}

/// What is set of a client, without its values.
public struct OAuthClientPresence: Sendable, Equatable {
  /// Whether there is an id.
  public let hasID: Bool
  /// Whether there is a secret, by value or by file.
  public let hasSecret: Bool

  /// A client of which these parts are set.
  public init(hasID: Bool, hasSecret: Bool) {
    self.hasID = hasID
    self.hasSecret = hasSecret
  }
}
