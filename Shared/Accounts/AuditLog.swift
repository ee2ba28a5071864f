// Writes the audit log: what was done, for whom, in the transaction that does it. The log is only
// ever appended to (triggers refuse anything else), names people by a random subject, and chains its
// rows by hash. No address and no secret is in it. Checking it is AuditCheck's.

import Bytes
import Clocks
import Database
import JOSE

/// What the audit log tells about.
enum AuditEvent: String, CaseIterable {
  case userAdded = "user_added"
  case userDeleted = "user_deleted"
  case passwordReplaced = "password_replaced"
  /// By a link that was mailed; all sign-ins ended with it.
  case passwordReset = "password_reset"
  case sessionOpened = "session_opened"
  case sessionClosed = "session_closed"
  /// Somebody did not know the password; without a subject when there is no such account.
  case signInFailed = "sign_in_failed"
  /// An outlived refresh token was shown: a copy is in other hands.
  case refreshTokenReused = "refresh_token_reused"
  case connectionAdded = "connection_added"
  case connectionChanged = "connection_changed"
  /// Managed or zero-knowledge from now on.
  case connectionModeChanged = "connection_mode_changed"
  case connectionRevoked = "connection_revoked"
  /// Ended because another took its place.
  case connectionReplaced = "connection_replaced"
  case credentialAdded = "credential_added"
  case credentialRevoked = "credential_revoked"
  case grantAdded = "grant_added"
  case grantRevoked = "grant_revoked"
  /// The code was shown with a wrong verifier, redirect address or resource.
  case grantCodeMisused = "grant_code_misused"
  /// A code or an outlived refresh token was shown again: a copy is in other hands.
  case grantCodeReused = "grant_code_reused"
  case grantTokenReused = "grant_token_reused"
  case userKeyAdded = "user_key_added"
  case userKeyRevoked = "user_key_revoked"
  case spaceAdded = "space_added"
  case spaceChanged = "space_changed"
  case spaceRemoved = "space_removed"
  case spaceKeyAdded = "space_key_added"
  case spaceKeyRevoked = "space_key_revoked"
  /// A standing of billing's came into force.
  case planChanged = "plan_changed"
  /// By the plan.
  case connectionSuspended = "connection_suspended"
  case connectionReactivated = "connection_reactivated"
  /// The operator began to bring everything under another master key.
  case rotationBegun = "rotation_begun"
  case rotationEnded = "rotation_ended"
}

/// One row of the audit log.
struct AuditEntry: Equatable {
  /// The hash before the first row.
  static let origin = [UInt8](repeating: 0, count: 32)
  /// How long rows stay; the triggers of the log insist on it.
  static let keepSeconds: Int64 = 400 * 86_400

  let sequence: Int64
  let at: Int64
  let event: String
  let subject: [UInt8]?
  let about: String

  /// SHA-256 over a label, the hash before, and every column behind its length.
  func hash(after previous: [UInt8]) -> [UInt8] {
    precondition(previous.count == 32)
    var input = Array("bindery audit v1\0".utf8) + previous
    Self.append(UInt64(bitPattern: sequence), to: &input)
    Self.append(UInt64(bitPattern: at), to: &input)
    for field in [Array(event.utf8), subject ?? [], Array(about.utf8)] {
      Self.append(UInt64(field.count), to: &input)
      input += field
    }
    return SHA256Digest.of(input)
  }

  private static func append(_ number: UInt64, to bytes: inout [UInt8]) {
    withUnsafeBytes(of: number.bigEndian) { bytes += $0 }
  }
}

extension Connection {
  /// Notes what was done, in the transaction that does it.
  /// - Parameter others: further identifiers by name; both are visible ASCII.
  func note(
    _ event: AuditEvent, at now: UnixTime, user: UserID?, connection: ConnectionID? = nil,
    credential: CredentialID? = nil, session: SessionID? = nil,
    others: [(name: StaticString, value: String)] = []
  ) throws(AccountError) {
    var about = others
    if let connection { about.append(("connection", connection.text)) }
    if let credential { about.append(("credential", credential.text)) }
    if let session { about.append(("session", session.text)) }
    precondition(about.allSatisfy { $0.value.utf8.allSatisfy { (0x21...0x7e).contains($0) } })
    let head = try auditHead()
    let entry = AuditEntry(
      sequence: head.sequence + 1, at: now.seconds, event: event.rawValue,
      subject: try user.map { (user) throws(AccountError) in try subject(of: user) },
      about: about.map { "\($0.name)=\($0.value)" }.joined(separator: "\n"))
    try change(
      "INSERT INTO audit_log (sequence, at, event, subject, about, hash) VALUES (?, ?, ?, ?, ?, ?)",
      [
        .integer(entry.sequence), .integer(entry.at), .text(entry.event),
        .optional(entry.subject), .text(entry.about), .blob(entry.hash(after: head.hash)),
      ])
  }

  /// The end of the log: the number and hash of its last row.
  func auditHead() throws(AccountError) -> (sequence: Int64, hash: [UInt8]) {
    let last = try one(
      "SELECT sequence, hash FROM audit_log ORDER BY sequence DESC LIMIT 1", []
    ) { (row) throws(AccountError) in
      (try RowReading.integer(row, 0), try RowReading.blob(row, 1))
    }
    return if let last { last } else { try auditCut() }
  }

  /// Where the log was cut last: it goes on behind this number, from this hash.
  func auditCut() throws(AccountError) -> (sequence: Int64, hash: [UInt8]) {
    try one("SELECT through, hash FROM audit_cuts ORDER BY through DESC LIMIT 1", []) {
      (row) throws(AccountError) in
      (try RowReading.integer(row, 0), try RowReading.blob(row, 1))
    } ?? (0, AuditEntry.origin)
  }

  /// Cuts off what is older than the retention; gives the number of rows.
  func cutAudit(now: UnixTime) throws(AccountError) -> Int {
    let last = try one(
      """
      SELECT sequence, hash FROM audit_log
      WHERE sequence < (SELECT coalesce(min(sequence), 9223372036854775807) FROM audit_log
        WHERE at >= ?)
      ORDER BY sequence DESC LIMIT 1
      """, [.integer(now.seconds - AuditEntry.keepSeconds)]
    ) { (row) throws(AccountError) in
      (sequence: try RowReading.integer(row, 0), hash: try RowReading.blob(row, 1))
    }
    guard let last else { return 0 }
    try change(
      "INSERT INTO audit_cuts (through, hash, at) VALUES (?, ?, ?)",
      [.integer(last.sequence), .blob(last.hash), .integer(now.seconds)])
    return try change("DELETE FROM audit_log WHERE sequence <= ?", [.integer(last.sequence)])
  }

  /// The name of a person in the log.
  private func subject(of user: UserID) throws(AccountError) -> [UInt8] {
    let known = try one("SELECT subject FROM audit_subjects WHERE user_id = ?", [.text(user.text)])
    { (row) throws(AccountError) in try RowReading.blob(row, 0) }
    if let known { return known }
    let subject = Randomness.bytes(count: 16)
    try change(
      "INSERT INTO audit_subjects (user_id, subject) VALUES (?, ?)",
      [.text(user.text), .blob(subject)])
    return subject
  }
}
