// What billing remembers of its own doing: until when Stripe's lists were read, and when it tidied.
// And what is open, counted.

import Database

/// The names in `billing_marks`.
enum Mark: String, Sendable {
  /// The time of Stripe's clock up to which its events were listed.
  case eventsListed = "events_listed"
  case subscriptionsListed = "subscriptions_listed"
  /// Our clock when the last list of events was read to its end.
  case caughtUp = "caught_up"
  case tidied
}

/// The rows of `billing_marks` and counts of what is open, over one connection.
struct MarkStore {
  let database: Connection

  func value(of mark: Mark) throws(DatabaseError) -> Int64? {
    try database.first("SELECT at FROM billing_marks WHERE name = ?", .text(mark.rawValue)) {
      (row) throws(DatabaseError) in try row.integer(0)
    }
  }

  func set(_ mark: Mark, to value: Int64) throws(DatabaseError) {
    try database.execute(
      "INSERT OR REPLACE INTO billing_marks (name, at) VALUES (?, ?)", .text(mark.rawValue),
      .integer(value))
  }

  /// What is to be done besides events.
  func backlog() throws(DatabaseError) -> Backlog {
    try database.first(
      """
      SELECT (SELECT count(*) FROM billing_standings WHERE delivered_version <> version),
        (SELECT count(*) FROM subscriptions WHERE fetch_at IS NOT NULL),
        (SELECT count(*) FROM stripe_farewells)
      """
    ) { (row) throws(DatabaseError) in
      Backlog(
        undelivered: try row.integer(0), doubtful: try row.integer(1), farewells: try row.integer(2)
      )
    } ?? Backlog()
  }
}
