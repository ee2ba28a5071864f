// swift-tools-version: 6.2
import PackageDescription

// The layers of the system, top first: a module may depend only on modules above it.
// Tests/HouseTests reads this table and the imports of every file.

let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .enableUpcomingFeature("ExistentialAny"),
  .treatAllWarnings(as: .error),
  // Exclusive access is checked by the compiler everywhere, and at run time in debug builds, which
  // the tests run: in release the run-time check would cost an eighth of a request.
  .unsafeFlags(
    ["-cross-module-optimization", "-enforce-exclusivity=unchecked"],
    .when(configuration: .release)),
]

func library(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = [])
  -> Target
{
  .target(
    name: name, dependencies: dependencies, path: "Shared/\(name)", resources: resources,
    swiftSettings: settings)
}

func service(_ executable: String, _ folder: String, _ dependencies: [Target.Dependency])
  -> Target
{
  .executableTarget(
    name: executable, dependencies: dependencies, path: "Services/\(folder)",
    swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(
    name: name, dependencies: dependencies, path: "Tests/\(name)", exclude: [],
    swiftSettings: settings)
}

let package = Package(
  name: "bindery",
  targets: [
    .systemLibrary(name: "CLinux", path: "Shared/CLinux"),
    .systemLibrary(
      name: "CSQLite", path: "Shared/CSQLite", pkgConfig: "sqlite3",
      providers: [.apt(["libsqlite3-dev"])]),
    .systemLibrary(
      name: "COpenSSL", path: "Shared/COpenSSL", pkgConfig: "openssl",
      providers: [.apt(["libssl-dev"])]),
    library("Bytes", ["CLinux"]),
    library("Clocks", ["CLinux", "Bytes"]),
    library("Posix", ["CLinux", "Bytes", "Clocks"]),
    library("Logging", ["CLinux", "Bytes", "Clocks", "Posix"]),
    library("Metrics", []),
    library("HTTPCodec", ["Bytes", "Posix"]),
    library("StrictJSON", ["Bytes"]),
    library("EventLoop", ["CLinux", "Bytes", "Clocks", "Posix"]),
    library("Transport", ["CLinux", "COpenSSL", "Bytes", "Clocks", "Posix", "EventLoop"]),
    library(
      "HTTPServer",
      ["Bytes", "Clocks", "Posix", "Logging", "Metrics", "HTTPCodec", "EventLoop", "Transport"]),
    library(
      "HTTPClient",
      ["Bytes", "Clocks", "Posix", "Logging", "Metrics", "HTTPCodec", "EventLoop", "Transport"]),
    library(
      "RPC",
      ["Bytes", "Clocks", "Posix", "Logging", "Metrics", "StrictJSON", "EventLoop", "Transport"]),
    .target(
      name: "Migrations", path: "migrations",
      resources: [
        .embedInCode("0001_bindery_initial.sql"), .embedInCode("0002_tokens_initial.sql"),
        .embedInCode("0003_stripe_inbox.sql"), .embedInCode("0004_connect.sql"),
        .embedInCode("0005_refresh.sql"), .embedInCode("0006_rotation.sql"),
        .embedInCode("0007_jobs.sql"), .embedInCode("0008_suspension.sql"),
        .embedInCode("0009_authorization_server.sql"),
        .embedInCode("0010_keys.sql"), .embedInCode("0011_account.sql"),
        .embedInCode("0012_key_use.sql"),
        .embedInCode("0013_plans.sql"),
        .embedInCode("0014_billing.sql"),
        .embedInCode("0015_parted_grants.sql"),
      ], swiftSettings: settings),
    library(
      "Database",
      [
        "CSQLite", "COpenSSL", "CLinux", "Bytes", "Clocks", "Posix", "Logging", "Metrics",
        "Migrations",
      ]),
    library(
      "Vault",
      ["COpenSSL", "CSQLite", "CLinux", "Bytes", "Clocks", "Posix", "StrictJSON", "Database"]),
    library("JOSE", ["COpenSSL", "Bytes", "Clocks", "StrictJSON"]),
    library(
      "Providers", ["Bytes", "StrictJSON", "Posix", "HTTPCodec"], resources: []),
    library(
      "OAuth",
      ["Bytes", "Clocks", "Posix", "HTTPCodec", "StrictJSON", "HTTPClient", "Providers"]),
    library(
      "Accounts",
      [
        "COpenSSL", "CSQLite", "Bytes", "Clocks", "Posix", "StrictJSON", "Database", "Vault",
        "JOSE", "Providers",
      ]),
    library(
      "Configuration",
      ["Bytes", "Clocks", "Posix", "Logging", "HTTPCodec", "Vault", "Providers"]),
    library("Stripe", ["COpenSSL", "Bytes", "Clocks", "StrictJSON", "Configuration"]),
    library(
      "ServiceRuntime",
      [
        "CLinux", "Bytes", "Clocks", "Posix", "Logging", "Metrics", "HTTPCodec", "EventLoop",
        "Transport", "HTTPServer", "RPC", "Database", "Configuration",
      ]),
    service(
      "bindery-edge", "Edge",
      [
        "CLinux", "COpenSSL", "Bytes", "Clocks", "Posix", "Logging", "Metrics", "HTTPCodec",
        "StrictJSON",
        "EventLoop", "Transport", "HTTPServer", "HTTPClient", "RPC", "Database", "Vault", "JOSE",
        "Providers", "Accounts", "Configuration", "ServiceRuntime",
      ]),
    service(
      "bindery-auth", "Auth",
      [
        "CLinux", "COpenSSL", "Bytes", "Clocks", "Posix", "Logging", "Metrics", "HTTPCodec",
        "StrictJSON",
        "EventLoop", "Transport", "HTTPServer", "HTTPClient", "RPC", "Database", "Vault", "JOSE",
        "Providers", "OAuth", "Accounts", "Configuration", "ServiceRuntime",
      ]),
    service(
      "bindery-billing", "Billing",
      [
        "CLinux", "COpenSSL", "Bytes", "Clocks", "Posix", "Logging", "Metrics", "HTTPCodec",
        "StrictJSON",
        "EventLoop", "Transport", "HTTPServer", "HTTPClient", "RPC", "Database", "JOSE", "OAuth",
        "Accounts", "Configuration", "Stripe", "ServiceRuntime",
      ]),
    service(
      "bindery-scheduler", "Scheduler",
      [
        "CLinux", "Bytes", "Clocks", "Posix", "Logging", "Metrics", "HTTPCodec", "StrictJSON",
        "EventLoop",
        "Transport", "HTTPServer", "HTTPClient", "RPC", "Database", "Vault", "Providers",
        "OAuth", "Accounts",
        "Configuration", "ServiceRuntime",
      ]),
    service(
      "bindery", "Operator",
      [
        "CLinux", "Bytes", "Clocks", "Posix", "Logging", "Metrics", "HTTPCodec", "StrictJSON",
        "EventLoop",
        "Transport", "HTTPServer", "HTTPClient", "RPC", "Database", "Vault", "JOSE", "Providers",
        "OAuth", "Accounts",
        "Configuration", "ServiceRuntime",
      ]),
    .target(name: "TestFolders", path: "Tests/TestFolders", swiftSettings: settings),
    tests("BytesTests", ["Bytes"]),
    tests("MetricsTests", ["Metrics"]),
    tests("HouseTests", []),
    tests(
      "OperatorTests",
      [
        "Clocks", "Posix", "HTTPCodec", "HTTPClient", "RPC", "Transport", "Vault", "Providers",
        "OAuth", "bindery",
      ]),
    tests("ConfigurationTests", ["Posix", "HTTPCodec", "Vault", "Configuration"]),
    tests("HTTPCodecTests", ["Bytes", "Posix", "HTTPCodec"]),
    tests("StrictJSONTests", ["StrictJSON"]),
    tests("ProvidersTests", ["HTTPCodec", "Providers"]),
    tests(
      "OAuthTests",
      ["Clocks", "Posix", "HTTPCodec", "HTTPClient", "Providers", "Transport", "OAuth"]),
    tests("LoggingTests", ["Bytes", "Clocks", "Posix", "Logging"]),
    tests(
      "AccountsTests",
      [
        "CSQLite", "TestFolders", "Bytes", "Clocks", "Posix", "Database", "Vault", "JOSE",
        "Accounts",
      ]),
    tests(
      "AuthTests",
      [
        "TestFolders", "Bytes", "Clocks", "HTTPClient", "HTTPCodec", "HTTPServer", "Posix", "RPC",
        "Vault", "Accounts", "JOSE", "Logging", "Metrics", "Database", "OAuth", "Providers",
        "Configuration", "COpenSSL", "bindery-auth",
      ]),
    tests("JOSETests", ["Bytes", "Clocks", "JOSE"]),
    tests(
      "VaultTests",
      [
        "COpenSSL", "CSQLite", "CLinux", "Bytes", "Clocks", "Posix", "Migrations", "Database",
        "Vault",
      ]),
    .executableTarget(
      name: "storage-cost", dependencies: ["Bytes", "Clocks", "Database", "Vault"],
      path: "Tests/StorageCost", swiftSettings: settings),
    .executableTarget(
      name: "rotation-rows",
      dependencies: ["Bytes", "Clocks", "Database", "Vault", "Accounts", "Configuration"],
      path: "Tests/RotationRows", swiftSettings: settings),
    .executableTarget(
      name: "database-probe", dependencies: ["CSQLite", "Clocks", "Database"],
      path: "Tests/DatabaseProbe",
      swiftSettings: settings),
    tests(
      "DatabaseTests",
      ["CSQLite", "CLinux", "Bytes", "Clocks", "Posix", "Migrations", "Database", "database-probe"]),
    tests(
      "RPCTests",
      [
        "TestFolders", "CLinux", "Bytes", "Clocks", "Posix", "Logging", "EventLoop", "Transport",
        "RPC",
      ]),
    tests(
      "ServiceRuntimeTests",
      [
        "TestFolders", "CLinux", "Clocks", "Posix", "Metrics", "HTTPCodec", "HTTPServer",
        "Database",
        "Configuration", "ServiceRuntime",
      ]),
    tests(
      "SchedulerTests",
      [
        "TestFolders", "Bytes", "Clocks", "Posix", "Logging", "Metrics", "HTTPCodec", "HTTPClient",
        "RPC",
        "Database", "Vault", "Providers", "OAuth", "Accounts", "Configuration", "bindery-scheduler",
      ]),
    tests("EventLoopTests", ["Clocks", "EventLoop"]),
    tests(
      "HTTPClientTests",
      [
        "Clocks", "Posix", "HTTPCodec", "EventLoop", "Transport", "HTTPServer", "HTTPClient",
      ]),
    tests("TransportTests", ["TestFolders", "Bytes", "Clocks", "Posix", "EventLoop", "Transport"]),
    tests(
      "BillingTests",
      [
        "TestFolders", "Bytes", "Clocks", "Logging", "Metrics", "HTTPCodec", "HTTPServer",
        "HTTPClient", "RPC", "Database", "Accounts",
        "Configuration", "Stripe", "bindery-billing",
      ]),
  ]
)

// Programs of the developers, never part of a plain build.
if Context.environment["BINDERY_MEASURE"] != nil {
  package.targets.append(
    .executableTarget(
      name: "codec-measure", dependencies: ["Bytes", "HTTPCodec", "StrictJSON"],
      path: "Tests/Measure", swiftSettings: settings))
  package.targets.append(
    .executableTarget(
      name: "codec-judge", dependencies: ["Bytes", "HTTPCodec", "StrictJSON"], path: "Tests/Judge",
      exclude: ["differ.py"], swiftSettings: settings))
}

// Every parser under libFuzzer and the address sanitizer; built by deploy/fuzz.
if Context.environment["BINDERY_FUZZ"] != nil {
  package.targets.append(
    .executableTarget(
      name: "bindery-fuzz",
      dependencies: [
        "Bytes", "Clocks", "Posix", "HTTPCodec", "StrictJSON", "RPC", "Vault", "JOSE", "Providers",
        "OAuth",
        "Configuration", "Stripe",
      ],
      path: "Tests/Fuzz", exclude: ["Corpus", "Dictionaries"],
      swiftSettings: settings + [.unsafeFlags(["-parse-as-library"])]))
}
