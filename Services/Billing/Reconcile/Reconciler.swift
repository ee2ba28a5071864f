// Heals what no webhook told: at the start and every hour Stripe's list of events since the last one
// that is known, at the start and every night its list of subscriptions. Both go through the same
// ledger as webhooks, so that what is known already changes nothing.

import Clocks
import Database
import Logging
import Stripe

/// Compares what is known with what Stripe has.
struct Reconciler: Sendable {
  /// Stripe lists events of the last 30 days.
  static let listedSeconds: Int64 = 29 * 86_400
  /// Events are listed again from a little before: their seconds are Stripe's, and one that was made
  /// before another may be listed after it.
  static let overlapSeconds: Int64 = 600
  static let pageMax = 100
  /// Pages of one run: 100,000 events or subscriptions.
  static let pagesMax = 1000

  let database: DatabaseThread
  let stripe: StripeAPI
  let rules: BillingRules
  let log: Log
  let metrics: BillingMetrics

  /// What a comparison found.
  struct Report: Equatable, Sendable {
    var seen: Int64 = 0
    /// Events that no webhook had brought; subscriptions that were not as they should be.
    var healed: Int64 = 0
  }

  // MARK: Events

  /// Takes events into account that Stripe lists and the inbox lacks.
  func events(at now: UnixTime) async throws(ReconcileError) -> Report {
    let last = try await mark(.eventsListed)
    let from = max((last ?? 0) - Self.overlapSeconds, now.seconds - Self.listedSeconds)
    var report = Report()
    let filter =
      [("limit", "\(Self.pageMax)"), ("created[gte]", "\(from)")]
      + StripeNews.types.enumerated().map { ("types[\($0.offset)]", $0.element) }
    var query = filter
    var time: Int64?
    for _ in 0..<Self.pagesMax {
      let page = try await list(ListedEvent.self, "events", query)
      time = time ?? page.at
      for event in page.object.elements {
        report.seen += 1
        if try await take(event, at: now) { report.healed += 1 }
      }
      guard page.object.hasMore, let after = page.object.lastID else { break }
      query = filter + [("starting_after", after)]
    }
    // Only a list that was read to its end says that nothing is missing.
    try await setMark(.eventsListed, time ?? now.seconds)
    try await setMark(.caughtUp, now.seconds)
    return report
  }

  private func take(_ event: ListedEvent, at now: UnixTime) async throws(ReconcileError) -> Bool {
    let rules = rules
    let happening = Happening(event.envelope)
    let outcome = try await change { (connection) throws(DatabaseError) -> EventOutcome? in
      guard try InboxStore(database: connection).addListed(event.envelope, at: now) == .new
      else { return nil }
      guard let news = event.news else { return .failed }
      return try Ledger(connection, rules, at: now).take(news, of: happening)
    }
    if let outcome { metrics.events[outcome].add() }
    return outcome?.isApplied ?? false
  }

  // MARK: Subscriptions

  /// Compares every subscription that is not over, at Stripe or here.
  func subscriptions(at now: UnixTime) async throws(ReconcileError) -> Report {
    var report = Report()
    var listed: Set<String> = []
    var query = [("limit", "\(Self.pageMax)")]
    for _ in 0..<Self.pagesMax {
      let page = try await list(StripeSubscription.self, "subscriptions", query)
      for subscription in page.object.elements {
        report.seen += 1
        guard let id = subscription.id else { continue }
        listed.insert(id)
        if try await compare(subscription, id, at: now) { report.healed += 1 }
      }
      guard page.object.hasMore, let after = page.object.lastID else { break }
      query = [("limit", "\(Self.pageMax)"), ("starting_after", after)]
    }
    report.healed += try await questionUnlisted(listed, at: now)
    try await setMark(.subscriptionsListed, now.seconds)
    return report
  }

  /// Has a subscription read that Stripe's list shows otherwise than we know it. The list itself may
  /// be older than an event that came meanwhile, so it is a hint like any event.
  private func compare(
    _ subscription: StripeSubscription, _ id: String, at now: UnixTime
  ) async throws(ReconcileError) -> Bool {
    let rules = rules
    return try await change { (connection) throws(DatabaseError) in
      let ledger = Ledger(connection, rules, at: now)
      let before = try ledger.store.subscription(id)
      let showing = Showing(subscription, price: rules.price)
      if let before, before.shown == showing, before.status == showing?.status { return false }
      if let customer = subscription.customerID,
        try ledger.store.customer(customer)?.isForgotten ?? false
      {
        return false
      }
      var known = before ?? Subscription(id: id)
      known.customerID = known.customerID ?? subscription.customerID
      known.question(.notListed)
      guard known != before else { return false }
      try ledger.store.save(known, at: now)
      return true
    }
  }

  /// Has those read that are not over here, and not in Stripe's list.
  private func questionUnlisted(
    _ listed: Set<String>, at now: UnixTime
  ) async throws(ReconcileError) -> Int64 {
    var last = ""
    var count: Int64 = 0
    while true {
      let after = last
      let page = try await change { (connection) throws(DatabaseError) in
        let store = BillingStore(database: connection)
        let ids = try store.alive(after: after, limit: 200)
        for id in ids where !listed.contains(id) {
          guard var known = try store.subscription(id) else { continue }
          known.question(.notListed)
          try store.save(known, at: now)
        }
        return ids
      }
      count += Int64(page.count { !listed.contains($0) })
      guard let end = page.last else { return count }
      last = end
    }
  }

  // MARK: Steps

  private func list<T: Decodable & Sendable>(
    _: T.Type, _ path: String, _ query: [(String, String)]
  ) async throws(ReconcileError) -> Reading<StripeList<T>> {
    do throws(StripeFailure) {
      return try await stripe.get(StripeList<T>.self, path, query)
    } catch { throw .stripe(error) }
  }

  private func change<Result: Sendable>(
    _ body: @escaping @Sendable (Connection) throws(DatabaseError) -> Result
  ) async throws(ReconcileError) -> Result {
    do throws(DatabaseError) {
      return try await database.run { (connection) throws(DatabaseError) in
        try connection.transaction { () throws(DatabaseError) in try body(connection) }
      }
    } catch { throw .database(error) }
  }

  func mark(_ mark: Mark) async throws(ReconcileError) -> Int64? {
    try await change { (connection) throws(DatabaseError) in
      try MarkStore(database: connection).value(of: mark)
    }
  }

  private func setMark(_ mark: Mark, _ value: Int64) async throws(ReconcileError) {
    try await change { (connection) throws(DatabaseError) in
      try MarkStore(database: connection).set(mark, to: value)
    }
  }
}

/// Why a comparison did not come to its end.
enum ReconcileError: Error, Equatable, Sendable {
  case stripe(StripeFailure)
  case database(DatabaseError)
}
