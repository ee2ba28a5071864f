// The rows of people who are gone: what billing forgets at once, and what Stripe is still to be told.
// The wish is written in the transaction that forgets, so it can not be lost between the two.

import Clocks
import Database

/// A customer whom Stripe is still to be told of.
struct Farewell: Sendable, Equatable {
  let customer: String
  let subscriptions: [String]
  let tries: Int64
}

extension BillingStore {
  /// Whether a person deleted their account lately.
  func isDeparted(_ user: String) throws(DatabaseError) -> Bool {
    try database.first("SELECT 1 FROM billing_departed WHERE user_id = ?", .text(user)) {
      (row) throws(DatabaseError) in true
    } ?? false
  }

  /// Has Stripe told that a customer goes, and forgets what is known of them. What events still say
  /// of them is no news any more.
  func wishFarewell(
    of customer: String, subscriptions: String?, at now: UnixTime
  ) throws(DatabaseError) {
    let alive = try self.subscriptions(ofCustomer: customer).filter { !$0.isOver }.map(\.id)
    let ids = Set(alive + [subscriptions].compactMap(\.self)).sorted().joined(separator: ",")
    try database.execute(
      """
      INSERT INTO stripe_farewells (customer_id, subscription_ids, wished_at, try_at)
      VALUES (?1, ?2, ?3, ?3) ON CONFLICT (customer_id) DO NOTHING
      """, .text(customer), .text(ids), .integer(now.seconds))
    try database.execute(
      """
      INSERT INTO stripe_customers (id, forgotten_at) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE
      SET user_id = NULL, linked_at = NULL, ask_at = NULL, tell_at = NULL, forgotten_at = ?2
      """, .text(customer), .integer(now.seconds))
    try database.execute("DELETE FROM subscriptions WHERE customer_id = ?", .text(customer))
    try database.execute("DELETE FROM billing_trail WHERE customer_id = ?", .text(customer))
    try database.execute(
      """
      UPDATE stripe_inbox SET body = NULL, state = 'ignored', reason = 'account_deleted',
        settled_at = coalesce(settled_at, ?2)
      WHERE customer_id = ?1 AND body IS NOT NULL
      """, .text(customer), .integer(now.seconds))
  }

  /// Forgets a person, with all their customers.
  func forget(_ user: String, at now: UnixTime) throws(DatabaseError) {
    for customer in try customers(of: user) {
      try wishFarewell(of: customer, subscriptions: nil, at: now)
    }
    try database.execute("DELETE FROM billing_standings WHERE user_id = ?", .text(user))
    try database.execute("DELETE FROM billing_mails WHERE user_id = ?", .text(user))
    try database.execute("DELETE FROM billing_trail WHERE user_id = ?", .text(user))
    try database.execute(
      "INSERT OR REPLACE INTO billing_departed (user_id, departed_at) VALUES (?, ?)",
      .text(user), .integer(now.seconds))
  }

  /// People with a customer or a standing who are nobody's account any more, though nobody said so.
  func lostPeople(limit: Int64) throws(DatabaseError) -> [String] {
    try database.all(
      """
      SELECT user_id FROM stripe_customers WHERE user_id IS NOT NULL
        AND user_id NOT IN (SELECT id FROM users) LIMIT ?
      """, .integer(limit)
    ) { (row) throws(DatabaseError) in try row.text(0) }
  }

  // MARK: Telling Stripe

  func farewells(at now: UnixTime, limit: Int64) throws(DatabaseError) -> [Farewell] {
    try database.all(
      """
      SELECT customer_id, subscription_ids, tries FROM stripe_farewells WHERE try_at <= ?
      ORDER BY try_at LIMIT ?
      """, .integer(now.seconds), .integer(limit)
    ) { (row) throws(DatabaseError) in
      Farewell(
        customer: try row.text(0),
        subscriptions: try row.text(1).split(separator: ",").map(String.init),
        tries: try row.integer(2))
    }
  }

  func settle(farewell customer: String) throws(DatabaseError) {
    try database.execute("DELETE FROM stripe_farewells WHERE customer_id = ?", .text(customer))
  }

  func postpone(farewell customer: String, to next: UnixTime) throws(DatabaseError) {
    try database.execute(
      "UPDATE stripe_farewells SET try_at = ?, tries = tries + 1 WHERE customer_id = ?",
      .integer(next.seconds), .text(customer))
  }

  func farewellsOpen() throws(DatabaseError) -> Int64 {
    try database.first("SELECT count(*) FROM stripe_farewells") { (row) throws(DatabaseError) in
      try row.integer(0)
    } ?? 0
  }

  /// Forgets who departed before `time`: no checkout of theirs can be completed any more, and no
  /// event of theirs be delivered.
  func forgetDeparted(before time: UnixTime) throws(DatabaseError) {
    try database.execute(
      "DELETE FROM billing_departed WHERE departed_at < ?", .integer(time.seconds))
    try database.execute(
      """
      DELETE FROM stripe_customers WHERE forgotten_at < ?
        AND id NOT IN (SELECT customer_id FROM stripe_farewells)
      """, .integer(time.seconds))
  }
}
