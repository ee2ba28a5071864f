// Where an event is before anything comes of it: one row per event id, durable before Stripe
// gets its 200. Filing the same id again changes nothing and says so, however many copies
// arrive at once. Working on the rows is not here yet.

import Clocks
import Database

/// What filing an event did.
enum Filing: Equatable, Sendable {
  case new
  /// The id was there already; Stripe delivers at least once.
  case known
}

/// How full the inbox is.
struct InboxDepth: Equatable, Sendable {
  let waiting: Int
  let parked: Int
  /// When the oldest waiting event came.
  let oldestReceivedAt: UnixTime?
}

/// The table `stripe_inbox`.
struct Inbox: Sendable {
  let database: DatabaseThread

  /// Files an event; when this returns, it is on disk (synchronous=FULL).
  func file(
    _ event: StripeEvent, body: [UInt8], at now: UnixTime
  ) async throws(DatabaseError) -> Filing {
    try await database.run { (connection) throws(DatabaseError) in
      try connection.transaction { () throws(DatabaseError) in
        try connection.execute(
          """
          INSERT INTO stripe_inbox (id, type, created_at, livemode, api_version, account,
            object_type, object_id, customer_id, body, received_at)
          VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
          ON CONFLICT (id) DO NOTHING
          """,
          .text(event.id), .text(event.type), .integer(event.createdAt),
          .integer(event.isLive ? 1 : 0), .optional(event.apiVersion), .optional(event.account),
          .optional(event.objectType), .optional(event.objectID), .optional(event.customerID),
          .blob(body), .integer(now.seconds))
        return connection.changes == 1 ? .new : .known
      }
    }
  }

  /// Counts what is open.
  func depth() async throws(DatabaseError) -> InboxDepth {
    try await database.run { (connection) throws(DatabaseError) in
      let depth = try connection.first(
        """
        SELECT count(*) FILTER (WHERE state = 'waiting'), count(*) FILTER (WHERE state = 'parked'),
          min(received_at) FILTER (WHERE state = 'waiting')
        FROM stripe_inbox WHERE state IN ('waiting', 'parked')
        """
      ) { (row) throws(DatabaseError) in
        InboxDepth(
          waiting: Int(try row.integer(0)), parked: Int(try row.integer(1)),
          oldestReceivedAt: try row.optionalInteger(2).map { UnixTime(seconds: $0) })
      }
      return depth ?? InboxDepth(waiting: 0, parked: 0, oldestReceivedAt: nil)
    }
  }
}
