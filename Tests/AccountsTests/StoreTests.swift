// People, connections and credentials: what is written, and that nobody reaches another's. Below,
// the values that the stores take.

import Accounts
import Clocks
import Database
import JOSE
import Posix
import Testing

@Suite("Stores") struct StoreTests {
  @Test("one address is one account, whatever its case; MAX_USERS holds") func users() async throws
  {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser("Ann@Example.org")
    await #expect(throws: AccountError.emailTaken) { try await fixture.addUser("ann@example.ORG") }
    let address = try #require(EmailAddress("ANN@example.org"))
    let found = try #require(try await fixture.accounts.user(email: address))
    #expect(found.user == user)
    #expect(found.password == Fixture.password)
    let other = try #require(EmailAddress("b@example.org"))
    await #expect(throws: AccountError.usersMaxReached) {
      _ = try await fixture.accounts.addUser(
        email: other, password: Fixture.password, usersMax: 1, now: Fixture.now)
    }
    #expect(try await fixture.accounts.user(email: other) == nil)
  }

  @Test("labels count up per service; changes and lists follow") func connections() async throws {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    let (first, _) = try await fixture.addConnection(of: user, lookup: SHA256Digest.of("1"))
    let (second, _) = try await fixture.addConnection(of: user, lookup: SHA256Digest.of("2"))
    #expect([first.label, second.label] == ["Linear 1", "Linear 2"])
    let changed = try await fixture.accounts.changeConnection(
      first.id, of: user.id, label: "Work", networks: nil, now: Fixture.now)
    #expect(changed.label == "Work")
    #expect(changed.networks == nil)
    let policy = NetworkPolicy(entries: ["2001:db8::/32"])
    _ = try await fixture.accounts.changeConnection(
      first.id, of: user.id, label: nil, networks: .some(policy), now: Fixture.now)
    let read = try await fixture.accounts.connection(first.id, of: user.id)
    #expect(read.networks == policy)
    #expect(read.label == "Work")
    let cleared = try await fixture.accounts.changeConnection(
      first.id, of: user.id, label: nil, networks: .some(nil), now: Fixture.now)
    #expect(cleared.networks == nil)
    #expect(
      Set(try await fixture.accounts.connections(of: user.id).map(\.id)) == [first.id, second.id])
  }

  @Test("what is done to a connection is noted, who, when and which, without its label")
  func audit() async throws {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    let (connection, credential) = try await fixture.addConnection(of: user)
    let later = UnixTime(seconds: Fixture.now.seconds + 5)
    _ = try await fixture.accounts.changeConnection(
      connection.id, of: user.id, label: "canary", networks: nil, now: later)
    _ = try await fixture.accounts.changeConnection(
      connection.id, of: user.id, label: nil, networks: .some(nil), now: later)
    try await fixture.accounts.revokeCredential(
      credential, of: connection.id, user: user.id, now: later)
    _ = try await fixture.accounts.revokeConnection(connection.id, of: user.id, now: later)
    let rows = try await fixture.thread.run { (database) throws(DatabaseError) in
      var rows: [[String]] = []
      try database.withStatement(
        """
        SELECT event || ' ' || l.at, s.user_id, about FROM audit_log AS l
        JOIN audit_subjects AS s ON s.subject = l.subject
        WHERE about LIKE 'connection=%' ORDER BY sequence
        """
      ) { (statement) throws(DatabaseError) in
        while try statement.step() {
          var row: [String] = []
          for place in Int32(0)..<3 { row.append(try statement.row.text(place)) }
          rows.append(row)
        }
      }
      return rows
    }
    let whole = "connection=\(connection.id.text)"
    let part = "\(whole)\ncredential=\(credential.text)"
    let at = "\(later.seconds)"
    #expect(
      rows == [
        ["connection_added \(Fixture.now.seconds)", user.id.text, part],
        ["connection_changed \(at)", user.id.text, whole],
        ["connection_changed \(at)", user.id.text, whole],
        ["credential_revoked \(at)", user.id.text, part],
        ["connection_revoked \(at)", user.id.text, whole],
      ])
  }

  @Test("what belongs to someone else is not found, and stays as it was") func ownership()
    async throws
  {
    let fixture = try Fixture()
    let accounts = fixture.accounts
    let (owner, _) = try await fixture.addUser()
    let (stranger, _) = try await fixture.addUser("s@example.org")
    let lookup = SHA256Digest.of("one")
    let (connection, credential) = try await fixture.addConnection(of: owner, lookup: lookup)
    let attempts: [@Sendable () async throws -> Void] = [
      { _ = try await accounts.connection(connection.id, of: stranger.id) },
      {
        _ = try await accounts.changeConnection(
          connection.id, of: stranger.id, label: "x", networks: nil, now: Fixture.now)
      },
      { _ = try await accounts.revokeConnection(connection.id, of: stranger.id, now: Fixture.now) },
      { _ = try await accounts.credentials(of: connection.id, user: stranger.id) },
      {
        try await accounts.revokeCredential(
          credential, of: connection.id, user: stranger.id, now: Fixture.now)
      },
      {
        _ = try await accounts.credentialWrap(
          lookup: lookup, of: connection.id, user: stranger.id, now: Fixture.now)
      },
      { _ = try await accounts.managedWrap(connection.id, of: stranger.id) },
      { _ = try await accounts.activity(of: connection.id, user: stranger.id, countMax: 1) },
      {
        try await accounts.addCredential(
          NewCredential(
            record: CredentialRecord(
              id: .random(), connectionID: connection.id, name: "x", createdAt: Fixture.now),
            lookup: SHA256Digest.of("x"), wrap: [1]), user: stranger.id)
      },
    ]
    for attempt in attempts { await #expect(throws: AccountError.notFound) { try await attempt() } }
    #expect(try await accounts.connections(of: stranger.id).isEmpty)
    #expect(try await accounts.connections(of: owner.id) == [connection])
    #expect(try await accounts.credentials(of: connection.id, user: owner.id).count == 1)
  }

  @Test("a credential opens its own connection only, until it ends") func credentials() async throws
  {
    let fixture = try Fixture()
    let accounts = fixture.accounts
    let (user, _) = try await fixture.addUser()
    let (first, _) = try await fixture.addConnection(of: user, lookup: SHA256Digest.of("1"))
    let (second, _) = try await fixture.addConnection(of: user, lookup: SHA256Digest.of("2"))
    let end = Fixture.now.advanced(bySeconds: 60)
    let added = NewCredential(
      record: CredentialRecord(
        id: .random(), connectionID: first.id, name: "ci", createdAt: Fixture.now, expiresAt: end),
      lookup: SHA256Digest.of("3"), wrap: [9])
    try await accounts.addCredential(added, user: user.id)
    let listed = try await accounts.credentials(of: first.id, user: user.id)
    #expect(listed.count == 2)
    #expect(listed.contains(added.record))
    let cases: [(ConnectionID, UnixTime, Bool)] = [
      (first.id, Fixture.now, true), (second.id, Fixture.now, false), (first.id, end, false),
    ]
    for (connection, now, expected) in cases {
      let found = try await accounts.credentialWrap(
        lookup: added.lookup, of: connection, user: user.id, now: now)
      #expect((found?.wrap == [9]) == expected)
    }
    try await accounts.revokeCredential(
      added.record.id, of: first.id, user: user.id, now: Fixture.now)
    #expect(try await accounts.credentials(of: first.id, user: user.id).count == 1)
  }

  @Test("last use and activity come from what the edge wrote") func activity() async throws {
    let fixture = try Fixture()
    let (user, _) = try await fixture.addUser()
    let (connection, credential) = try await fixture.addConnection(of: user)
    let edge = try DatabaseThread(DatabaseFile(.bindery, in: fixture.folder), as: .edge)
    try await edge.run { (database) throws(DatabaseError) in
      try database.transaction { () throws(DatabaseError) in
        try database.execute(
          """
          INSERT INTO credential_use (connection_id, credential_id, last_used_at, requests)
          VALUES (?, ?, 1800000005, 3)
          """, .text(connection.id.text), .text(credential.text))
        try database.execute(
          """
          INSERT INTO activity (connection_id, credential_id, at_ms, status, method_name,
            duration_ms, network) VALUES (?, ?, 1800000005123, 200, 'tools/call', 12, '127.0.0.0/24')
          """, .text(connection.id.text), .text(credential.text))
      }
    }
    let read = try await fixture.accounts.connection(connection.id, of: user.id)
    #expect(read.lastUsedAt == UnixTime(seconds: 1_800_000_005))
    let listed = try await fixture.accounts.credentials(of: connection.id, user: user.id)
    #expect(listed.first?.lastUsedAt == read.lastUsedAt)
    let rows = try await fixture.accounts.activity(of: connection.id, user: user.id, countMax: 10)
    #expect(rows.map(\.methodName) == ["tools/call"])
    edge.stop()
    edge.join()
  }
}

@Suite("Names and policies") struct ValueTests {
  @Test(
    "an e-mail address is read in one way only",
    arguments: [
      ("a@example.org", true), ("A.b+c@Example.co.uk", true), ("o'neil@x-y.example", true),
      ("", false), ("a", false), ("@x.org", false), ("a@", false), ("a@b@c.org", false),
      ("a@localhost", false), ("a b@x.org", false), ("a@x.org\n", false), ("a\u{0}@x.org", false),
      ("\"a\"@x.org", false), ("a@x..org", false), ("a@-x.org", false), ("a@x.org-", false),
      (".a@x.org", false), ("a..b@x.org", false), ("a@[127.0.0.1]", false), ("ä@x.org", false),
      ("a@xn--bcher-kva.example", true), ("a@exa\u{0430}mple.org", false),
      ("a@x.org,b@y.org", false),
    ])
  func email(text: String, accepted: Bool) { #expect((EmailAddress(text) != nil) == accepted) }

  @Test("identifiers are lower-case UUIDs and nothing else") func identifiers() {
    let id = ConnectionID.random()
    #expect(ConnectionID(id.text) == id)
    #expect(ConnectionID(id.text.uppercased()) == nil || id.text.uppercased() == id.text)
    for text in ["", "x", id.text + " ", "../../etc/passwd", "' OR 1=1 --"] {
      #expect(ConnectionID(text) == nil)
    }
  }

  @Test("a network policy is refused as a whole when one entry is") func networks() {
    #expect(NetworkPolicy(entries: []) == nil)
    #expect(NetworkPolicy(entries: ["10.0.0.0/8", "10.0.0.1/8"]) == nil)
    #expect(NetworkPolicy(entries: ["everyone"]) == nil)
    #expect(NetworkPolicy(entries: [String](repeating: "10.0.0.0/8", count: 65)) == nil)
    let policy = NetworkPolicy(entries: ["10.0.0.0/8", "::1", "anthropic"])
    #expect(policy.flatMap { NetworkPolicy(storedText: $0.storedText) } == policy)
    #expect(NetworkPolicy(storedText: "") == nil)
    let office = NamedNetworks(["office": [CIDR("192.0.2.0/24")].compactMap { $0 }])
    let there = IPAddress("192.0.2.7")
    #expect(there.map { NetworkPolicy(entries: ["office"], named: office)?.admits($0) } == true)
    // The operator took the name away: nobody is let in, rather than everybody.
    #expect(there.map { NetworkPolicy(storedText: "office")?.admits($0) } == false)
  }
}
