// The statements about sign-ins, and the rule of the refresh token: current = rotate, previous
// within the grace = the same successor again, anything else of a known family = a copy is in
// other hands, and the session ends.

import Bytes
import Clocks
import Database

extension SQLiteAccounts {
  public func openSession(
    of user: UserID, seconds: Int64, now: UnixTime
  ) async throws(AccountError) -> SessionTokens {
    try await transaction { (connection) throws(AccountError) in
      try connection.openSession(of: user, seconds: seconds, now: now)
    }
  }

  public func session(
    cookie: String, now: UnixTime
  ) async throws(AccountError) -> (user: User, session: SessionID)? {
    guard let cookie = SessionCookie(cookie) else { return nil }
    let found = try await snapshot { (connection) throws(AccountError) -> Holder? in
      try connection.one(
        """
        SELECT u.id, u.email, u.created_at, s.id
        FROM sessions AS s JOIN users AS u ON u.id = s.user_id
        WHERE s.cookie_hash = ? AND s.expires_at > ?
        """, [.blob(cookie.hash), .integer(now.seconds)]
      ) { (row) throws(AccountError) in try Holder(row) }
    }
    return found.map { ($0.user, $0.session) }
  }

  public func session(_ id: SessionID, now: UnixTime) async throws(AccountError) -> User? {
    try await snapshot { (connection) throws(AccountError) -> Holder? in
      try connection.one(
        """
        SELECT u.id, u.email, u.created_at, s.id
        FROM sessions AS s JOIN users AS u ON u.id = s.user_id
        WHERE s.id = ? AND s.expires_at > ?
        """, [.text(id.text), .integer(now.seconds)]
      ) { (row) throws(AccountError) in try Holder(row) }
    }?.user
  }

  public func refreshSession(
    _ refreshToken: String, now: UnixTime
  ) async throws(AccountError) -> (user: User, session: SessionID, refreshToken: String)? {
    guard let shown = RefreshToken(refreshToken) else { return nil }
    let outcome = try await transaction { (connection) throws(AccountError) -> Refreshed? in
      try connection.refresh(shown, now: now)
    }
    return outcome.map { ($0.holder.user, $0.holder.session, $0.successor) }
  }

  public func closeSession(_ id: SessionID, now: UnixTime) async throws(AccountError) {
    try await transaction { (connection) throws(AccountError) in
      try connection.closeSession(id, event: .sessionClosed, now: now)
    }
  }
}

/// Whose session it is.
private struct Holder: Sendable {
  let user: User
  let session: SessionID

  /// Columns 0 to 3: the user's, then the session's id.
  init(_ row: borrowing Row) throws(AccountError) {
    user = try User(row)
    session = try RowReading.identifier(row, 3)
  }
}

private struct Refreshed: Sendable {
  let holder: Holder
  let successor: String
}

extension Connection {
  /// Begins a session inside the caller's transaction, and forgets those that have ended.
  func openSession(
    of user: UserID, seconds: Int64 = SessionLife.secondsMax, now: UnixTime
  ) throws(AccountError) -> SessionTokens {
    try change("DELETE FROM sessions WHERE expires_at <= ?", [.integer(now.seconds)])
    let id = SessionID.random()
    let cookie = SessionCookie.random()
    let refresh = RefreshToken.random()
    try change(
      """
      INSERT INTO sessions (id, user_id, cookie_hash, family_hash, refresh_hash, previous_hash,
        successor_salt, rotated_at, created_at, expires_at)
      VALUES (?, ?, ?, ?, ?, NULL, ?, ?, ?, ?)
      """,
      [
        .text(id.text), .text(user.text), .blob(cookie.hash), .blob(refresh.familyHash),
        .blob(refresh.hash), .blob(Randomness.bytes(count: 32)), .integer(now.seconds),
        .integer(now.seconds), .integer(now.seconds + seconds),
      ])
    try note(.sessionOpened, at: now, user: user, session: id)
    return SessionTokens(session: id, cookie: cookie.text, refreshToken: refresh.text)
  }

  fileprivate func closeSession(
    _ id: SessionID, event: AuditEvent, now: UnixTime
  ) throws(AccountError) {
    let owner = try one("SELECT user_id FROM sessions WHERE id = ?", [.text(id.text)]) {
      (row) throws(AccountError) -> UserID in try RowReading.identifier(row, 0)
    }
    guard let owner else { return }
    try change("DELETE FROM sessions WHERE id = ?", [.text(id.text)])
    try note(event, at: now, user: owner, session: id)
  }

  fileprivate func refresh(
    _ shown: RefreshToken, now: UnixTime
  ) throws(AccountError) -> Refreshed? {
    let row = try one(
      """
      SELECT u.id, u.email, u.created_at, s.id, s.refresh_hash, s.previous_hash,
        s.successor_salt, s.rotated_at
      FROM sessions AS s JOIN users AS u ON u.id = s.user_id
      WHERE s.family_hash = ? AND s.expires_at > ?
      """, [.blob(shown.familyHash), .integer(now.seconds)]
    ) { (row) throws(AccountError) -> RotationState in try RotationState(row) }
    guard let row else { return nil }
    let hash = shown.hash
    if constantTimeEqual(hash, row.current) {
      let salt = Randomness.bytes(count: 32)
      let successor = shown.successor(salt: salt)
      try change(
        """
        UPDATE sessions SET refresh_hash = ?, previous_hash = ?, successor_salt = ?, rotated_at = ?
        WHERE id = ?
        """,
        [
          .blob(successor.hash), .blob(hash), .blob(salt), .integer(now.seconds),
          .text(row.holder.session.text),
        ])
      return Refreshed(holder: row.holder, successor: successor.text)
    }
    if let previous = row.previous, constantTimeEqual(hash, previous),
      now.seconds - row.rotatedAt.seconds <= SessionLife.graceSecondsMax
    {
      return Refreshed(holder: row.holder, successor: shown.successor(salt: row.salt).text)
    }
    try closeSession(row.holder.session, event: .refreshTokenReused, now: now)
    return nil
  }
}

/// A session's row as far as rotation needs it.
private struct RotationState {
  let holder: Holder
  let current: [UInt8]
  let previous: [UInt8]?
  let salt: [UInt8]
  let rotatedAt: UnixTime

  init(_ row: borrowing Row) throws(AccountError) {
    holder = try Holder(row)
    current = try RowReading.blob(row, 4)
    previous = row.isNull(5) ? nil : try RowReading.blob(row, 5)
    salt = try RowReading.blob(row, 6)
    rotatedAt = UnixTime(seconds: try RowReading.integer(row, 7))
  }
}
