// Writes rows the way auth does, sealed under a master key, a thousand a transaction; and opens them all
// again, each through its data key down to its token.

import Accounts
import Bytes
import Clocks
import Configuration
import Database
import Glibc
import Vault

enum RotationRows {
  static let token = "seeded-upstream-key"
  private static let step = 1000

  static func run(_ words: [String]) async -> Int32 {
    do {
      if words.count == 4, words[0] == "seed", let count = Int(words[3]), count > 0 {
        try await seed(words[1], try MasterKeys.read(file: words[2]).ring, count)
        return 0
      }
      if words.count == 7, words[0] == "grants", let life = Int64(words[6]), life > 0 {
        let issue = Issue(service: words[3], client: words[4], origin: words[5], life: life)
        try await grants(words[1], try MasterKeys.read(file: words[2]).ring, issue)
        return 0
      }
      if words.count == 3, words[0] == "check" {
        return try await check(words[1], try MasterKeys.read(file: words[2]).ring)
      }
      puts(
        "usage: rotation-rows seed DATA KEYS COUNT | grants DATA KEYS SERVICE CLIENT ORIGIN LIFE"
          + " | check DATA KEYS")
      return 2
    } catch {
      puts("failed: \(error)")
      return 1
    }
  }

  /// What is written of one connection.
  private struct Seed: Sendable {
    let id = ConnectionID.random().text
    let credential = CredentialID.random().text
    let text: String
    let blob: [UInt8]
    let expiresAt: UnixTime?
    let lookup: [UInt8]
    let wrap: [UInt8]
    let managed: [UInt8]

    /// A connection whose tokens are `set`.
    init(
      _ set: borrowing Secret, until end: UnixTime?, _ owner: String, _ ring: KeyRing,
      _ engine: SealEngine
    ) {
      let key = DataKey.random()
      let secret = CredentialSecret.random()
      let place = SealContext.tokenBlob(connection: id, owner: owner, generation: 1)
      blob = set.withBytes { engine.seal($0, under: key, context: place) }
      expiresAt = end
      text = secret.makeText()
      lookup = secret.lookup.bytes
      wrap = engine.wrap(
        key, under: secret,
        context: .credentialWrap(credential: credential, connection: id, owner: owner))
      managed = engine.wrap(
        key, under: ring, context: .managedWrap(connection: id, owner: owner))
    }
  }

  private static func seed(_ data: String, _ ring: KeyRing, _ count: Int) async throws {
    let rows = try await Rows(data, ring, service: "alpha", kind: "api_key")
    let engine = SealEngine()
    var left = count
    while left > 0 {
      let seeds = (0..<min(step, left)).map { _ in
        var writer = TokenSetWriter()
        _ = Array(RotationRows.token.utf8).withUnsafeBytes { writer.add(.apiKey, $0) }
        return Seed(writer.finish(), until: nil, rows.owner, ring, engine)
      }
      left -= seeds.count
      try await rows.write(seeds)
    }
    puts("seeded \(count)")
  }

  /// Who issued the tokens, and for how many seconds from now: each ends at a time of its own in them.
  private struct Issue {
    let service: String
    let client: String
    let origin: String
    let life: Int64
  }

  /// Connections by OAuth, one for each line `ACCESS REFRESH` of the input; prints their credentials.
  private static func grants(_ data: String, _ ring: KeyRing, _ issue: Issue) async throws {
    let rows = try await Rows(data, ring, service: issue.service, kind: "oauth")
    let engine = SealEngine()
    var (isOver, count) = (false, Int64(0))
    while !isOver {
      var seeds: [Seed] = []
      while seeds.count < step, !isOver {
        guard let line = readLine() else {
          isOver = true
          break
        }
        let words = line.split(separator: " ")
        let now = UnixTime.now
        count += 1
        let end = now.advanced(bySeconds: count % issue.life + 1)
        let grant = OAuthGrant(
          accessToken: String(words[0]), refreshToken: String(words[1]),
          expiresAt: end, issuedAt: now, refreshExpiresAt: nil, scope: nil,
          clientID: issue.client, clientSecret: nil, clientAuthentication: .none,
          tokenURL: "\(issue.origin)/token", revocationURL: "\(issue.origin)/revoke",
          resource: "\(issue.origin)/mcp", issuer: issue.origin)
        seeds.append(Seed(grant.tokenSet, until: end, rows.owner, ring, engine))
      }
      try await rows.write(seeds)
      for seed in seeds { puts(seed.text) }
    }
  }

  /// The databases, with one person who owns what is written.
  private struct Rows {
    let owner = UserID.random().text
    let bindery: DatabaseThread
    let tokens: DatabaseThread
    let service: String
    let kind: String
    let fingerprint: String
    let now = UnixTime.now.seconds

    init(_ data: String, _ ring: KeyRing, service: String, kind: String) async throws {
      bindery = try DatabaseThread(DatabaseFile(.bindery, in: data), as: .auth)
      tokens = try DatabaseThread(DatabaseFile(.tokens, in: data), as: .auth)
      (self.service, self.kind) = (service, kind)
      fingerprint = ring.active.fingerprint.description
      let (owner, now) = (owner, now)
      try await bindery.run { (database) throws(DatabaseError) in
        try database.execute(
          "INSERT INTO users (id, email, email_key, created_at) VALUES (?1, ?1, ?1, ?2)",
          .text(owner), .integer(now))
      }
    }

    func write(_ seeds: [Seed]) async throws {
      let (owner, service, kind) = (owner, service, kind)
      let (fingerprint, now) = (fingerprint, now)
      try await tokens.run { (database) throws(DatabaseError) in
        try database.transaction { () throws(DatabaseError) in
          for seed in seeds {
            try database.execute(
              """
              INSERT INTO token_blobs (connection_id, generation, sealed, expires_at, updated_at)
              VALUES (?, 1, ?, ?, ?)
              """, .text(seed.id), .blob(seed.blob), .optional(seed.expiresAt?.seconds),
              .integer(now))
          }
        }
      }
      try await bindery.run { (database) throws(DatabaseError) in
        try database.transaction { () throws(DatabaseError) in
          for seed in seeds {
            try database.execute(
              """
              INSERT INTO connections (id, user_id, service, label, status, auth_type,
                key_storage_mode, created_at, managed_wrap, managed_fingerprint)
              VALUES (?, ?, ?, 'seeded', 'active', ?, 'managed', ?, ?, ?)
              """, .text(seed.id), .text(owner), .text(service), .text(kind), .integer(now),
              .blob(seed.managed), .text(fingerprint))
            try database.execute(
              """
              INSERT INTO credentials (id, connection_id, name, lookup, wrap, created_at)
              VALUES (?, ?, 'seeded', ?, ?, ?)
              """, .text(seed.credential), .text(seed.id), .blob(seed.lookup), .blob(seed.wrap),
              .integer(now))
          }
        }
      }
    }
  }

  // MARK: Check

  private struct Row: Sendable {
    let place: Int64
    let id: String
    let owner: String
    let wrap: [UInt8]
  }

  private static func check(_ data: String, _ ring: KeyRing) async throws -> Int32 {
    let file = DatabaseFile(.bindery, in: data)
    let bindery = try DatabaseThread(file, as: .auth, access: .readOnly)
    let tokens = try DatabaseThread(
      DatabaseFile(.tokens, in: data), as: .auth, access: .readOnly)
    let engine = SealEngine()
    let active = ring.active.fingerprint
    var (opened, refused, stale, after) = (0, 0, 0, Int64.min)
    while true {
      let from = after
      let rows = try await bindery.run { (database) throws(DatabaseError) in
        try database.all(
          """
          SELECT rowid, id, user_id, managed_wrap FROM connections
          WHERE managed_wrap IS NOT NULL AND rowid > ? ORDER BY rowid LIMIT 1000
          """, .integer(from)
        ) { (row) throws(DatabaseError) in
          Row(
            place: try row.integer(0), id: try row.text(1), owner: try row.text(2),
            wrap: try row.blob(3))
        }
      }
      guard let last = rows.last else { break }
      after = last.place
      let blobs = try await tokens.run { (database) throws(DatabaseError) in
        try rows.map { (row) throws(DatabaseError) in
          try database.first(
            "SELECT generation, sealed FROM token_blobs WHERE connection_id = ?", .text(row.id)
          ) { (found) throws(DatabaseError) in
            (generation: try found.integer(0), sealed: try found.blob(1))
          }
        }
      }
      for (row, blob) in zip(rows, blobs) {
        if row.wrap.withUnsafeBytes({ KeyFingerprint(ofSealed: $0) }) != active { stale += 1 }
        let isGood = blob.map { opens(row, $0.generation, $0.sealed, ring, engine) } ?? false
        if isGood { opened += 1 } else { refused += 1 }
      }
    }
    puts("{\"opened\":\(opened),\"refused\":\(refused),\"stale\":\(stale)}")
    return refused == 0 ? 0 : 1
  }

  private static func opens(
    _ row: Row, _ generation: Int64, _ sealed: [UInt8], _ ring: KeyRing, _ engine: SealEngine
  ) -> Bool {
    let place = SealContext.tokenBlob(
      connection: row.id, owner: row.owner, generation: UInt64(generation))
    let count: Int? = try? row.wrap.withUnsafeBytes { wrap in
      let key = try engine.unwrap(
        wrap, with: ring, context: .managedWrap(connection: row.id, owner: row.owner))
      return try engine.open(PlacedValue(sealed, at: place), under: key) {
        plain throws(SealError) in plain.count
      }
    }
    return count != nil
  }
}
