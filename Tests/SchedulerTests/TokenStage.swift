// Both databases with people, connections and tokens in any state, for tests of what looks after all of
// them. No tests here.

import Clocks
import Database
import TestFolders
import Vault

/// Migrated databases in a folder of their own.
final class TokenStage: Sendable {
  private let home = TestFolder("tokens")
  let auth: DatabaseThread
  let authTokens: DatabaseThread
  let bindery: DatabaseThread
  let tokens: DatabaseThread
  var folder: String { home.path }

  init() async throws {
    _ = try MigrationRunner(directory: home.path).run()
    let (first, second) = (
      DatabaseFile(.bindery, in: home.path), DatabaseFile(.tokens, in: home.path)
    )
    auth = try DatabaseThread(first, as: .auth)
    authTokens = try DatabaseThread(second, as: .auth)
    bindery = try DatabaseThread(first, as: .scheduler)
    tokens = try DatabaseThread(second, as: .scheduler)
    try await auth.run { (database) throws(DatabaseError) in
      try database.execute(
        """
        INSERT INTO users (id, email, email_key, created_at)
        VALUES (?, 'owner@b.example', 'owner@b.example', 1)
        """, .text(Self.id(0)))
    }
  }

  static func id(_ number: Int) -> String {
    let digits = String(number)
    return "00000000-0000-4000-8000-" + String(repeating: "0", count: 12 - digits.count) + digits
  }

  /// A sealed value as far as its envelope tells.
  static let envelope = [UInt8]([1, 3]) + [UInt8](repeating: 0, count: 8 + 32 + 256 + 16)

  /// A connection made at 1.8e9, with tokens unless `sealed` is nil.
  func connect(
    _ number: Int, service: String = "linear", mode: String, auth authType: String = "oauth",
    status: String = "active",
    firstEnd: UnixTime? = nil, end: UnixTime? = nil, consent: UnixTime? = nil,
    refreshed: UnixTime? = nil,
    sealed: [UInt8]? = TokenStage.envelope, updated: UnixTime = UnixTime(seconds: 1_800_000_000)
  ) async throws {
    let id = Self.id(number)
    let isManaged = mode == "managed"
    try await auth.run { (database) throws(DatabaseError) in
      try database.execute(
        """
        INSERT INTO connections (id, user_id, service, label, status, auth_type,
          key_storage_mode, created_at, expires_at, managed_wrap, managed_fingerprint)
        VALUES (?, ?, ?, ?, ?, ?, ?, 1800000000, ?, ?, ?)
        """, .text(id), .text(Self.id(0)), .text(service), .text("label \(number)"), .text(status),
        .text(authType), .text(mode), .optional(firstEnd?.seconds), isManaged ? .blob([1]) : .null,
        isManaged ? .text("0123456789abcdef") : .null)
    }
    guard let sealed else { return }
    try await authTokens.run { (database) throws(DatabaseError) in
      try database.execute(
        """
        INSERT INTO token_blobs (connection_id, generation, sealed, updated_at) VALUES (?, 1, ?, ?)
        """, .text(id), .blob(sealed), .integer(updated.seconds))
    }
    guard end != nil || consent != nil || refreshed != nil else { return }
    try await tokens.run { (database) throws(DatabaseError) in
      try database.execute(
        """
        INSERT INTO refresh_state (connection_id, generation, refreshed_at, refresh_expires_at,
          needs_reauth_at) VALUES (?, 1, ?, ?, ?)
        """, .text(id), .optional(refreshed?.seconds), .optional(end?.seconds),
        .optional(consent?.seconds))
    }
  }

  /// The provider refuses the tokens of a later generation.
  func refuse(_ number: Int, generation: Int64, at time: UnixTime) async throws {
    try await tokens.run { (database) throws(DatabaseError) in
      try database.execute(
        "UPDATE token_blobs SET generation = ? WHERE connection_id = ?", .integer(generation),
        .text(Self.id(number)))
      try database.execute(
        "UPDATE refresh_state SET generation = ?, needs_reauth_at = ? WHERE connection_id = ?",
        .integer(generation), .integer(time.seconds), .text(Self.id(number)))
    }
  }
}
