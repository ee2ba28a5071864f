// What billing, the scheduler and the operator's tool may know: Stripe's secrets are billing's
// alone, the mail key and the clients' secrets are the scheduler's, the tool holds no secret.

import HTTPCodec
import Posix
import Providers

/// The settings of `bindery-billing`.
public struct BillingSettings: Sendable {
  /// What every process knows.
  public let common: CommonSettings
  /// Where it listens beside its Unix socket.
  public let listener: ListenSetting
  /// Where operators look.
  public let opsListener: ListenSetting
  /// Whose forwarding headers are believed.
  public let trustedProxies: [CIDR]
  /// Extra trust roots, as a path to PEM.
  public let upstreamCAFile: String?
  /// Stripe's API key; nil = billing is off.
  public let stripeSecretKey: SecretSetting?
  /// Signing secrets of the webhook, each of which may sign.
  public let stripeWebhookSecrets: [SecretSetting]
  /// The price of one connection.
  public let stripePrice: String?
  /// The base of Stripe's API.
  public let stripeURL: WebURL
  /// The rules of plans.
  public let plan: PlanSettings
  /// Who is told about trouble.
  public let adminEmail: String?

  /// Reads and checks them.
  public init(_ environment: Environment) throws(ConfigurationError) {
    let reader = try SettingsReader(.billing, environment)
    common = try CommonSettings(reader)
    listener = try reader.listener(.billingListen)
    opsListener = try reader.opsListener(.billingOpsListen, beside: listener, .billingListen)
    trustedProxies = try reader.ranges(.trustedProxies)
    upstreamCAFile = try reader.readableFile(.upstreamCAFile)
    stripeSecretKey = try reader.secret(.stripeSecretKey)
    stripeWebhookSecrets = try reader.secrets(.stripeWebhookSecrets)
    stripePrice = try reader.text(.stripePrice)
    stripeURL = try reader.secureURLOrStandard(.stripeAPI)
    plan = try PlanSettings(reader)
    adminEmail = try reader.email(.adminEmail)
    if stripeSecretKey != nil && stripePrice == nil {
      throw ConfigurationError(.stripePrice, "must be set with STRIPE_SECRET_KEY")
    }
  }
}

/// The settings of `bindery-scheduler`.
public struct SchedulerSettings: Sendable {
  /// What every process knows.
  public let common: CommonSettings
  /// Where operators look.
  public let opsListener: ListenSetting
  /// The services.
  public let catalogue: Catalogue
  /// Where the operator's services are, to be read again; nil = the built-in ones alone.
  public let catalogueFile: CatalogueFile?
  /// Our client at each service with `static` registration that is set up, by service id.
  public let oauthClients: [String: OAuthClient]
  /// Extra trust roots, as a path to PEM.
  public let upstreamCAFile: String?
  /// The rules of plans; nil = billing is off.
  public let plan: PlanSettings?
  /// SMTP2GO's API key; nil = mails become files.
  public let mailKey: SecretSetting?
  /// The base of SMTP2GO's API.
  public let mailURL: WebURL
  /// The sender of mails.
  public let mailFrom: String
  /// Who is told about new accounts.
  public let adminEmail: String?

  /// Reads and checks them.
  public init(_ environment: Environment) throws(ConfigurationError) {
    let reader = try SettingsReader(.scheduler, environment)
    common = try CommonSettings(reader)
    opsListener = try reader.listener(.schedulerOpsListen)
    catalogueFile = try reader.catalogueFile()
    catalogue = try catalogueFile?.read() ?? .builtIn
    oauthClients = try reader.oauthClients(catalogue)
    upstreamCAFile = try reader.readableFile(.upstreamCAFile)
    plan = try reader.text(.stripePrice) == nil ? nil : PlanSettings(reader)
    mailKey = try reader.secret(.mailKey)
    mailURL = try reader.secureURLOrStandard(.mailAPI)
    let from = try reader.text(.mailFrom)
    guard from != nil || mailKey == nil else {
      throw ConfigurationError(.mailFrom, "must be set with SMTP2GO_API_KEY")
    }
    mailFrom = from ?? "Bindery <bindery@localhost>"
    adminEmail = try reader.email(.adminEmail)
  }
}

/// The settings of the operator's tool.
public struct OperatorSettings: Sendable {
  /// What every process knows.
  public let common: CommonSettings
  /// Where the edge is asked to listen.
  public let edgeListener: ListenSetting
  /// The services.
  public let catalogue: Catalogue
  /// Where the operator's services are, to be read again; nil = the built-in ones alone.
  public let catalogueFile: CatalogueFile?
  /// Which parts of our client at a service with `static` registration are set, by service id; the
  /// tool does not read them.
  public let oauthClients: [String: OAuthClientPresence]
  /// Extra trust roots, as a path to PEM.
  public let upstreamCAFile: String?
  /// The word in API keys.
  public let secretPrefix: String

  /// Reads and checks them.
  public init(_ environment: Environment) throws(ConfigurationError) {
    let reader = try SettingsReader(.operator, environment)
    common = try CommonSettings(reader)
    edgeListener = try reader.listener(.edgeListen)
    catalogueFile = try reader.catalogueFile()
    catalogue = try catalogueFile?.read() ?? .builtIn
    oauthClients = reader.oauthClientPresence(catalogue)
    upstreamCAFile = try reader.readableFile(.upstreamCAFile)
    secretPrefix = try reader.choice(.secretPrefix, "live") { $0 }
  }
}
