// The statements by which an account goes: every row of it in one transaction, after which nothing
// says that the person was here. The audit log stays as it is and names nobody any more.

import Clocks
import Database

/// What an account leaves to be done when its rows are gone.
public struct Erased: Sendable, Equatable {
  /// Connections that there were, alive or revoked: their tokens are to go, too.
  public let connections: [ConnectionID]
  /// Who the person is at Clerk; nil for nobody there.
  public let clerkSubject: String?
}

/// The end of accounts, and what people may see of what is stored.
public protocol AccountStore: Sendable {
  /// Revoked connections of a person whose provider is still to be told.
  func openPartings(
    of user: UserID
  ) async throws(AccountError) -> [(connection: ConnectionID, service: String)]
  /// Deletes every row of a person.
  /// - Throws: `notFound` when there is no such person any more.
  func eraseAccount(_ user: UserID, now: UnixTime) async throws(AccountError) -> Erased
  /// Everything that is stored of a person but their tokens' state.
  func export(_ user: UserID) async throws(AccountError) -> AccountExport
}

/// The life of what is noted about deleted accounts.
public enum ErasureLife {
  /// How long the tidying looks for what came in late.
  public static let secondsMax: Int64 = 3600
}

extension SQLiteAccounts: AccountStore {
  public func export(_ user: UserID) async throws(AccountError) -> AccountExport {
    try await thread.run { (database) throws(AccountError) in
      try AccountExport(of: user, in: database)
    }
  }

  public func openPartings(
    of user: UserID
  ) async throws(AccountError) -> [(connection: ConnectionID, service: String)] {
    let found = try await snapshot { (database) throws(AccountError) in
      try database.every(
        """
        SELECT connection_id, service FROM upstream_revocations
        WHERE user_id = ? AND state = 'pending' ORDER BY requested_at
        """, [.text(user.text)]
      ) { (row) throws(AccountError) in
        OpenParting(
          connection: try RowReading.identifier(row, 0), service: try RowReading.text(row, 1))
      }
    }
    return found.map { ($0.connection, $0.service) }
  }

  private struct OpenParting: Sendable {
    let connection: ConnectionID
    let service: String
  }

  public func eraseAccount(_ user: UserID, now: UnixTime) async throws(AccountError) -> Erased {
    try await transaction { (database) throws(AccountError) in
      let connections = try database.every(
        "SELECT id FROM connections WHERE user_id = ? ORDER BY id", [.text(user.text)]
      ) { (row) throws(AccountError) -> ConnectionID in try RowReading.identifier(row, 0) }
      let subject = try database.one(
        "SELECT subject FROM clerk_identities WHERE user_id = ?", [.text(user.text)]
      ) { (row) throws(AccountError) in try RowReading.text(row, 0) }
      if let subject {
        try database.change(
          """
          INSERT INTO clerk_farewells (subject_hash, deleted_at) VALUES (?, ?)
          ON CONFLICT (subject_hash) DO UPDATE SET deleted_at = excluded.deleted_at
          """, [.blob(Connection.farewellHash(subject)), .integer(now.seconds)])
      }
      for connection in connections {
        try database.change(
          "INSERT OR REPLACE INTO erased_connections (connection_id, erased_at) VALUES (?, ?)",
          [.text(connection.text), .integer(now.seconds)])
      }
      let known = try database.one("SELECT 1 FROM users WHERE id = ?", [.text(user.text)]) {
        (_) throws(AccountError) in true
      }
      guard known != nil else { throw .notFound }
      try database.note(.userDeleted, at: now, user: user)
      try database.sayFarewell(to: user, isBillingOn: plans != nil, now: now)
      for table in AccountRows.tables {
        if let erase = table.erase { try database.change(erase, [.text(user.text)]) }
      }
      return Erased(connections: connections, clerkSubject: subject)
    }
  }
}

extension Connection {
  /// Deletes what tokens.sqlite holds of connections of a deleted account.
  public func eraseTokens(of connections: [ConnectionID]) throws(AccountError) {
    precondition(file.kind == .tokens)
    try transaction { () throws(AccountError) in
      for connection in connections {
        for table in AccountRows.tokenTables {
          if let erase = table.erase { try change(erase, [.text(connection.text)]) }
        }
      }
    }
  }

  /// Deletes what the edge noted of connections after they were erased: it had it in memory.
  func sweepErased(now: UnixTime) throws(AccountError) {
    try change(
      "DELETE FROM activity WHERE connection_id IN (SELECT connection_id FROM erased_connections)",
      [])
    try change(
      """
      DELETE FROM credential_use
      WHERE connection_id IN (SELECT connection_id FROM erased_connections)
      """, [])
    try change(
      "DELETE FROM erased_connections WHERE erased_at <= ?",
      [.integer(now.seconds - ErasureLife.secondsMax)])
  }
}
