// Every setting there is, declared once. The manual of `bindery settings`, the check for unknown
// names, and the rule who may read what all come from this table.

extension Setting {
  private static func declare(
    _ name: StaticString, _ group: Group, default standard: StaticString? = nil, _ kind: Kind,
    for readers: [Program], _ meaning: StaticString
  ) -> Setting {
    Setting(
      name: name, group: group, standard: standard, meaning: meaning, kind: kind, readers: readers)
  }

  private static let everyone = Program.allCases
  private static let services = Program.services

  // Places and addresses

  public static let dataDirectory = declare(
    "BINDERY_DATA_DIR", .places, default: "./var/data", .directory, for: everyone,
    "Databases, keys and the outbox. Mount the folder, not single files; no network file system.")
  public static let runDirectory = declare(
    "BINDERY_RUN_DIR", .places, default: "./var/run", .directory, for: everyone,
    "Sockets and locks between the processes.")
  public static let publicURL = declare(
    "PUBLIC_URL", .places, default: "http:// and EDGE_LISTEN", .secureOrigin, for: everyone,
    "The origin of secret URLs, the OAuth issuer and callbacks. https, unless loopback.")
  public static let adminURL = declare(
    "ADMIN_URL", .places, default: "PUBLIC_URL", .secureOrigins, for: everyone,
    "Comma-separated origins of the dashboard: CORS and redirects. The first is used in links.")
  public static let edgeListen = declare(
    "EDGE_LISTEN", .places, default: "127.0.0.1:8080", .listener, for: everyone,
    "Where the edge listens: host:port, or none.")
  public static let authListen = declare(
    "AUTH_LISTEN", .places, default: "127.0.0.1:8081", .listener, for: [.auth],
    "Where auth listens beside its Unix socket: host:port, or none.")
  public static let billingListen = declare(
    "BILLING_LISTEN", .places, default: "127.0.0.1:8082", .listener, for: [.billing],
    "Where billing listens beside its Unix socket: host:port, or none.")
  public static let edgeOpsListen = declare(
    "EDGE_OPS_LISTEN", .places, default: "127.0.0.1:9080", .listener, for: [.edge],
    "The edge's /livez, /readyz and /metrics: host:port, or none.")
  public static let authOpsListen = declare(
    "AUTH_OPS_LISTEN", .places, default: "127.0.0.1:9081", .listener, for: [.auth],
    "The same for auth.")
  public static let billingOpsListen = declare(
    "BILLING_OPS_LISTEN", .places, default: "127.0.0.1:9082", .listener, for: [.billing],
    "The same for billing.")
  public static let schedulerOpsListen = declare(
    "SCHEDULER_OPS_LISTEN", .places, default: "127.0.0.1:9083", .listener, for: [.scheduler],
    "The same for the scheduler.")
  public static let tlsCertificateFile = declare(
    "TLS_CERTIFICATE_FILE", .places, .readableFile, for: [.edge],
    "PEM certificate chain; together with TLS_KEY_FILE the edge serves TLS. Read again on SIGHUP.")
  public static let tlsKeyFile = declare(
    "TLS_KEY_FILE", .places, .readableFile, for: [.edge], "PEM private key of that certificate.")
  public static let trustedProxies = declare(
    "TRUSTED_PROXIES", .places, .ranges, for: [.edge, .auth, .billing],
    "Comma-separated CIDRs whose X-Forwarded-For and X-Forwarded-Proto are believed.")

  // Services and upstreams

  public static let providersFile = declare(
    "PROVIDERS_FILE", .upstreams, default: "the built-in catalogue", .readableFile,
    for: [.edge, .auth, .scheduler, .operator],
    "JSON catalogue of services, merged over the built-in one by id.")
  public static let upstreamCAFile = declare(
    "UPSTREAM_CA_FILE", .upstreams, default: "the system's store", .readableFile,
    for: services + [.operator],
    "Extra trust roots (PEM) for connections to upstreams.")
  public static let allowedOrigins = declare(
    "MCP_ALLOWED_ORIGINS", .upstreams, .browserOrigins, for: [.edge],
    "Comma-separated further origins of browser-based MCP clients, or *.")

  // Keys and credentials

  public static let managedKeys = declare(
    "MANAGED_ENCRYPTION_KEYS", .keys, .masterKeys, for: [.auth],
    "Master keys of the managed mode: [{\"key\":\"<64 hex>\"}], the last is active.")
  public static let managedMasterKey = declare(
    "MANAGED_ENCRYPTION_MASTER_KEY", .keys, .masterKey, for: [.auth],
    "A single master key (64 hex), used when MANAGED_ENCRYPTION_KEYS is not set.")
  public static let secretPrefix = declare(
    "SECRET_ENV_PREFIX", .keys, default: "live", .choice(["live", "stg", "test"]),
    for: [.edge, .auth, .operator], "The word in API keys: bnd_live_..., bnd_stg_..., bnd_test_...")

  // Accounts

  public static let localAccounts = declare(
    "AUTH_LOCAL_ACCOUNTS", .accounts, default: "true", .flag, for: [.auth],
    "Whether people can register with e-mail and password.")
  public static let clerkPublishableKey = declare(
    "CLERK_PUBLISHABLE_KEY", .accounts, .text(bytesMax: 512), for: [.auth],
    "Clerk's publishable key; its tokens are then accepted.")
  public static let clerkJWKS = declare(
    "CLERK_JWKS_URL", .accounts, .secureURL, for: [.auth],
    "Where Clerk's public keys are, when not where the publishable key says.")
  public static let clerkSecretKey = declare(
    "CLERK_SECRET_KEY", .accounts, .secret, for: [.auth], "Clerk's API key, to delete accounts.")
  public static let clerkAPI = declare(
    "CLERK_API_URL", .accounts, default: "https://api.clerk.com", .secureURL, for: [.auth],
    "The base of Clerk's API.")
  public static let usersMax = declare(
    "MAX_USERS", .accounts, .number(1...100_000_000), for: [.auth],
    "New accounts beyond this many are refused.")

  // Billing and plans

  public static let stripeSecretKey = declare(
    "STRIPE_SECRET_KEY", .billing, .secret, for: [.billing],
    "Stripe's API key. Billing is off when it is not set: no limits.")
  public static let stripeWebhookSecrets = declare(
    "STRIPE_WEBHOOK_SECRET", .billing, .secrets, for: [.billing],
    "Signing secret of the webhook; comma-separated while one is rolled.")
  public static let stripePrice = declare(
    "STRIPE_PRICE_CONNECTIONS", .billing, .text(bytesMax: 255),
    for: [.edge, .auth, .billing, .scheduler],
    "The price id of one connection. Plan rules hold in the edge and auth when it is set.")
  public static let stripeAPI = declare(
    "STRIPE_API_URL", .billing, default: "https://api.stripe.com", .secureURL, for: [.billing],
    "The base of Stripe's API.")
  public static let trialDays = declare(
    "TRIAL_DAYS", .billing, default: "5", .number(0...3650), for: services,
    "How long a new account may connect without paying.")
  public static let trialConnections = declare(
    "TRIAL_CONNECTIONS", .billing, default: "2", .number(0...100_000), for: services,
    "How many connections it may have then.")
  public static let pastDueGraceDays = declare(
    "PAST_DUE_GRACE_DAYS", .billing, default: "3", .number(0...365), for: services,
    "For how long an unpaid subscription still works.")

  // Mail and support

  public static let mailKey = declare(
    "SMTP2GO_API_KEY", .mail, .secret, for: [.scheduler],
    "SMTP2GO's API key. Without it each mail becomes a file in the data folder's outbox.")
  public static let mailAPI = declare(
    "SMTP2GO_API_URL", .mail, default: "https://api.smtp2go.com/v3", .secureURL,
    for: [.scheduler], "The base of SMTP2GO's API.")
  public static let adminEmail = declare(
    "ADMIN_NOTIFICATION_EMAIL", .mail, .email, for: [.auth, .billing, .scheduler],
    "Who is told about new accounts.")
  public static let mailFrom = declare(
    "MAIL_FROM", .mail, default: "Bindery <bindery@localhost>", .text(bytesMax: 320),
    for: [.scheduler], "The sender of mails; must be set with SMTP2GO_API_KEY.")
  public static let zohoClientID = declare(
    "ZOHO_CLIENT_ID", .mail, .text(bytesMax: 512), for: [.auth],
    "Zoho Desk for support tickets; all ZOHO settings without a default belong together.")
  public static let zohoClientSecret = declare(
    "ZOHO_CLIENT_SECRET", .mail, .secret, for: [.auth], "Its client secret.")
  public static let zohoRefreshToken = declare(
    "ZOHO_REFRESH_TOKEN", .mail, .secret, for: [.auth], "Its refresh token.")
  public static let zohoOrganization = declare(
    "ZOHO_ORG_ID", .mail, .text(bytesMax: 64), for: [.auth], "The organization in Zoho Desk.")
  public static let zohoDepartment = declare(
    "ZOHO_DEPARTMENT_ID", .mail, .text(bytesMax: 64), for: [.auth], "The department there.")
  public static let zohoAccounts = declare(
    "ZOHO_ACCOUNTS_URL", .mail, default: "https://accounts.zoho.com", .secureURL, for: [.auth],
    "Where Zoho answers tokens.")
  public static let zohoDesk = declare(
    "ZOHO_DESK_URL", .mail, default: "https://desk.zoho.com", .secureURL, for: [.auth],
    "The base of Zoho Desk's API.")

  // Limits

  public static let rateLimit = declare(
    "MCP_PROXY_RATE_LIMIT_PER_HOUR", .limits, .number(1...100_000_000), for: [.edge],
    "Requests that one connection may make in an hour; not set = any number.")
  public static let addressAllowList = declare(
    "IP_ALLOWLIST", .limits, .ranges, for: [.edge],
    "Comma-separated addresses and CIDRs that are never blocked.")
  public static let badCredentials = declare(
    "BLOCK_AFTER_BAD_CREDENTIALS", .limits, default: "20", .number(1...1_000_000), for: [.edge],
    "Distinct bad credentials from one address within 10 minutes before it is blocked.")
  public static let namedNetworks = declare(
    "NAMED_NETWORKS", .limits, default: "anthropic=160.79.104.0/21", .namedRanges,
    for: [.edge, .auth, .operator],
    "Names that stand for ranges in network policies: name=CIDR, comma-separated.")

  // Running

  public static let edgeThreads = declare(
    "EDGE_THREADS", .running, default: "one per core", .number(1...256), for: [.edge],
    "Event loops of the edge.")
  public static let logLevel = declare(
    "LOG_LEVEL", .running, default: "info", .choice(["debug", "info", "warning", "error"]),
    for: everyone, "debug shows more events, never bodies or secrets.")
  public static let readyDescriptor = declare(
    "BINDERY_READY_FD", .running, .descriptor, for: services,
    "Set by `bindery up`: an inherited descriptor that gets one line when the process is ready.")

  /// All of them, in the manual's order.
  public static let all: [Setting] = [
    dataDirectory, runDirectory, publicURL, adminURL, edgeListen, authListen, billingListen,
    edgeOpsListen, authOpsListen, billingOpsListen, schedulerOpsListen, tlsCertificateFile,
    tlsKeyFile, trustedProxies, providersFile, upstreamCAFile, allowedOrigins, managedKeys,
    managedMasterKey, secretPrefix, localAccounts, clerkPublishableKey, clerkJWKS, clerkSecretKey,
    clerkAPI, usersMax, stripeSecretKey, stripeWebhookSecrets, stripePrice, stripeAPI, trialDays,
    trialConnections, pastDueGraceDays, mailKey, mailAPI, adminEmail, mailFrom, zohoClientID,
    zohoClientSecret, zohoRefreshToken, zohoOrganization, zohoDepartment, zohoAccounts, zohoDesk,
    rateLimit, addressAllowList, badCredentials, namedNetworks, edgeThreads, logLevel,
    readyDescriptor,
  ]
}
