// The statements about people who sign in at Clerk. Who they are there is a row of its own; however
// many first calls come at once, one account is made, because looking and making are one transaction.

import Clocks
import Database
import JOSE

/// People of Clerk.
public protocol ClerkStore: Sendable {
  /// The account of `subject`, made when there is none; nil when the token is from before the
  /// account was deleted. An address that changed there changes here.
  /// - Throws: `usersMaxReached`.
  func clerkUser(
    _ subject: String, email: EmailAddress?, issuedAt: UnixTime, usersMax: Int64?, now: UnixTime
  ) async throws(AccountError) -> (user: User, isNew: Bool)?
  /// Who somebody is at Clerk; nil for nobody there.
  func clerkSubject(of user: UserID) async throws(AccountError) -> String?
}

/// The life of what is noted about people of Clerk.
public enum ClerkLife {
  /// How long a deleted account's tokens are refused: longer than any of them lives.
  public static let farewellSeconds: Int64 = 90_000
}

extension SQLiteAccounts: ClerkStore {
  private struct Found: Sendable {
    let user: User
    let isNew: Bool
  }

  public func clerkUser(
    _ subject: String, email: EmailAddress?, issuedAt: UnixTime, usersMax: Int64?, now: UnixTime
  ) async throws(AccountError) -> (user: User, isNew: Bool)? {
    let known = try await snapshot { (database) throws(AccountError) in
      try database.clerkUser(subject)
    }
    if let known, email == nil || email?.text.utf8.elementsEqual(known.email.utf8) == true {
      return (known, false)
    }
    let found = try await transaction { (database) throws(AccountError) -> Found? in
      if let known = try database.clerkUser(subject) {
        guard let email else { return Found(user: known, isNew: false) }
        try database.change(
          "UPDATE users SET email = ? WHERE id = ?", [.text(email.text), .text(known.id.text)])
        return Found(
          user: User(id: known.id, email: email.text, createdAt: known.createdAt), isNew: false)
      }
      guard try !database.saidFarewell(to: subject, since: issuedAt) else { return nil }
      try database.admitUser(usersMax: usersMax)
      let user = User(id: .random(), email: email?.text ?? "", createdAt: now)
      try database.change(
        "INSERT INTO users (id, email, email_key, created_at) VALUES (?, ?, ?, ?)",
        [
          .text(user.id.text), .text(user.email), .text("clerk:\(subject)"),
          .integer(now.seconds),
        ])
      try database.change(
        "INSERT INTO clerk_identities (subject, user_id, created_at) VALUES (?, ?, ?)",
        [.text(subject), .text(user.id.text), .integer(now.seconds)])
      try database.note(.userAdded, at: now, user: user.id)
      return Found(user: user, isNew: true)
    }
    return found.map { ($0.user, $0.isNew) }
  }

  public func clerkSubject(of user: UserID) async throws(AccountError) -> String? {
    try await snapshot { (database) throws(AccountError) in
      try database.one(
        "SELECT subject FROM clerk_identities WHERE user_id = ?", [.text(user.text)]
      ) { (row) throws(AccountError) in try RowReading.text(row, 0) }
    }
  }
}

extension Connection {
  fileprivate func clerkUser(_ subject: String) throws(AccountError) -> User? {
    try one(
      """
      SELECT u.id, u.email, u.created_at FROM clerk_identities AS c
      JOIN users AS u ON u.id = c.user_id WHERE c.subject = ?
      """, [.text(subject)]
    ) { (row) throws(AccountError) in try User(row) }
  }

  /// Whether the account of `subject` was deleted after a token of this age was made.
  fileprivate func saidFarewell(
    to subject: String, since issuedAt: UnixTime
  ) throws(AccountError) -> Bool {
    let found = try one(
      "SELECT 1 FROM clerk_farewells WHERE subject_hash = ? AND deleted_at >= ?",
      [.blob(Self.farewellHash(subject)), .integer(issuedAt.seconds)]
    ) { (_) throws(AccountError) in true }
    return found != nil
  }

  /// What is kept of a subject whose account went.
  static func farewellHash(_ subject: String) -> [UInt8] {
    SHA256Digest.of("bindery clerk farewell\0" + subject)
  }

  /// Refuses one person more than there may be.
  func admitUser(usersMax: Int64?) throws(AccountError) {
    guard let usersMax else { return }
    let count = try one("SELECT count(*) FROM users", []) {
      (row) throws(AccountError) in try RowReading.integer(row, 0)
    }
    guard (count ?? 0) < usersMax else { throw .usersMaxReached }
  }
}
