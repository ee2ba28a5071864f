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
      try connection.admitUser(usersMax: usersMax)
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

  public func password(
    of user: UserID
  ) async throws(AccountError) -> (user: User, password: StoredPassword)? {
    let found = try await snapshot { (connection) throws(AccountError) -> Found? in
      try connection.one(
        """
        SELECT u.id, u.email, u.created_at, p.cost_n, p.cost_r, p.cost_p, p.salt, p.hash
        FROM users AS u JOIN password_hashes AS p ON p.user_id = u.id WHERE u.id = ?
        """, [.text(user.text)]
      ) { (row) throws(AccountError) -> Found in
        Found(user: try User(row), password: try StoredPassword(row, from: 3))
      }
    }
    return found.map { ($0.user, $0.password) }
  }

  public func signIn(
    _ user: UserID, password: StoredPassword, upgrade: StoredPassword?, now: UnixTime
  ) async throws(AccountError) -> SessionTokens? {
    try await transaction { (connection) throws(AccountError) -> SessionTokens? in
      guard try connection.stillHas(password, user) else { return nil }
      if let upgrade {
        try connection.replace(with: upgrade, of: user, now: now)
        try connection.note(.passwordReplaced, at: now, user: user)
      }
      return try connection.openSession(of: user, now: now)
    }
  }

  public func noteFailedSignIn(of user: UserID?, now: UnixTime) async throws(AccountError) {
    try await transaction { (connection) throws(AccountError) in
      // Only of who is there still: the log must not learn of an account that just went.
      let known = try user.flatMap { (user) throws(AccountError) -> UserID? in
        try connection.one("SELECT 1 FROM users WHERE id = ?", [.text(user.text)]) {
          (_) throws(AccountError) in user
        }
      }
      try connection.note(.signInFailed, at: now, user: known)
    }
  }

  public func askForReset(of user: UserID, now: UnixTime) async throws(AccountError) {
    try await transaction { (connection) throws(AccountError) in
      try connection.change(
        """
        INSERT INTO password_resets (user_id, asked_at) VALUES (?, ?)
        ON CONFLICT (user_id) DO UPDATE SET asked_at = excluded.asked_at
        """, [.text(user.text), .integer(now.seconds)])
    }
  }

  public func resetAsked(
    of user: UserID, now: UnixTime
  ) async throws(AccountError) -> (password: StoredPassword, until: UnixTime)? {
    let asked = try await snapshot { (connection) throws(AccountError) -> Asked? in
      try connection.one(
        """
        SELECT p.cost_n, p.cost_r, p.cost_p, p.salt, p.hash, r.asked_at
        FROM password_resets AS r JOIN password_hashes AS p ON p.user_id = r.user_id
        WHERE r.user_id = ? AND r.asked_at > ?
        """, [.text(user.text), .integer(now.seconds - ResetLife.secondsMax)]
      ) { (row) throws(AccountError) in
        Asked(password: try StoredPassword(row, from: 0), at: try RowReading.integer(row, 5))
      }
    }
    return asked.map { ($0.password, UnixTime(seconds: $0.at + ResetLife.secondsMax)) }
  }

  private struct Asked: Sendable {
    let password: StoredPassword
    let at: Int64
  }

  public func resetPassword(
    of user: UserID, old: StoredPassword, new: StoredPassword, now: UnixTime
  ) async throws(AccountError) -> Bool {
    try await transaction { (connection) throws(AccountError) in
      guard try connection.stillHas(old, user) else { return false }
      try connection.replace(with: new, of: user, now: now)
      try connection.change("DELETE FROM sessions WHERE user_id = ?", [.text(user.text)])
      try connection.change(
        "DELETE FROM pending_authorizations WHERE user_id = ?", [.text(user.text)])
      try connection.change("DELETE FROM password_resets WHERE user_id = ?", [.text(user.text)])
      try connection.note(.passwordReset, at: now, user: user)
      return true
    }
  }
}

extension Connection {
  /// Whether this is the password of `user` as it is stored now.
  fileprivate func stillHas(
    _ password: StoredPassword, _ user: UserID
  ) throws(AccountError) -> Bool {
    let found = try one(
      "SELECT 1 FROM password_hashes WHERE user_id = ? AND hash = ? AND salt = ?",
      [.text(user.text), .blob(password.hash), .blob(password.salt)]
    ) { (_) throws(AccountError) in true }
    return found != nil
  }

  fileprivate func replace(
    with password: StoredPassword, of user: UserID, now: UnixTime
  ) throws(AccountError) {
    try change("DELETE FROM password_hashes WHERE user_id = ?", [.text(user.text)])
    try insert(password, of: user, now: now)
  }

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
