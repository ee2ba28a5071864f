// The table mail_queue. A mail is there from the moment somebody asked for it; its body goes when it
// is sent, its row a month later. One row per occasion, however often it is asked for.

import Accounts
import Clocks
import Database
import RPC

/// A mail that waits.
struct QueuedMail: Sendable, Equatable {
  let id: String
  let kind: String
  let userID: String?
  let recipient: String
  let subject: String
  var body: String
  let createdAt: UnixTime
  let tries: Int64
}

/// How full the queue is.
struct MailDepth: Sendable, Equatable {
  var waiting: Int64 = 0
  var parked: Int64 = 0
  var oldestCreatedAt: UnixTime?
}

/// The rows of mail_queue, over one connection.
struct MailStore {
  let database: Connection

  /// Queues a mail; false when the occasion has one.
  func add(
    _ kind: MailKind, to recipient: String, subject: String, body: String, occasion: String,
    about user: String?, at now: UnixTime
  ) throws(DatabaseError) -> Bool {
    precondition(MailRules.admits(recipient: recipient) && MailRules.admits(subject: subject))
    try database.execute(
      """
      INSERT INTO mail_queue (id, dedupe_key, kind, recipient, subject, body, created_at,
        next_try_at, user_id)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8) ON CONFLICT (dedupe_key) DO NOTHING
      """,
      .text(Identifier<QueuedMail>.random().text), .text(occasion), .text(kind.rawValue),
      .text(recipient), .text(subject), .text(body), .integer(now.seconds),
      .optional(user))
    return database.changes == 1
  }

  /// What is to be tried now, oldest first.
  func due(at now: UnixTime, limit: Int64) throws(DatabaseError) -> [QueuedMail] {
    try database.all(
      """
      SELECT id, recipient, subject, body, created_at, tries, kind, user_id FROM mail_queue
      WHERE state = 'waiting' AND next_try_at <= ? ORDER BY next_try_at, created_at LIMIT ?
      """, .integer(now.seconds), .integer(limit)
    ) { (row) throws(DatabaseError) in
      QueuedMail(
        id: try row.text(0), kind: try row.text(6), userID: try row.optionalText(7),
        recipient: try row.text(1), subject: try row.text(2), body: try row.text(3),
        createdAt: UnixTime(seconds: try row.integer(4)),
        tries: try row.integer(5))
    }
  }

  /// Notes that a mail is on its way, and forgets its body.
  func settle(_ id: String, sentAt now: UnixTime) throws(DatabaseError) {
    try database.execute(
      """
      UPDATE mail_queue SET state = 'sent', sent_at = ?, body = NULL, reason = NULL,
        tries = tries + 1
      WHERE id = ? AND state = 'waiting'
      """, .integer(now.seconds), .text(id))
  }

  /// Notes a failed try: again at `next`, or parked when that is nil.
  func settle(
    _ id: String, failed reason: StaticString, next: UnixTime?
  ) throws(DatabaseError) {
    try database.execute(
      """
      UPDATE mail_queue SET tries = tries + 1, reason = ?1, next_try_at = coalesce(?2, next_try_at),
        state = CASE WHEN ?2 IS NULL THEN 'parked' ELSE 'waiting' END
      WHERE id = ?3 AND state = 'waiting'
      """, .text("\(reason)"), .optional(next?.seconds), .text(id))
  }

  /// Forgets a mail that has nothing to say any more.
  func drop(_ id: String) throws(DatabaseError) {
    try database.execute("DELETE FROM mail_queue WHERE id = ?", .text(id))
  }

  /// Deletes rows of mails that were sent or parked long ago.
  func forget(before time: UnixTime) throws(DatabaseError) {
    try database.execute(
      "DELETE FROM mail_queue WHERE state <> 'waiting' AND created_at < ?", .integer(time.seconds))
  }

  /// Counts what is open.
  func depth() throws(DatabaseError) -> MailDepth {
    try database.first(
      """
      SELECT count(*) FILTER (WHERE state = 'waiting'), count(*) FILTER (WHERE state = 'parked'),
        min(created_at) FILTER (WHERE state = 'waiting')
      FROM mail_queue WHERE state IN ('waiting', 'parked')
      """
    ) { (row) throws(DatabaseError) in
      MailDepth(
        waiting: try row.integer(0), parked: try row.integer(1),
        oldestCreatedAt: try row.optionalInteger(2).map { UnixTime(seconds: $0) })
    } ?? MailDepth()
  }
}
