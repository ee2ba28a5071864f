// Settles doubts: reads subscriptions from Stripe that events could not decide, asks whose customer it
// is that nobody knows, and tells Stripe whose customers we know. Stripe being away costs nothing but
// time: the marks stay in the rows.

import Accounts
import Clocks
import Database
import HTTPCodec
import Logging
import Stripe

/// The worker behind doubts.
struct Readings: Sendable {
  static let roundMax: Int64 = 16
  static let waitSecondsMax: Int64 = 300

  let database: DatabaseThread
  let stripe: StripeAPI
  let rules: BillingRules
  let log: Log

  /// Settles what is due.
  /// - Returns: whether there may be more.
  func round(at now: UnixTime) async throws(DatabaseError) -> Bool {
    let (doubtful, unknown, untold) = try await database.run {
      (connection) throws(DatabaseError) in
      let store = BillingStore(database: connection)
      return (
        try store.doubtful(at: now, limit: Self.roundMax),
        try store.customersToAsk(at: now, limit: Self.roundMax),
        try store.customersToTell(at: now, limit: Self.roundMax)
      )
    }
    var isMore = false
    for (id, _, tries) in doubtful {
      // One that Stripe does not answer about says that it is away for the others, too.
      guard try await read(id, tries: tries) else { return false }
      isMore = true
    }
    for (id, tries) in unknown {
      guard try await ask(about: id, tries: tries) else { return false }
      isMore = true
    }
    for (id, user, tries) in untold {
      guard try await tell(id, user, tries: tries) else { return false }
      isMore = true
    }
    return isMore
  }

  // MARK: Subscriptions

  /// Reads one subscription and keeps what it shows; false when Stripe is away.
  @discardableResult
  func read(_ id: String, tries: Int64 = 0) async throws(DatabaseError) -> Bool {
    let revision = try await revision(of: id)
    let reading: Reading<StripeSubscription>?
    do throws(StripeFailure) {
      reading = try await stripe.get(StripeSubscription.self, Self.path(of: id))
    } catch {
      guard error == .missing else {
        log.warning(
          "stripe_not_read", ["reason": .literal(error.label), "tries": .count(tries + 1)])
        let next = Tries.next(after: tries + 1, secondsMax: Self.waitSecondsMax, now: .now)
        try await database.run { (connection) throws(DatabaseError) in
          try BillingStore(database: connection).postpone(fetch: id, to: next)
        }
        return error != .unreachable && error != .keyRefused
      }
      reading = nil
    }
    try await keep(reading, of: id, asOf: revision)
    return true
  }

  static func path(of subscription: String) -> String {
    "subscriptions/\(StripePath.segment(subscription))"
  }

  private func revision(of id: String) async throws(DatabaseError) -> Int64? {
    try await database.run { (connection) throws(DatabaseError) in
      try BillingStore(database: connection).subscription(id)?.revision
    }
  }

  /// Keeps an answer of Stripe's about a subscription; nil: there is none. An answer to a question
  /// from before the last news is not taken: the doubt stays, and is settled by the next one.
  func keep(
    _ reading: Reading<StripeSubscription>?, of id: String, asOf revision: Int64?
  ) async throws(DatabaseError) {
    let (rules, now) = (rules, UnixTime.now)
    try await database.commit { (connection) throws(DatabaseError) in
      try connection.transaction { () throws(DatabaseError) in
        let ledger = Ledger(connection, rules, at: now)
        try ledger.take(reading, of: id, asOf: revision)
      }
    }
  }

  // MARK: Customers

  private func ask(about id: String, tries: Int64) async throws(DatabaseError) -> Bool {
    var user: String?
    do throws(StripeFailure) {
      let customer = try await stripe.get(
        StripeCustomer.self, "customers/\(StripePath.segment(id))")
      user = customer.object.userID
    } catch {
      if error == .unreachable || error == .keyRefused {
        let next = Tries.next(after: tries + 1, secondsMax: Self.waitSecondsMax, now: .now)
        try await database.run { (connection) throws(DatabaseError) in
          try BillingStore(database: connection).asked(id, next: next)
        }
        return false
      }
    }
    let (found, rules, now) = (user.flatMap { UserID($0) == nil ? nil : $0 }, rules, UnixTime.now)
    try await database.run { (connection) throws(DatabaseError) in
      try connection.transaction { () throws(DatabaseError) in
        let ledger = Ledger(connection, rules, at: now)
        try ledger.store.asked(id, next: nil)
        guard let found, try !ledger.store.isDeparted(found),
          case .new = try ledger.link(id, to: found, "Stripe's record of the customer")
        else { return }
        try ledger.refresh(found)
      }
    }
    return true
  }

  private func tell(_ id: String, _ user: String, tries: Int64) async throws(DatabaseError) -> Bool
  {
    var next: UnixTime?
    do throws(StripeFailure) {
      _ = try await stripe.post(
        StripeCustomer.self, "customers/\(StripePath.segment(id))",
        [("metadata[\(OurMetadata.userKey)]", user)], purpose: "customer:\(id)")
    } catch {
      if error == .unreachable || error == .keyRefused {
        next = Tries.next(after: tries + 1, secondsMax: Self.waitSecondsMax, now: .now)
      }
    }
    let later = next
    try await database.run { (connection) throws(DatabaseError) in
      try BillingStore(database: connection).told(id, next: later)
    }
    return next == nil
  }
}

/// Ids of Stripe's as parts of a path.
enum StripePath {
  /// The id, escaped: it came from outside.
  static func segment(_ id: String) -> String { PercentCoding.encode(id) }
}

extension Ledger {
  /// Takes what Stripe's API shows of a subscription; nil: there is none.
  func take(
    _ reading: Reading<StripeSubscription>?, of id: String, asOf revision: Int64?
  ) throws(DatabaseError) {
    let known = try store.subscription(id)
    guard known?.revision == revision else {
      return try store.postpone(fetch: id, to: now)
    }
    var subscription = known ?? Subscription(id: id)
    let before = subscription
    let showing = reading.flatMap { Showing($0.object, price: rules.price) }
    if reading != nil, showing == nil {
      // Stripe shows something that this build can not read: nothing is changed by guesswork.
      return try store.postpone(fetch: id, to: now.advanced(bySeconds: Readings.waitSecondsMax))
    }
    if let customer = showing?.customerID, try store.customer(customer)?.isForgotten ?? false {
      return
    }
    subscription.take(reading: showing, at: reading?.at ?? now.seconds)
    try keep(subscription, instead: before, nil)
    guard let customer = subscription.customerID else { return }
    var user = try store.customer(customer)?.userID
    if user == nil, let hint = reading?.object.userID, UserID(hint) != nil,
      try !store.isDeparted(hint), case .new = try link(customer, to: hint, id)
    {
      user = hint
    }
    guard let user else { return try store.noteCustomer(customer, ask: now) }
    // What was so before we ever heard of it is no news.
    if before.shown != nil {
      try tellOfEnd(subscription, instead: before, user, at: now.seconds)
    }
    try refresh(user)
  }
}
