// The statements about people and their passwords. An address is one account whatever its case;
// parameters of a stored hash are checked before anybody computes with them.

import Clocks
import Database

extension SQLiteAccounts {
  public func addUser(
    email: EmailAddress, password: StoredPassword, usersMax: Int64?, now: UnixTime
  ) async throws(AccountError) -> (user: User, tokens: SessionTokens) {
    let added = try await transaction { (connection) throws(AccountError) -> Added in
      let taken = try connection.one(
        "SELECT 1 FROM users WHERE email_key = ?", [.text(email.key)]
      ) { (_) throws(AccountError) in true }
      guard taken == nil else { throw .emailTaken }
      if let usersMax {
        let count = try connection.one("SELECT count(*) FROM users", []) {
          (row) throws(AccountError) in try RowReading.integer(row, 0)
        }
        guard (count ?? 0) < usersMax else { throw .usersMaxReached }
      }
      let user = User(id: .random(), email: email.text, createdAt: now)
      try connection.change(
        "INSERT INTO users (id, email, email_key, created_at) VALUES (?, ?, ?, ?)",
        [.text(user.id.text), .text(email.text), .text(email.key), .integer(now.seconds)])
      try connection.insert(password, of: user.id, now: now)
      try connection.note(.userAdded, at: now, user: user.id)
      return Added(user: user, tokens: try connection.openSession(of: user.id, now: now))
    }
    return (added.user, added.tokens)
  }

  private struct Added: Sendable {
    let user: User
    let tokens: SessionTokens
  }

  public func user(
    email: EmailAddress
  ) async throws(AccountError) -> (user: User, password: StoredPassword)? {
    let found = try await snapshot { (connection) throws(AccountError) -> Found? in
      try connection.one(
        """
        SELECT u.id, u.email, u.created_at, p.cost_n, p.cost_r, p.cost_p, p.salt, p.hash
        FROM users AS u JOIN password_hashes AS p ON p.user_id = u.id WHERE u.email_key = ?
        """, [.text(email.key)]
      ) { (row) throws(AccountError) -> Found in
        Found(user: try User(row), password: try StoredPassword(row, from: 3))
      }
    }
    return found.map { ($0.user, $0.password) }
  }

  private struct Found: Sendable {
    let user: User
    let password: StoredPassword
  }

  public func user(_ id: UserID) async throws(AccountError) -> User {
    let found = try await snapshot { (connection) throws(AccountError) -> User? in
      try connection.one("SELECT id, email, created_at FROM users WHERE id = ?", [.text(id.text)]) {
        (row) throws(AccountError) in try User(row)
      }
    }
    guard let found else { throw .notFound }
    return found
  }

  public func replacePassword(
    of user: UserID, old: StoredPassword, new: StoredPassword, now: UnixTime
  ) async throws(AccountError) {
    try await transaction { (connection) throws(AccountError) in
      let gone = try connection.change(
        "DELETE FROM password_hashes WHERE user_id = ? AND hash = ?",
        [.text(user.text), .blob(old.hash)])
      guard gone == 1 else { throw .notFound }
      try connection.insert(new, of: user, now: now)
      try connection.note(.passwordReplaced, at: now, user: user)
    }
  }
}

extension Connection {
  fileprivate func insert(
    _ password: StoredPassword, of user: UserID, now: UnixTime
  ) throws(AccountError) {
    try change(
      """
      INSERT INTO password_hashes
        (user_id, algorithm, cost_n, cost_r, cost_p, salt, hash, changed_at)
      VALUES (?, 'scrypt', ?, ?, ?, ?, ?, ?)
      """,
      [
        .text(user.text), .integer(Int64(password.costN)), .integer(Int64(password.costR)),
        .integer(Int64(password.costP)), .blob(password.salt), .blob(password.hash),
        .integer(now.seconds),
      ])
  }
}

extension User {
  /// Columns 0, 1, 2: id, email, created_at.
  init(_ row: borrowing Row) throws(AccountError) {
    self.init(
      id: try RowReading.identifier(row, 0), email: try RowReading.text(row, 1),
      createdAt: UnixTime(seconds: try RowReading.integer(row, 2)))
  }
}

extension StoredPassword {
  /// Five columns: cost_n, cost_r, cost_p, salt, hash.
  fileprivate init(_ row: borrowing Row, from index: Int32) throws(AccountError) {
    let costs = (
      try RowReading.integer(row, index), try RowReading.integer(row, index + 1),
      try RowReading.integer(row, index + 2)
    )
    // A row that asks for more memory or time than any version of ours wrote is not obeyed.
    guard (2...1 << 20).contains(costs.0), costs.0 & (costs.0 - 1) == 0,
      (1...32).contains(costs.1), (1...16).contains(costs.2)
    else { throw .recordMalformed }
    self.init(
      costN: UInt64(costs.0), costR: UInt64(costs.1), costP: UInt64(costs.2),
      salt: try RowReading.blob(row, index + 3), hash: try RowReading.blob(row, index + 4))
  }
}
