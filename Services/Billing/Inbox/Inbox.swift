// Where an event is before anything comes of it: one row per event id, durable before Stripe
// gets its 200. Filing the same id again changes nothing and says so, however many copies
// arrive at once. The ids stay for ever, the bodies as long as somebody may want to look.

import Clocks
import Database
import Stripe

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

/// An event that is to be taken into account.
struct WaitingEvent: Sendable {
  let sequence: Int64
  let happening: Happening
  let body: [UInt8]
  let tries: Int64
}

/// The table `stripe_inbox`, for those who hold no connection.
struct Inbox: Sendable {
  let database: DatabaseThread

  /// Files an event; when this returns, it is on disk (synchronous=FULL). Deliveries at the same time
  /// share one wait for the disk.
  func file(
    _ event: StripeEvent, body: [UInt8], at now: UnixTime
  ) async throws(DatabaseError) -> Filing {
    try await database.commit { (connection) throws(DatabaseError) in
      try connection.transaction { () throws(DatabaseError) in
        try InboxStore(database: connection).add(event, body: body, at: now)
      }
    }
  }

  /// Counts what is open.
  func depth() async throws(DatabaseError) -> InboxDepth {
    try await database.run { (connection) throws(DatabaseError) in
      try InboxStore(database: connection).depth()
    }
  }
}

/// The rows of `stripe_inbox`, over one connection.
struct InboxStore {
  let database: Connection

  /// Adds an event that waits.
  func add(_ event: StripeEvent, body: [UInt8], at now: UnixTime) throws(DatabaseError) -> Filing {
    try database.execute(
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
    return database.changes == 1 ? .new : .known
  }

  /// Adds an event that Stripe's list had and no delivery; it is settled in the same transaction.
  func addListed(_ event: StripeEvent, at now: UnixTime) throws(DatabaseError) -> Filing {
    try database.execute(
      """
      INSERT INTO stripe_inbox (id, type, created_at, livemode, api_version, account,
        object_type, object_id, customer_id, received_at, state, reason, settled_at)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'ignored', 'listed', ?10)
      ON CONFLICT (id) DO NOTHING
      """,
      .text(event.id), .text(event.type), .integer(event.createdAt),
      .integer(event.isLive ? 1 : 0), .optional(event.apiVersion), .optional(event.account),
      .optional(event.objectType), .optional(event.objectID), .optional(event.customerID),
      .integer(now.seconds))
    return database.changes == 1 ? .new : .known
  }

  /// Events to take into account now, in the order of their arrival; those that failed before come
  /// behind those that did not.
  func due(at now: UnixTime, limit: Int64) throws(DatabaseError) -> [WaitingEvent] {
    try database.all(
      """
      SELECT sequence, id, type, created_at, livemode, api_version, account, body, tries
      FROM stripe_inbox
      WHERE state = 'waiting' AND (next_try_at IS NULL OR next_try_at <= ?)
      ORDER BY next_try_at, sequence LIMIT ?
      """, .integer(now.seconds), .integer(limit)
    ) { (row) throws(DatabaseError) in
      let happening = Happening(
        id: try row.text(1), type: try row.text(2), createdAt: try row.integer(3),
        isLive: try row.integer(4) == 1, apiVersion: try row.optionalText(5),
        account: try row.optionalText(6))
      return WaitingEvent(
        sequence: try row.integer(0), happening: happening, body: try row.blob(7),
        tries: try row.integer(8))
    }
  }

  /// Notes what came of an event. What it says of somebody who is gone is not kept.
  func settle(
    _ id: String, _ outcome: EventOutcome, at now: UnixTime
  ) throws(DatabaseError) {
    try database.execute(
      """
      UPDATE stripe_inbox SET state = ?2, reason = ?3, settled_at = ?4, next_try_at = NULL,
        tries = tries + 1,
        body = CASE WHEN customer_id IN (
          SELECT id FROM stripe_customers WHERE forgotten_at IS NOT NULL) THEN NULL ELSE body END
      WHERE id = ?1 AND state = 'waiting'
      """, .text(id), .text(outcome.isApplied ? "applied" : "ignored"),
      outcome == .applied ? .null : .text("\(outcome.label)"), .integer(now.seconds))
  }

  /// Notes a try that failed: again at `next`, or parked when that is nil.
  func fail(
    _ sequence: Int64, because reason: StaticString, next: UnixTime?
  ) throws(DatabaseError) {
    try database.execute(
      """
      UPDATE stripe_inbox SET tries = tries + 1, reason = ?2, next_try_at = ?3,
        state = CASE WHEN ?3 IS NULL THEN 'parked' ELSE 'waiting' END
      WHERE sequence = ?1 AND state = 'waiting'
      """, .integer(sequence), .text("\(reason)"), .optional(next?.seconds))
  }

  /// Has an event taken into account again; false when there is none of this id. One whose body is
  /// gone leads to its object instead.
  func replay(_ id: String) throws(DatabaseError) -> Replay {
    try database.execute(
      """
      UPDATE stripe_inbox SET state = 'waiting', tries = 0, next_try_at = NULL, settled_at = NULL,
        reason = 'replayed'
      WHERE id = ? AND body IS NOT NULL
      """, .text(id))
    if database.changes == 1 { return .queued }
    return try database.first(
      "SELECT object_type, object_id, customer_id FROM stripe_inbox WHERE id = ?", .text(id)
    ) { (row) throws(DatabaseError) in
      let isSubscription = try row.optionalText(0).map { $0 == "subscription" } ?? false
      return .bodyGone(
        subscription: isSubscription ? try row.optionalText(1) : nil,
        customer: try row.optionalText(2))
    } ?? .unknown
  }

  /// What a wish to replay came to.
  enum Replay: Equatable {
    case queued
    case bodyGone(subscription: String?, customer: String?)
    case unknown
  }

  /// Forgets bodies that were settled, or parked, before `time`; the ids stay.
  /// - Returns: how many went; ask again while it is `limit`.
  func forgetBodies(before time: UnixTime, at now: UnixTime, limit: Int64) throws(DatabaseError)
    -> Int
  {
    try database.execute(
      """
      UPDATE stripe_inbox SET body = NULL,
        state = CASE WHEN state = 'parked' THEN 'ignored' ELSE state END,
        settled_at = coalesce(settled_at, ?2)
      WHERE sequence IN (
        SELECT sequence FROM stripe_inbox WHERE body IS NOT NULL
          AND (settled_at < ?1 OR state = 'parked' AND received_at < ?1) LIMIT ?3)
      """, .integer(time.seconds), .integer(now.seconds), .integer(limit))
    return database.changes
  }

  func depth() throws(DatabaseError) -> InboxDepth {
    let depth = try database.first(
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
