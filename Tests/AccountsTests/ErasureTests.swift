// A deleted account leaves nothing, and an exported one is complete and without secrets. The lists of
// tables are held against the schema, so that a new table can not be forgotten.

import CSQLite
import Clocks
import JOSE
import Testing

@testable import Accounts
@testable import Database

@Suite("Erasure and export") struct ErasureTests {
  private static let now = Fixture.now
  private static let billing: Set<String> = [
    "stripe_customers", "subscriptions", "billing_standings", "billing_trail", "stripe_inbox",
  ]

  private func names(_ thread: DatabaseThread) async throws -> Set<String> {
    let names = try await thread.run { (database) throws(DatabaseError) in
      try database.all("SELECT name FROM sqlite_schema WHERE type = 'table'") {
        (row) throws(DatabaseError) in try row.text(0)
      }
    }
    return Set(names)
  }

  @Test("every table is on one list") func lists() async throws {
    let fixture = try Fixture()
    let tokens = try DatabaseThread(DatabaseFile(.tokens, in: fixture.folder), as: .auth)
    defer {
      tokens.stop()
      tokens.join()
    }
    let there = try await names(fixture.thread).union(try await names(tokens))
    let listed =
      AccountRows.tables.map { "\($0.name)" } + AccountRows.tokenTables.map { "\($0.name)" }
    #expect(Set(listed).count == listed.count)
    #expect(Set(listed).isDisjoint(with: AccountRows.impersonal.keys))
    #expect(there.subtracting(listed).subtracting(AccountRows.impersonal.keys) == [])
    #expect(Set(listed).subtracting(there) == [])
  }

  /// A person with a row in every table that can have one.
  private func fill(_ fixture: Fixture, _ email: String) async throws -> User {
    let accounts = fixture.accounts
    let (user, _) = try await fixture.addUser(email)
    let (kept, credential) = try await fixture.addConnection(
      of: user, lookup: SHA256Digest.of("1" + email))
    let (zero, _) = try await fixture.connect(user)
    let (managed, _) = try await fixture.connect(user, managed: true)
    for connection in [zero, managed] {
      _ = try await accounts.revokeConnection(connection.id, of: user.id, now: Self.now)
    }
    try await accounts.askForReset(of: user.id, now: Self.now)
    _ = try await accounts.setPlan(
      PlanStanding(version: 3, plan: .active, quantity: 2), why: ["paid"], of: user.id,
      now: Self.now)
    try await accounts.noteInterest(in: "figma", by: user.id, now: Self.now)
    let values: [Value] = [.text(kept.id.text), .text(credential.text), .text(user.id.text)]
    try await write(
      fixture, as: .auth, "INSERT INTO clerk_identities VALUES (?3 || '!', ?3, 1)",
      values)
    try await write(
      fixture, as: .auth,
      "INSERT INTO audit (at, event, user_id, connection_id) VALUES (1, 'old', ?3, ?1)", values)
    try await write(
      fixture, as: .auth,
      """
      INSERT INTO pending_authorizations SELECT randomblob(32), ?3, 'linear', randomblob(32), NULL,
        'managed', '/dashboard', randomblob(600), 1, 9999999999
      """, values)
    try await write(
      fixture, as: .auth,
      """
      INSERT INTO oauth_grants (id, user_id, connection_id, client_id, client_name, resource, scope,
        created_at, expires_at, redirect_uri, code_hash, code_challenge, code_expires_at, code_wrap)
      SELECT ?1, ?3, ?1, 'client', ?2, 'https://x.example/', '', 1, 9999999999,
        'http://127.0.0.1/', randomblob(32), randomblob(32), 9999999999, randomblob(600)
      """, values)
    try await write(
      fixture, as: .auth,
      "INSERT INTO oauth_access_tokens SELECT randomblob(32), ?1, randomblob(600), 9999999999",
      Array(values.prefix(1)))
    try await write(
      fixture, as: .auth,
      "INSERT INTO parted_grants SELECT randomblob(32), randomblob(32), ?1, ?2, ?1, randomblob(99)",
      [values[0], values[2]])
    try await write(
      fixture, as: .auth, "INSERT INTO user_keys SELECT ?1, ?2, 'k', randomblob(32), 1, NULL, 2",
      [values[0], values[2]])
    try await write(
      fixture, as: .auth, "INSERT INTO spaces VALUES (?1, ?2, 's', 1)", [values[0], values[2]])
    try await write(
      fixture, as: .auth, "INSERT INTO space_connections VALUES (?1, ?1)", [values[0]])
    try await write(
      fixture, as: .auth,
      "INSERT INTO space_api_keys SELECT ?1, ?1, 'k', randomblob(32), 1, 1, 0, 1, NULL, NULL",
      [values[0]])
    try await write(
      fixture, as: .auth,
      "INSERT INTO claims SELECT randomblob(32), ?3, ?1, randomblob(600), 1, 9999999999", values)
    try await write(
      fixture, as: .edge, "INSERT INTO credential_use VALUES (?1, ?2, 5, 7)",
      Array(values.prefix(2)))
    try await write(
      fixture, as: .edge,
      "INSERT INTO activity VALUES (NULL, ?1, ?2, 5000, 200, 'ping', 3, '192.0.2.0/24')",
      Array(values.prefix(2)))
    try await write(
      fixture, as: .scheduler,
      """
      INSERT INTO mail_queue (id, dedupe_key, kind, recipient, subject, body, created_at,
        next_try_at, user_id)
      VALUES (?1, 'to ' || ?3, 'yearly_reminder', ?4, 'Hello', 'Text', 1, 1, ?3),
        (?2, 'of ' || ?3, 'new_user', 'admin@example.org', 'New', ?4 || ' came', 1, 1, ?3)
      """, values + [.text(email)])
    try await fillBilling(fixture, user)
    return user
  }

  private func fillBilling(_ fixture: Fixture, _ user: User) async throws {
    let id: [Value] = [.text(user.id.text)]
    try await write(
      fixture, as: .billing,
      "INSERT INTO stripe_customers (id, user_id, linked_at) VALUES ('cus' || ?1, ?1, 1)", id)
    try await write(
      fixture, as: .billing,
      """
      INSERT INTO subscriptions (id, customer_id, status) VALUES ('sub' || ?1, 'cus' || ?1, 'active')
      """, id)
    try await write(
      fixture, as: .billing,
      """
      INSERT INTO billing_standings (user_id, version, plan, quantity, why, deliver_at)
      VALUES (?1, 1, 'active', 1, 'sub', 1)
      """, id)
    try await write(
      fixture, as: .billing,
      "INSERT INTO billing_trail (at, customer_id, text) VALUES (1, 'cus' || ?1, 'it began')", id)
    try await write(
      fixture, as: .billing,
      """
      INSERT INTO stripe_inbox (id, type, created_at, livemode, customer_id, body, received_at)
      VALUES ('evt' || ?1, 't', 1, 0, 'cus' || ?1, x'7b7d', 1)
      """, id)
  }

  private func write(
    _ fixture: Fixture, as role: ProcessRole, _ sql: StaticString, _ values: [Value]
  ) async throws {
    let thread = try DatabaseThread(DatabaseFile(.bindery, in: fixture.folder), as: role)
    defer {
      thread.stop()
      thread.join()
    }
    try await thread.run { (database) throws(AccountError) in
      _ = try database.change(sql, values)
    }
  }

  /// Tables in which any column of any row holds `text`.
  private func tables(_ fixture: Fixture, holding text: String) async throws -> Set<String> {
    let all = try await names(fixture.thread)
    let database = try Connection(
      DatabaseFile(.bindery, in: fixture.folder), as: .auth, access: .readOnly)
    var found: Set<String> = []
    for table in all {
      let rows = try Connection.dump(table, of: database.database)
      if rows.contains(text) { found.insert(table) }
    }
    return found
  }

  @Test("leaves nothing of one person and everything of another") func erase() async throws {
    let fixture = try Fixture()
    let ann = try await fill(fixture, "ann@example.org")
    let bob = try await fill(fixture, "bob@example.org")
    let before = try await tables(fixture, holding: ann.id.text)
    // Each table that names people by id has a row of hers, or the test would prove nothing.
    #expect(
      before
        == Self.billing.union([
          "users", "password_hashes", "password_resets", "plans", "sessions", "connections",
          "claims",
          "pending_authorizations", "parted_wraps", "parted_grants", "upstream_revocations",
          "clerk_identities", "interest", "audit", "audit_subjects", "mail_queue", "oauth_grants",
          "user_keys", "spaces",
        ]))
    let bobs = try await tables(fixture, holding: bob.id.text)
    let connections = try await fixture.accounts.connections(of: ann.id).map(\.id)
    let erased = try await fixture.accounts.eraseAccount(ann.id, now: Self.now)
    #expect(erased.connections.count == 3)
    #expect(Set(connections).isSubset(of: erased.connections))
    #expect(erased.clerkSubject == ann.id.text + "!")
    // Billing knew her: it has to forget her, too, when it has noted what Stripe is to be told.
    let left = try await tables(fixture, holding: ann.id.text)
    #expect(left == Self.billing.union(["billing_farewells"]))
    #expect(try await fixture.accounts.farewells(limit: 10) == [ann.id])
    try await fixture.accounts.endFarewell(to: ann.id)
    #expect(try await tables(fixture, holding: ann.id.text) == Self.billing)
    #expect(try await tables(fixture, holding: "ann@example.org") == [])
    #expect(try await tables(fixture, holding: bob.id.text) == bobs)
    // What is left of her connections names nobody: the log, and the list for the tidying.
    for connection in erased.connections {
      let left = try await tables(fixture, holding: connection.text)
      #expect(left.isSubset(of: ["audit_log", "erased_connections"]))
    }
    await #expect(throws: AccountError.notFound) {
      _ = try await fixture.accounts.eraseAccount(ann.id, now: Self.now)
    }
    #expect(try await fixture.accounts.connections(of: bob.id).count == 1)
  }

  @Test("what the edge writes late goes with the next tidying") func late() async throws {
    let fixture = try Fixture()
    let ann = try await fill(fixture, "ann@example.org")
    let connection = try await fixture.accounts.connections(of: ann.id)[0].id
    _ = try await fixture.accounts.eraseAccount(ann.id, now: Self.now)
    try await write(
      fixture, as: .edge, "INSERT INTO credential_use VALUES (?1, 'c', 5, 7)",
      [.text(connection.text)])
    try await write(
      fixture, as: .edge,
      "INSERT INTO activity VALUES (NULL, ?1, 'c', 5000, 200, 'ping', 3, '192.0.2.0/24')",
      [.text(connection.text)])
    _ = try await fixture.accounts.tidy(now: Self.now)
    #expect(
      try await tables(fixture, holding: connection.text) == ["audit_log", "erased_connections"])
    _ = try await fixture.accounts.tidy(now: Self.now.advanced(bySeconds: 3600))
    #expect(try await tables(fixture, holding: connection.text) == ["audit_log"])
  }

  @Test("an export shows every table that has a row, and nobody else's") func export()
    async throws
  {
    let fixture = try Fixture()
    let ann = try await fill(fixture, "ann@example.org")
    let bob = try await fill(fixture, "bob@example.org")
    let text = String(
      decoding: try await fixture.accounts.export(ann.id).text(at: Self.now), as: UTF8.self)
    for table in AccountRows.tables where table.shown != nil {
      #expect(text.contains("\"\(table.name)\":[{"), "\(table.name)")
    }
    #expect(text.contains("ann@example.org"))
    #expect(!text.contains("bob@example.org"))
    #expect(!text.contains(bob.id.text))
    #expect(!text.contains("admin@example.org"))
    #expect(text.hasPrefix("{\"format\":1,\"exported_at\":\(Self.now.seconds),\"users\":[{"))
    await #expect(throws: AccountError.notFound) {
      _ = try await fixture.accounts.export(UserID.random())
    }
  }
}

extension Connection {
  /// Every value of a table as text, one a line. The name comes from the schema.
  fileprivate static func dump(_ table: String, of database: OpaquePointer) throws -> String {
    var statement: OpaquePointer?
    let sql = "SELECT * FROM \"\(table)\""
    guard sqlite3_prepare_v2(database, sql, -1, &statement, nil) == SQLITE_OK else {
      throw DatabaseError.stopped
    }
    defer { sqlite3_finalize(statement) }
    var text = ""
    while sqlite3_step(statement) == SQLITE_ROW {
      for column in 0..<sqlite3_column_count(statement) {
        let count = Int(sqlite3_column_bytes(statement, column))
        if let bytes = sqlite3_column_blob(statement, column) {
          let value = UnsafeRawBufferPointer(start: bytes, count: count)
          text += String(decoding: value, as: UTF8.self) + "\n"
        }
      }
    }
    return text
  }
}
