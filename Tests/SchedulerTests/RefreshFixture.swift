// Both databases with one OAuth connection, and a token endpoint that answers from a script and
// counts what it is asked: what the tests of the refresher stand on.

import Accounts
import Bytes
import Clocks
import Database
import HTTPClient
import Logging
import Metrics
import OAuth
import Providers
import Synchronization
import TestFolders
import Testing
import Vault

@testable import bindery_scheduler

/// A token endpoint.
final class ScriptedEndpoint: Fetching {
  typealias Answer = @Sendable (_ form: String, _ count: Int) async -> (Int, String)

  private let answer: Answer
  private let asked = Mutex<[String]>([])

  init(_ answer: @escaping Answer) { self.answer = answer }

  /// The forms that came, in order.
  var forms: [String] { asked.withLock { $0 } }

  func fetch(
    _ request: ClientRequest, policy: AddressPolicy, deadline: Instant, bodyBytesMax: Int
  ) async throws(ClientError) -> ClientResponse {
    let form = String(decoding: request.body, as: UTF8.self)
    let count = asked.withLock {
      $0.append(form)
      return $0.count
    }
    let (status, body) = await answer(form, count)
    guard status > 0 else { throw .timeout }
    return ClientResponse(
      status: status, fields: [(name: "content-type", value: Array("application/json".utf8))],
      body: Array(body.utf8), isPartial: false)
  }
}

/// A refresher over real databases.
final class RefreshFixture: Sendable {
  static let connection = "00000000-0000-4000-8000-000000000001"
  static let owner = "00000000-0000-4000-8000-000000000000"

  private let home = TestFolder("refresh")
  let key = DataKey.random()
  let auth: DatabaseThread
  let bindery: DatabaseThread
  let tokens: DatabaseThread
  let endpoint: ScriptedEndpoint
  let parts: Refresher.Parts
  let refresher: Refresher

  /// - Parameters:
  ///   - life: Seconds until the access token ends.
  ///   - gateClock: The present of the providers' gates.
  init(
    life: Int64 = 0, refreshToken: String? = "refresh-1",
    gateClock: @escaping @Sendable () -> Instant = { .now },
    _ answer: @escaping ScriptedEndpoint.Answer
  ) async throws {
    let folder = home.path
    _ = try MigrationRunner(directory: folder).run()
    let files = (DatabaseFile(.bindery, in: folder), DatabaseFile(.tokens, in: folder))
    auth = try DatabaseThread(files.0, as: .auth)
    bindery = try DatabaseThread(files.0, as: .scheduler, access: .readOnly)
    tokens = try DatabaseThread(files.1, as: .scheduler)
    endpoint = ScriptedEndpoint(answer)
    parts = try Self.parts(folder, bindery, tokens, endpoint, gateClock: gateClock)
    refresher = Refresher(parts)
    try await seed(life: life, refreshToken: refreshToken)
  }

  var folder: String { home.path }

  /// What another process on the same folder would have.
  func otherParts() throws -> Refresher.Parts {
    try Self.parts(folder, bindery, tokens, endpoint)
  }

  private static func parts(
    _ folder: String, _ bindery: DatabaseThread, _ tokens: DatabaseThread,
    _ endpoint: ScriptedEndpoint, gateClock: @escaping @Sendable () -> Instant = { .now }
  ) throws -> Refresher.Parts {
    let pause: @Sendable (Duration) async -> Void = { try? await Task.sleep(for: $0) }
    return Refresher.Parts(
      bindery: bindery, tokens: tokens,
      locks: try RefreshLocks(directory: folder),
      gates: ProviderGates(catalogue: { .builtIn }, pause: pause, clock: gateClock),
      fetch: endpoint,
      metrics: RefreshMetrics(MetricRegistry(), services: ["demo"]), log: .discarding,
      clients: [:], pause: pause, lockPatience: .seconds(10))
  }

  private func seed(life: Int64, refreshToken: String?) async throws {
    let now = UnixTime.now
    let grant = OAuthGrant(
      accessToken: "access-1", refreshToken: refreshToken,
      expiresAt: now.advanced(bySeconds: life), issuedAt: now, refreshExpiresAt: nil,
      scope: "read", clientID: "client", clientSecret: nil, clientAuthentication: .none,
      tokenURL: "https://provider.example/token", revocationURL: nil,
      resource: "https://mcp.example/mcp", issuer: "https://provider.example")
    let sealed = grant.tokenSet.withBytes {
      SealEngine().seal($0, under: key, context: context(1))
    }
    let blob = TokenBlob(generation: 1, sealed: sealed, expiresAt: grant.expiresAt)
    let tokensOfAuth = try DatabaseThread(DatabaseFile(.tokens, in: folder), as: .auth)
    try await tokensOfAuth.run { (database) throws(TokenStoreError) in
      try TokenStore(database).insert(blob, of: Self.connection, at: now)
    }
    try await auth.run { (database) throws(DatabaseError) in
      try database.execute(
        "INSERT INTO users (id, email, email_key, created_at) VALUES (?, 'a@b', 'a@b', 1)",
        .text(Self.owner))
      try database.execute(
        """
        INSERT INTO connections (id, user_id, service, label, status, auth_type,
          key_storage_mode, created_at)
        VALUES (?, ?, 'demo', '', 'active', 'oauth', 'zero_knowledge', 1)
        """, .text(Self.connection), .text(Self.owner))
    }
  }

  func context(_ generation: UInt64) -> SealContext {
    .tokenBlob(connection: Self.connection, owner: Self.owner, generation: generation)
  }

  /// Asks for a refresh with a copy of the key.
  func refresh(
    _ generation: UInt64 = 1, wasRefused: Bool = false, by other: Refresher? = nil
  ) async -> Refresher.Outcome {
    await (other ?? refresher).refresh(
      Self.connection, generation: generation, key: DataKey(base64URL: key.base64URL)!,
      wasRefused: wasRefused, urgency: .onDemand)
  }

  /// What is stored now, opened.
  func stored() async throws -> (generation: UInt64, grant: OAuthGrant)? {
    let blob = try await tokens.run { (database) throws(DatabaseError) in
      try TokenStore(database).blob(of: Self.connection)
    }
    guard let blob else { return nil }
    var grant: OAuthGrant?
    try blob.sealed.withUnsafeBytes { sealed in
      try SealEngine().open(sealed, under: key, context: context(blob.generation)) {
        (plain) throws(SealError) in grant = OAuthGrant(tokenSet: plain)
      }
    }
    return (blob.generation, try #require(grant))
  }

  func state() async throws -> RefreshState? {
    try await tokens.run { (database) throws(DatabaseError) in
      try RefreshLedger(database).state(of: Self.connection)
    }
  }

  func openIntents() async throws -> Int64 {
    try await tokens.run { (database) throws(TokenStoreError) in
      try RefreshLedger(database).openIntents()
    }
  }

  func revoke() async throws {
    try await auth.run { (database) throws(DatabaseError) in
      try database.execute(
        "UPDATE connections SET status = 'revoked', revoked_at = 2 WHERE id = ?",
        .text(Self.connection))
    }
    _ = try await tokens.run { (database) throws(DatabaseError) in
      try TokenStore(database).shred(Self.connection)
    }
  }
}
