// Whether settings are read as declared: defaults, strictness, contradictions, and that an error
// names the setting and never its value.

import HTTPCodec
import Posix
import Testing

@testable import Configuration

/// A word that must never be in an error.
let canary = "cAnArY-0123456789"

@Suite("Settings") struct SettingsTests {
  @Test("have the documented defaults")
  func defaults() throws {
    let edge = try EdgeSettings(Environment([:]))
    #expect(edge.common.publicURL.description == "http://127.0.0.1:8080/")
    #expect(edge.common.adminURLs == [edge.common.publicURL])
    #expect(edge.common.dataDirectory.hasPrefix("/"))
    #expect(edge.common.dataDirectory.hasSuffix("/var/data"))
    #expect(edge.common.rpcSocketPath(of: .auth).hasSuffix("/var/run/auth.rpc.sock"))
    #expect(edge.listener == SocketAddress("127.0.0.1:8080").map { .address($0) })
    #expect(edge.opsListener == SocketAddress("127.0.0.1:9080").map { .address($0) })
    #expect(edge.threads >= 1 && edge.badCredentialsMax == 20 && edge.plan == nil)
    #expect(edge.allowedOrigins == .listed([]) && edge.tls == nil)
    #expect(edge.namedNetworks["anthropic"] == CIDR("160.79.104.0/21").map { [$0] })
    let auth = try AuthSettings(Environment([:]))
    #expect(auth.localAccounts && auth.masterKeys == nil && auth.clerk == nil && auth.zoho == nil)
    let billing = try BillingSettings(Environment([:]))
    #expect(billing.plan.trialDays == 5 && billing.plan.trialConnections == 2)
    #expect(billing.stripeURL.description == "https://api.stripe.com/")
    _ = try SchedulerSettings(Environment([:]))
    _ = try OperatorSettings(Environment([:]))
  }

  @Test("are read as given")
  func given() throws {
    let edge = try EdgeSettings(
      Environment([
        "BINDERY_DATA_DIR": "/d", "BINDERY_RUN_DIR": "r", "PUBLIC_URL": "https://mcp.example:8443",
        "ADMIN_URL": "https://a.example, http://localhost:3000", "EDGE_LISTEN": "[::]:80",
        "EDGE_OPS_LISTEN": "none", "TRUSTED_PROXIES": "10.0.0.0/8,::1", "EDGE_THREADS": "3",
        "MCP_ALLOWED_ORIGINS": "*", "STRIPE_PRICE_CONNECTIONS": "price_1", "LOG_LEVEL": "debug",
        "IP_ALLOWLIST": "192.0.2.1", "MCP_PROXY_RATE_LIMIT_PER_HOUR": "100",
        "NAMED_NETWORKS": "home=192.0.2.0/24,home=2001:db8::/32", "UNRELATED": "x",
        "BINDERY_READY_FD": "7", "TRIAL_DAYS": "",
      ]))
    #expect(edge.common.databasePath == "/d/bindery.sqlite")
    #expect(edge.common.runDirectory.hasSuffix("/r") && edge.common.runDirectory.hasPrefix("/"))
    #expect(edge.common.publicURL.origin == "https://mcp.example:8443")
    #expect(edge.common.adminURLs.map(\.origin) == ["https://a.example", "http://localhost:3000"])
    #expect(edge.trustedProxies.count == 2 && edge.threads == 3 && edge.allowedOrigins == .any)
    #expect(edge.plan?.trialDays == 5 && edge.opsListener == .unixOnly)
    #expect(edge.requestsPerHourMax == 100 && edge.namedNetworks["home"]?.count == 2)
    #expect(edge.common.logLevel == .debug && edge.common.readyDescriptor == 7)
  }

  static let refused: [(Program, [String: String], String)] = [
    (.edge, ["BINDERY_DATADIR": canary], "BINDERY_DATADIR"),
    (.edge, ["PUBLIC_URL": "http://\(canary).example"], "PUBLIC_URL"),
    (.edge, ["PUBLIC_URL": "https://a.example/\(canary)"], "PUBLIC_URL"),
    (.edge, ["PUBLIC_URL": "https://user:\(canary)@a.example"], "PUBLIC_URL"),
    (.edge, ["PUBLIC_URL": "ftp://a.example"], "PUBLIC_URL"),
    (.edge, ["PUBLIC_URL": "http://127.1"], "PUBLIC_URL"),
    (.edge, ["PUBLIC_URL": "http://127.0.0.1.evil.com"], "PUBLIC_URL"),
    (.edge, ["PUBLIC_URL": "http://localhost."], "PUBLIC_URL"),
    (.edge, ["PUBLIC_URL": "https://a.example,https://b.example"], "PUBLIC_URL"),
    (.edge, ["EDGE_LISTEN": "none"], "PUBLIC_URL"),
    (.edge, ["EDGE_LISTEN": "127.0.0.1:0"], "PUBLIC_URL"),
    (.edge, ["EDGE_LISTEN": "0.0.0.0:80"], "PUBLIC_URL"),
    (.edge, ["EDGE_LISTEN": canary], "EDGE_LISTEN"), (.edge, ["EDGE_LISTEN": ":80"], "EDGE_LISTEN"),
    (.edge, ["EDGE_LISTEN": "127.0.0.1:65536"], "EDGE_LISTEN"),
    (.edge, ["EDGE_LISTEN": "127.0.0.1:+80"], "EDGE_LISTEN"),
    (.edge, ["EDGE_LISTEN": "unix:/x"], "EDGE_LISTEN"),
    (.edge, ["EDGE_OPS_LISTEN": "127.0.0.1:8080"], "EDGE_OPS_LISTEN"),
    (.edge, ["ADMIN_URL": "https://a.example,"], "ADMIN_URL"),
    (.edge, ["ADMIN_URL": "http://a.example"], "ADMIN_URL"),
    (.edge, ["ADMIN_URL": "*"], "ADMIN_URL"), (.edge, ["EDGE_THREADS": "+5"], "EDGE_THREADS"),
    (.edge, ["EDGE_THREADS": "05"], "EDGE_THREADS"), (.edge, ["EDGE_THREADS": "0"], "EDGE_THREADS"),
    (.edge, ["EDGE_THREADS": "5s"], "EDGE_THREADS"),
    (.edge, ["EDGE_THREADS": "\u{665}"], "EDGE_THREADS"),
    (.edge, ["EDGE_THREADS": "99999999999999999999"], "EDGE_THREADS"),
    (.edge, ["EDGE_THREADS": " 5"], "EDGE_THREADS"), (.edge, ["LOG_LEVEL": "INFO"], "LOG_LEVEL"),
    (.edge, ["LOG_LEVEL": canary], "LOG_LEVEL"),
    (.edge, ["TRUSTED_PROXIES": "10.0.0.1/8"], "TRUSTED_PROXIES"),
    (.edge, ["TRUSTED_PROXIES": "10.0.0.0/33"], "TRUSTED_PROXIES"),
    (.edge, ["TRUSTED_PROXIES": "10.0.0.0/8 11.0.0.0/8"], "TRUSTED_PROXIES"),
    (.edge, ["IP_ALLOWLIST": canary], "IP_ALLOWLIST"),
    (.edge, ["NAMED_NETWORKS": "Home=10.0.0.0/8"], "NAMED_NETWORKS"),
    (.edge, ["MCP_ALLOWED_ORIGINS": "https://a.example/x"], "MCP_ALLOWED_ORIGINS"),
    (.edge, ["TLS_KEY_FILE": "/dev/null"], "TLS_CERTIFICATE_FILE"),
    (.edge, ["TLS_CERTIFICATE_FILE": "/dev/null"], "TLS_KEY_FILE"),
    (.edge, ["TLS_CERTIFICATE_FILE": "/nonexistent/\(canary)"], "TLS_CERTIFICATE_FILE"),
    (.edge, ["TLS_CERTIFICATE_FILE": "/"], "TLS_CERTIFICATE_FILE"),
    (.edge, ["PROVIDERS_FILE": "/nonexistent/\(canary)"], "PROVIDERS_FILE"),
    (.edge, ["BINDERY_READY_FD": "2"], "BINDERY_READY_FD"),
    (.edge, ["SECRET_ENV_PREFIX": "prod"], "SECRET_ENV_PREFIX"),
    (.auth, ["MANAGED_ENCRYPTION_MASTER_KEY": canary], "MANAGED_ENCRYPTION_MASTER_KEY"),
    (.auth, ["MANAGED_ENCRYPTION_KEYS": canary], "MANAGED_ENCRYPTION_KEYS"),
    (.auth, ["MANAGED_ENCRYPTION_KEYS_FILE": "/nonexistent"], "MANAGED_ENCRYPTION_KEYS_FILE"),
    (
      .auth, ["CLERK_SECRET_KEY": "\(canary) x", "CLERK_JWKS_URL": "https://c.example/"],
      "CLERK_SECRET_KEY"
    ),
    (.auth, ["CLERK_SECRET_KEY": canary], "CLERK_SECRET_KEY"),
    (.auth, ["CLERK_JWKS_URL": "http://\(canary)/"], "CLERK_JWKS_URL"),
    (.auth, ["AUTH_LOCAL_ACCOUNTS": "yes"], "AUTH_LOCAL_ACCOUNTS"),
    (.auth, ["AUTH_LOCAL_ACCOUNTS": "false"], "AUTH_LOCAL_ACCOUNTS"),
    (.auth, ["MAX_USERS": "-1"], "MAX_USERS"),
    (.auth, ["ADMIN_NOTIFICATION_EMAIL": "a@b@\(canary)"], "ADMIN_NOTIFICATION_EMAIL"),
    (.auth, ["ADMIN_NOTIFICATION_EMAIL": "a@b>"], "ADMIN_NOTIFICATION_EMAIL"),
    (.auth, ["ZOHO_CLIENT_ID": "a", "ZOHO_CLIENT_SECRET": canary], "ZOHO_REFRESH_TOKEN"),
    (.auth, ["GITHUB_CLIENT_ID": canary], "GITHUB_CLIENT_SECRET"),
    (.auth, ["GITHUB_CLIENT_SECRET": canary], "GITHUB_CLIENT_ID"),
    (.scheduler, ["SMTP2GO_API_KEY": canary], "MAIL_FROM"),
    (.billing, ["STRIPE_SECRET_KEY": canary], "STRIPE_PRICE_CONNECTIONS"),
    (.billing, ["STRIPE_WEBHOOK_SECRET": "\(canary),,b"], "STRIPE_WEBHOOK_SECRET"),
    (.billing, ["STRIPE_API_URL": "http://\(canary).example"], "STRIPE_API_URL"),
    (.billing, ["TRIAL_DAYS": "1.5"], "TRIAL_DAYS"),
  ]

  @Test(
    "that are malformed or contradict each other are named, their values never", arguments: refused)
  func strict(program: Program, variables: [String: String], setting: String) {
    do throws(ConfigurationError) {
      let environment = Environment(variables)
      switch program {
      case .edge: _ = try EdgeSettings(environment)
      case .auth: _ = try AuthSettings(environment)
      case .billing: _ = try BillingSettings(environment)
      case .scheduler: _ = try SchedulerSettings(environment)
      case .operator: _ = try OperatorSettings(environment)
      }
      Issue.record("accepted \(variables)")
    } catch {
      #expect(error.setting == setting, "\(error)")
      #expect(!"\(error)".contains(canary))
      #expect(!"\(error)".contains("\n"))
    }
  }

  @Test("every setting is declared once, with a sound default and a reader")
  func table() {
    let names = Setting.all.map { "\($0.name)" }
    #expect(Set(names).count == names.count)
    for setting in Setting.all {
      #expect(!setting.readers.isEmpty && setting.meaning.utf8CodeUnitCount > 10)
      // Secrets are never read by the process that faces the internet, nor by the tool.
      if setting.isSecret {
        #expect(!setting.readers.contains(.edge) && !setting.readers.contains(.operator))
      }
      #expect(!setting.isSecret || setting.readers.count == 1)
    }
    #expect(SettingsManual.text.split(separator: "\n").allSatisfy { $0.utf8.count <= 100 })
    for name in names {
      #expect(SettingsManual.text.contains("  \(name)"))
      #expect(SettingsManual.json.contains("\"\(name)\""))
    }
  }
}
