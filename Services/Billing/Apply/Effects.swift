// Takes filed events into account, after Stripe has its answer: reads each, changes what follows from
// it, and settles its row, in one transaction. One that fails waits longer and longer and is parked
// in the end; no other waits for it. Trouble of the database is nobody's try.

import Clocks
import Database
import Logging
import Stripe

/// The worker behind the inbox.
struct Effects: Sendable {
  /// Events of one round; each is a transaction that shares its wait for the disk with the others.
  static let roundMax: Int64 = 16
  /// The longest wait between two tries of an event.
  static let waitSecondsMax: Int64 = 64

  let database: DatabaseThread
  let rules: BillingRules
  let log: Log
  let metrics: BillingMetrics

  /// Takes what is due into account.
  /// - Returns: how many events that was; there may be more while it is `roundMax`.
  func round(at now: UnixTime) async throws(DatabaseError) -> Int {
    let due = try await database.run { (connection) throws(DatabaseError) in
      try InboxStore(database: connection).due(at: now, limit: Self.roundMax)
    }
    let trouble = await withTaskGroup(of: DatabaseError?.self) { group in
      for event in due {
        group.addTask {
          do throws(DatabaseError) {
            try await take(event, at: now)
            return nil
          } catch { return error }
        }
      }
      return await group.reduce(nil) { $0 ?? $1 }
    }
    if let trouble { throw trouble }
    return due.count
  }

  private func take(_ event: WaitingEvent, at now: UnixTime) async throws(DatabaseError) {
    let rules = rules
    let news = StripeJSON.read(StripeNews.self, event.body)
    var reason: StaticString = "unreadable"
    do throws(DatabaseError) {
      let outcome = try await database.commit { (connection) throws(DatabaseError) in
        try connection.transaction { () throws(DatabaseError) -> EventOutcome in
          guard let news else { return .failed }
          let outcome = try Ledger(connection, rules, at: now).take(news, of: event.happening)
          guard outcome != .failed else { return .failed }
          try InboxStore(database: connection).settle(event.happening.id, outcome, at: now)
          return outcome
        }
      }
      if outcome != .failed { return metrics.events[outcome].add() }
    } catch {
      // The same event may go well a moment later, or nothing will.
      if error.isTransient || error.isFatal || error == .stopped { throw error }
      reason = error.label
    }
    try await fail(event, because: reason, at: now)
  }

  private func fail(
    _ event: WaitingEvent, because reason: StaticString, at now: UnixTime
  ) async throws(DatabaseError) {
    let tries = event.tries + 1
    let next =
      tries >= Tries.eventTriesMax
      ? nil : Tries.next(after: tries, secondsMax: Self.waitSecondsMax, now: now)
    try await database.commit { (connection) throws(DatabaseError) in
      try connection.transaction { () throws(DatabaseError) in
        try InboxStore(database: connection).fail(event.sequence, because: reason, next: next)
      }
    }
    metrics.events[next == nil ? .parked : .failed].add()
    log.warning(
      next == nil ? "event_parked" : "event_failed",
      ["reason": .literal(reason), "tries": .count(tries), "sequence": .count(event.sequence)])
  }
}
