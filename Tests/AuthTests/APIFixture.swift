// The whole API over real databases in a folder of its own, without a socket: requests go in as
// values. The service that API keys are tried at, and the shredder, are stand-ins that take notes.

import Accounts
import Clocks
import Configuration
import Database
import FoundationEssentials
import Glibc
import HTTPCodec
import HTTPServer
import JOSE
import Logging
import Metrics
import Posix
import Providers
import Synchronization
import TestFolders
import Testing
import Vault

@testable import bindery_auth

/// Accepts the key "good", refuses all others.
final class ScriptedCheck: APIKeyCheck {
  func check(
    _ provider: Provider, rules: APIKeyRules, header: APIKeyHeader
  ) async throws(Refusal) {
    guard header.value == "Bearer good" else { throw .apiKeyRefused }
  }
}

/// Notes whom it was asked to forget, and whether the edge had been told by then.
final class NotingShredder: TokenShredder {
  private let asked = Mutex<[ConnectionID]>([])
  var all: [ConnectionID] { asked.withLock { $0 } }
  func shred(_ connection: ConnectionID) { asked.withLock { $0.append(connection) } }
}

/// Says what it is told to say, and notes which keys it was given.
final class NotingRevoker: UpstreamRevoker {
  private let asked = Mutex<[(connection: ConnectionID, dataKey: String)]>([])
  private let answer = Mutex(PartingState.revoked)

  var all: [(connection: ConnectionID, dataKey: String)] { asked.withLock { $0 } }

  func say(_ state: PartingState) { answer.withLock { $0 = state } }

  func revoke(_ connection: ConnectionID, dataKey: String) async -> PartingState {
    asked.withLock { $0.append((connection, dataKey)) }
    return answer.withLock { $0 }
  }
}

/// Notes which mails it was asked for.
final class NotingMails: AccountMails {
  private let asked = Mutex<[(mail: AccountMail, user: UserID)]>([])
  var all: [(mail: AccountMail, user: UserID)] { asked.withLock { $0 } }
  func send(_ mail: AccountMail, about user: User) {
    asked.withLock { $0.append((mail, user.id)) }
  }
}

/// An installation for one test.
final class APIFixture: Sendable {
  static let origin = "http://127.0.0.1:8080"
  static let admin = "http://127.0.0.1:3000"

  private let home = TestFolder("auth")
  let api: AuthAPI
  let accounts: SQLiteAccounts
  let bindery: DatabaseThread
  let tokens: DatabaseThread
  let shredder = NotingShredder()
  let revoker = NotingRevoker()
  let web = ScriptedProvider()
  let mails = NotingMails()
  let keys: KeyAgent
  let signingKeys: CurrentSigningKeys
  let epochs: RevocationEpochs

  init(_ change: [String: String] = [:]) throws {
    let folder = home.path
    let providers = """
      {"services":[{"id":"alpha","name":"Alpha","mcp_url":"http://127.0.0.1:9/mcp",\
      "transport":"streamable-http","api_key":{"header":"Authorization","format":"Bearer {key}",\
      "instructions":"Ask.","validate":{"method":"mcp"}}},\
      {"id":"beta","name":"Beta","mcp_url":"https://mcp.example/mcp","transport":"streamable-http",\
      "oauth":{"registration":"dynamic","scopes":["read","write"],\
      "authorize_parameters":{"prompt":"consent"}}},\
      {"id":"delta","name":"Delta","mcp_url":"https://mcp.example/mcp",\
      "transport":"streamable-http","oauth":{"registration":"dynamic"}},\
      {"id":"gamma","name":"Gamma","mcp_url":"https://mcp.example/mcp",\
      "transport":"streamable-http","oauth":{"registration":"static"}}]}
      """
    try Data(providers.utf8).write(to: URL(filePath: "\(folder)/providers.json"))
    _ = try MigrationRunner(directory: folder).run()
    let settings = try AuthSettings(
      Environment(
        [
          "BINDERY_DATA_DIR": folder, "BINDERY_RUN_DIR": folder, "PUBLIC_URL": Self.origin,
          "ADMIN_URL": "\(Self.origin),\(Self.admin)", "SECRET_ENV_PREFIX": "test",
          "PROVIDERS_FILE": "\(folder)/providers.json",
          "MANAGED_ENCRYPTION_MASTER_KEY": String(repeating: "ab", count: 32),
        ].merging(change) { $1 }.filter { !$0.value.isEmpty }))
    bindery = try DatabaseThread(DatabaseFile(.bindery, in: folder), as: .auth)
    tokens = try DatabaseThread(DatabaseFile(.tokens, in: folder), as: .auth)
    accounts = SQLiteAccounts(bindery, plans: settings.plan.map { PlanTerms($0) })
    epochs = try RevocationEpochs(runDirectory: folder, forWriting: true)
    keys = KeyAgent(ring: settings.masterKeys?.ring, environment: .test)
    signingKeys = CurrentSigningKeys(try SigningKeys(file: SigningKeys.generateFile()))
    api = AuthAPI(
      AuthAPI.Parts(
        settings: settings, accounts: accounts, tokens: tokens,
        signingKeys: signingKeys,
        keys: keys, epochs: epochs,
        catalogue: CurrentCatalogue(settings.catalogue), check: ScriptedCheck(), fetch: web,
        shredder: shredder, revoker: revoker, spawn: { work in Task { await work() } },
        log: .discarding,
        requests: MetricRegistry().counters(
          "requests_total", "Requests.", label: "class", by: StatusClass.self),
        mails: mails, billing: nil))
  }

  var folder: String { home.path }

  var resetTokens: ResetTokens { ResetTokens(keys: signingKeys, issuer: Self.origin) }

  deinit {
    for thread in [bindery, tokens] {
      thread.stop()
      thread.join()
    }
  }

  /// An answer with its body read as JSON members.
  struct Answer {
    let response: Response
    let body: JSONMembers?
    var status: Int { response.status }
    func field(_ name: String) -> String? { response.fields.first { $0.name == name }?.value }
  }

  func call(
    _ method: HTTPCodec.Method, _ path: String, _ body: String? = nil,
    _ fields: [(name: String, value: String)] = [], query: String? = nil
  ) async -> Answer {
    var all = fields
    if body != nil { all.append(("content-type", "application/json")) }
    let response = await api.respond(
      to: Request(
        method: method, path: path, query: query, fields: all, body: Array((body ?? "").utf8),
        client: IPAddress("192.0.2.1"), viaEdge: true))
    return Answer(response: response, body: try? JSONMembers(parsing: response.body))
  }

  /// A person who signed in, by the cookie alone, without waiting for a password.
  func person(_ email: String) async throws -> (user: User, cookie: [(name: String, value: String)])
  {
    let password = StoredPassword(
      costN: 2, costR: 1, costP: 1, salt: [UInt8](repeating: 1, count: 16),
      hash: [UInt8](repeating: 2, count: 32))
    let added = try await accounts.addUser(
      email: try #require(EmailAddress(email)), password: password, usersMax: nil, now: .now)
    return (
      added.user,
      [("cookie", "bindery_session=\(added.tokens.cookie)"), ("origin", Self.origin)]
    )
  }

  /// The number that a query over one of the databases gives.
  func count(_ thread: DatabaseThread, _ sql: StaticString) async throws -> Int64 {
    try await thread.run { (database) throws(DatabaseError) -> Int64? in
      try database.first(sql) { (row) throws(DatabaseError) in try row.integer(0) }
    } ?? -1
  }
}
