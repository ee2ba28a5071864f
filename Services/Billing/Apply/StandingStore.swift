// The rows of what follows for people: standings that auth is to have, mails, and the trail that says
// why. Written in the transaction of the news that they come from.

import Clocks
import Database
import RPC

/// Standings, mails and trails, over one connection.
struct StandingStore {
  let database: Connection

  // MARK: Standings

  /// The standing of a person, and the version that auth has.
  func standing(
    of user: String
  ) throws(DatabaseError) -> (standing: BillingStanding, delivered: Int64)? {
    try database.first(
      """
      SELECT version, plan, quantity, past_due_since, access_until, paid_until, why,
        delivered_version
      FROM billing_standings WHERE user_id = ?
      """, .text(user)
    ) { (row) throws(DatabaseError) in (try Self.standing(row), try row.integer(7)) }
  }

  private static func standing(_ row: borrowing Row) throws(DatabaseError) -> BillingStanding {
    BillingStanding(
      version: try row.integer(0),
      plan: BillingStanding.Plan(rawValue: try row.text(1)) ?? .freeTrial,
      quantity: try row.integer(2), pastDueSince: try row.optionalInteger(3),
      accessUntil: try row.optionalInteger(4), paidUntil: try row.optionalInteger(5),
      why: try row.text(6).split(separator: "\n").map(String.init))
  }

  /// Writes a standing, to be delivered at once.
  func save(
    _ standing: BillingStanding, of user: String, at now: UnixTime
  ) throws(DatabaseError) {
    try database.execute(
      """
      INSERT INTO billing_standings (user_id, version, plan, quantity, past_due_since, access_until,
        paid_until, why, deliver_at)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
      ON CONFLICT (user_id) DO UPDATE SET version = ?2, plan = ?3, quantity = ?4,
        past_due_since = ?5, access_until = ?6, paid_until = ?7, why = ?8, deliver_at = ?9, tries = 0
      """, .text(user), .integer(standing.version), .text(standing.plan.rawValue),
      .integer(standing.quantity), .optional(standing.pastDueSince),
      .optional(standing.accessUntil), .optional(standing.paidUntil),
      .text(standing.why.joined(separator: "\n")), .integer(now.seconds))
  }

  /// Standings that auth does not have and that are to be tried now.
  func undelivered(
    at now: UnixTime, limit: Int64
  ) throws(DatabaseError) -> [(user: String, standing: BillingStanding, tries: Int64)] {
    try database.all(
      """
      SELECT version, plan, quantity, past_due_since, access_until, paid_until, why, user_id, tries
      FROM billing_standings WHERE delivered_version <> version AND deliver_at <= ?
      ORDER BY deliver_at LIMIT ?
      """, .integer(now.seconds), .integer(limit)
    ) { (row) throws(DatabaseError) in
      (try row.text(7), try Self.standing(row), try row.integer(8))
    }
  }

  /// Notes that auth has a version.
  func delivered(_ version: Int64, to user: String) throws(DatabaseError) {
    try database.execute(
      "UPDATE billing_standings SET delivered_version = max(delivered_version, ?) WHERE user_id = ?",
      .integer(version), .text(user))
  }

  /// Delivers again later.
  func postpone(delivery user: String, to next: UnixTime) throws(DatabaseError) {
    try database.execute(
      "UPDATE billing_standings SET deliver_at = ?, tries = tries + 1 WHERE user_id = ?",
      .integer(next.seconds), .text(user))
  }

  /// There is no such person.
  func dropStanding(of user: String) throws(DatabaseError) {
    try database.execute("DELETE FROM billing_standings WHERE user_id = ?", .text(user))
  }

  // MARK: Mails

  /// Has a mail sent, once for an occasion.
  func mail(
    _ kind: String, to user: String, occasion: String, detail: String, at now: UnixTime
  ) throws(DatabaseError) {
    try database.execute(
      """
      INSERT INTO billing_mails (occasion, kind, user_id, detail, send_at)
      VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (occasion) DO NOTHING
      """, .text(occasion), .text(kind), .text(user), .text(detail), .integer(now.seconds))
  }

  /// A mail that the scheduler has not taken yet.
  struct Mail: Sendable {
    let occasion: String
    let kind: String
    let user: String
    let detail: String
    let tries: Int64
  }

  func mails(at now: UnixTime, limit: Int64) throws(DatabaseError) -> [Mail] {
    try database.all(
      """
      SELECT occasion, kind, user_id, detail, tries FROM billing_mails
      WHERE send_at <= ? ORDER BY send_at LIMIT ?
      """, .integer(now.seconds), .integer(limit)
    ) { (row) throws(DatabaseError) in
      Mail(
        occasion: try row.text(0), kind: try row.text(1), user: try row.text(2),
        detail: try row.text(3), tries: try row.integer(4))
    }
  }

  /// The scheduler has it, or it has nothing to say any more.
  func dropMail(_ occasion: String) throws(DatabaseError) {
    try database.execute("DELETE FROM billing_mails WHERE occasion = ?", .text(occasion))
  }

  func postpone(mail occasion: String, to next: UnixTime) throws(DatabaseError) {
    try database.execute(
      "UPDATE billing_mails SET send_at = ?, tries = tries + 1 WHERE occasion = ?",
      .integer(next.seconds), .text(occasion))
  }

  // MARK: The trail

  /// Adds a sentence.
  func note(
    _ text: String, of customer: String?, _ user: String? = nil, at now: UnixTime
  ) throws(DatabaseError) {
    try database.execute(
      "INSERT INTO billing_trail (at, customer_id, user_id, text) VALUES (?, ?, ?, ?)",
      .integer(now.seconds), .optional(customer), .optional(user), .text(text))
  }

  /// The newest sentences about a person, oldest first.
  func trail(
    of user: String, limit: Int64
  ) throws(DatabaseError) -> [BillingTrailCall.Response.Entry] {
    try database.all(
      """
      SELECT at, text FROM (
        SELECT sequence, at, text FROM billing_trail WHERE user_id = ?1
          OR customer_id IN (SELECT id FROM stripe_customers WHERE user_id = ?1)
        ORDER BY sequence DESC LIMIT ?2)
      ORDER BY sequence
      """, .text(user), .integer(limit)
    ) { (row) throws(DatabaseError) in .init(at: try row.integer(0), text: try row.text(1)) }
  }

  /// Forgets sentences from long ago.
  func cutTrail(before time: UnixTime) throws(DatabaseError) {
    try database.execute("DELETE FROM billing_trail WHERE at < ?", .integer(time.seconds))
  }
}
