// The rows of customers, subscriptions and standings: reads and writes, one statement each. What is to
// be written is decided elsewhere (Subscription, Standing); who calls holds the transaction.

import Clocks
import Database
import RPC
import Stripe

/// A customer at Stripe.
struct Customer: Equatable, Sendable {
  let id: String
  let userID: String?
  /// The account was deleted: nothing is to come back.
  let isForgotten: Bool
}

/// What billing knows, over one connection.
struct BillingStore {
  let database: Connection

  // MARK: Customers

  func customer(_ id: String) throws(DatabaseError) -> Customer? {
    try database.first(
      "SELECT user_id, forgotten_at IS NOT NULL FROM stripe_customers WHERE id = ?", .text(id)
    ) { (row) throws(DatabaseError) in
      Customer(id: id, userID: try row.optionalText(0), isForgotten: try row.integer(1) == 1)
    }
  }

  /// Notes that there is such a customer; when nobody knows whose it is, Stripe is to be asked.
  func noteCustomer(_ id: String, ask now: UnixTime?) throws(DatabaseError) {
    try database.execute(
      """
      INSERT INTO stripe_customers (id, ask_at) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE
      SET ask_at = coalesce(ask_at, excluded.ask_at)
      WHERE user_id IS NULL AND forgotten_at IS NULL AND excluded.ask_at IS NOT NULL
      """, .text(id), .optional(now?.seconds))
  }

  /// Says whose customer it is, once; false when that is known already, or forgotten.
  func link(_ id: String, to user: String, at now: UnixTime) throws(DatabaseError) -> Bool {
    try database.execute(
      """
      INSERT INTO stripe_customers (id, user_id, linked_at, tell_at) VALUES (?1, ?2, ?3, ?3)
      ON CONFLICT (id) DO UPDATE SET user_id = ?2, linked_at = ?3, ask_at = NULL, tell_at = ?3
      WHERE user_id IS NULL AND forgotten_at IS NULL
      """, .text(id), .text(user), .integer(now.seconds))
    return database.changes == 1
  }

  /// Customers whose person is to be asked for now.
  func customersToAsk(
    at now: UnixTime, limit: Int64
  ) throws(DatabaseError) -> [(id: String, tries: Int64)] {
    try database.all(
      "SELECT id, tries FROM stripe_customers WHERE ask_at <= ? ORDER BY ask_at LIMIT ?",
      .integer(now.seconds), .integer(limit)
    ) { (row) throws(DatabaseError) in (try row.text(0), try row.integer(1)) }
  }

  /// Asks again at `next`, or not any more.
  func asked(_ customer: String, next: UnixTime?) throws(DatabaseError) {
    try database.execute(
      """
      UPDATE stripe_customers SET ask_at = ?2, tries = CASE WHEN ?2 IS NULL THEN 0 ELSE tries + 1 END
      WHERE id = ?1 AND ask_at IS NOT NULL
      """, .text(customer), .optional(next?.seconds))
  }

  /// Customers of which Stripe is to be told now whose they are.
  func customersToTell(
    at now: UnixTime, limit: Int64
  ) throws(DatabaseError) -> [(id: String, user: String, tries: Int64)] {
    try database.all(
      """
      SELECT id, user_id, tries FROM stripe_customers WHERE tell_at <= ? AND user_id IS NOT NULL
      ORDER BY tell_at LIMIT ?
      """, .integer(now.seconds), .integer(limit)
    ) { (row) throws(DatabaseError) in
      (try row.text(0), try row.text(1), try row.integer(2))
    }
  }

  /// Tells again at `next`, or not any more.
  func told(_ customer: String, next: UnixTime?) throws(DatabaseError) {
    try database.execute(
      """
      UPDATE stripe_customers SET tell_at = ?2,
        tries = CASE WHEN ?2 IS NULL THEN 0 ELSE tries + 1 END
      WHERE id = ?1 AND tell_at IS NOT NULL
      """, .text(customer), .optional(next?.seconds))
  }

  /// The customers of a person, the newest link last.
  func customers(of user: String) throws(DatabaseError) -> [String] {
    try database.all(
      "SELECT id FROM stripe_customers WHERE user_id = ? ORDER BY linked_at, id", .text(user)
    ) { (row) throws(DatabaseError) in try row.text(0) }
  }

  // MARK: Subscriptions

  func subscription(_ id: String) throws(DatabaseError) -> Subscription? {
    try database.first(
      """
      SELECT id, customer_id, status, quantity, item_id, period_end, cancel_at,
        cancels_at_period_end, ended_at, created_at, version_at, version_moment, fetched_at, paid_at,
        failures, doubt, revision, sure_at
      FROM subscriptions WHERE id = ?
      """, .text(id)
    ) { (row) throws(DatabaseError) in try Self.subscription(row) }
  }

  /// Those of all customers of a person.
  func subscriptions(of user: String) throws(DatabaseError) -> [Subscription] {
    try database.all(
      """
      SELECT id, customer_id, status, quantity, item_id, period_end, cancel_at,
        cancels_at_period_end, ended_at, created_at, version_at, version_moment, fetched_at, paid_at,
        failures, doubt, revision, sure_at
      FROM subscriptions
      WHERE customer_id IN (SELECT id FROM stripe_customers WHERE user_id = ?) ORDER BY id
      """, .text(user)
    ) { (row) throws(DatabaseError) in try Self.subscription(row) }
  }

  /// Those of one customer.
  func subscriptions(ofCustomer id: String) throws(DatabaseError) -> [Subscription] {
    try database.all(
      """
      SELECT id, customer_id, status, quantity, item_id, period_end, cancel_at,
        cancels_at_period_end, ended_at, created_at, version_at, version_moment, fetched_at, paid_at,
        failures, doubt, revision, sure_at
      FROM subscriptions WHERE customer_id = ? ORDER BY id
      """, .text(id)
    ) { (row) throws(DatabaseError) in try Self.subscription(row) }
  }

  private static func subscription(_ row: borrowing Row) throws(DatabaseError) -> Subscription {
    var subscription = Subscription(id: try row.text(0))
    subscription.customerID = try row.optionalText(1)
    let status = try row.optionalText(2).flatMap(SubscriptionStatus.init(rawValue:))
    if let status, let customer = subscription.customerID {
      subscription.shown = Showing(
        customerID: customer, status: status, quantity: try row.integer(3),
        itemID: try row.optionalText(4), periodEnd: try row.optionalInteger(5),
        cancelAt: try row.optionalInteger(6), cancelsAtPeriodEnd: try row.integer(7) == 1,
        endedAt: try row.optionalInteger(8), createdAt: try row.integer(9))
    }
    subscription.versionAt = try row.integer(10)
    subscription.moment = SubscriptionMoment(rawValue: try row.integer(11)) ?? .changed
    subscription.fetchedAt = try row.integer(12)
    subscription.paidAt = try row.integer(13)
    subscription.failures = try row.text(14).split(separator: ",").compactMap { Int64($0) }
    subscription.doubt = try row.optionalText(15).flatMap(Doubt.init(rawValue:))
    subscription.revision = try row.integer(16)
    subscription.sureAt = try row.integer(17)
    return subscription
  }

  /// Writes a subscription as it is now. A new doubt is to be settled at once.
  func save(_ subscription: Subscription, at now: UnixTime) throws(DatabaseError) {
    let shown = subscription.shown
    let failures = subscription.failures.map(String.init).joined(separator: ",")
    try database.execute(
      """
      INSERT INTO subscriptions (id, customer_id, status, quantity, item_id, period_end, cancel_at,
        cancels_at_period_end, ended_at, created_at, version_at, version_moment, fetched_at, paid_at,
        failures, doubt, sure_at, fetch_at)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,
        ?18, CASE WHEN ?16 IS NULL THEN NULL ELSE ?17 END)
      ON CONFLICT (id) DO UPDATE SET customer_id = excluded.customer_id, status = excluded.status,
        quantity = excluded.quantity, item_id = excluded.item_id, period_end = excluded.period_end,
        cancel_at = excluded.cancel_at, cancels_at_period_end = excluded.cancels_at_period_end,
        ended_at = excluded.ended_at, created_at = excluded.created_at,
        version_at = excluded.version_at, version_moment = excluded.version_moment,
        fetched_at = excluded.fetched_at, paid_at = excluded.paid_at, failures = excluded.failures,
        fetch_tries = CASE WHEN doubt IS excluded.doubt THEN fetch_tries ELSE 0 END,
        fetch_at = CASE WHEN excluded.doubt IS NULL THEN NULL
          ELSE min(coalesce(fetch_at, excluded.fetch_at), excluded.fetch_at) END,
        doubt = excluded.doubt, sure_at = excluded.sure_at, revision = revision + 1
      """,
      .text(subscription.id), .optional(subscription.customerID), .optional(shown?.status.rawValue),
      .integer(shown?.quantity ?? 0), .optional(shown?.itemID), .optional(shown?.periodEnd),
      .optional(shown?.cancelAt), .integer(shown?.cancelsAtPeriodEnd ?? false ? 1 : 0),
      .optional(shown?.endedAt), .integer(shown?.createdAt ?? 0), .integer(subscription.versionAt),
      .integer(subscription.moment.rawValue), .integer(subscription.fetchedAt),
      .integer(subscription.paidAt), .text(failures), .optional(subscription.doubt?.rawValue),
      .integer(now.seconds), .integer(subscription.sureAt))
  }

  /// Subscriptions that are to be read from Stripe now, with their revision and tries.
  func doubtful(
    at now: UnixTime, limit: Int64
  ) throws(DatabaseError) -> [(id: String, revision: Int64, tries: Int64)] {
    try database.all(
      """
      SELECT id, revision, fetch_tries FROM subscriptions WHERE fetch_at <= ?
      ORDER BY fetch_at LIMIT ?
      """, .integer(now.seconds), .integer(limit)
    ) { (row) throws(DatabaseError) in
      (try row.text(0), try row.integer(1), try row.integer(2))
    }
  }

  /// Reads it again later.
  func postpone(fetch id: String, to next: UnixTime) throws(DatabaseError) {
    try database.execute(
      """
      UPDATE subscriptions SET fetch_at = ?, fetch_tries = fetch_tries + 1
      WHERE id = ? AND fetch_at IS NOT NULL
      """, .integer(next.seconds), .text(id))
  }

  /// Subscriptions that are not over, as far as is known: a page behind `id`.
  func alive(after id: String, limit: Int64) throws(DatabaseError) -> [String] {
    try database.all(
      """
      SELECT id FROM subscriptions
      WHERE id > ? AND (status IS NULL OR status NOT IN ('canceled', 'incomplete_expired'))
      ORDER BY id LIMIT ?
      """, .text(id), .integer(limit)
    ) { (row) throws(DatabaseError) in try row.text(0) }
  }
}
