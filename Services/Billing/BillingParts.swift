// The rounds of billing, and how often each runs when nobody rings for it. Everything here may be
// interrupted at any moment: what is to be done is in rows.

import Clocks
import Database
import Logging
import RPC
import ServiceRuntime

/// What billing is made of.
struct BillingParts: Sendable {
  let runtime: Runtime
  let database: DatabaseThread
  let metrics: BillingMetrics
  let bells: Bells
  let rules: BillingRules
  /// Nil while Stripe's key is not set.
  let stripe: StripeAPI?
  let peers: any BillingPeers

  private var deliveries: Deliveries {
    Deliveries(database: database, peers: peers, log: runtime.log)
  }

  private func readings(_ stripe: StripeAPI) -> Readings {
    Readings(database: database, stripe: stripe, rules: rules, log: runtime.log)
  }

  /// The calls that others make.
  var calls: BillingCalls {
    let desk = stripe.map { stripe in
      Desk(
        database: database, stripe: stripe, rules: rules, readings: readings(stripe),
        deliveries: deliveries, log: runtime.log)
    }
    return BillingCalls(database: database, rules: rules, desk: desk, bells: bells)
  }

  /// Begins all rounds.
  func begin(_ rounds: Rounds) {
    let (bells, deliveries) = (bells, deliveries)
    let effects = Effects(database: database, rules: rules, log: runtime.log, metrics: metrics)
    rounds.run(bells.events, every: 1) { (now) throws(DatabaseError) in
      let count = try await effects.round(at: now)
      if count > 0 { bells.ringAfterNews() }
      return count == Effects.roundMax
    }
    rounds.run(bells.deliveries, every: 1) { (now) throws(DatabaseError) in
      try await deliveries.standings(at: now)
    }
    rounds.run(bells.mails, every: 5, hearing: .milliseconds(250)) { (now) throws(DatabaseError) in
      try await deliveries.mails(at: now)
    }
    let tidying = Tidying(database: database, log: runtime.log)
    rounds.run(Bell(), every: 3600, hearing: .seconds(1)) { (now) throws(DatabaseError) in
      try await tidying.run(at: now)
      bells.farewells.ring()
      return false
    }
    rounds.run(Bell(), every: 5, hearing: .seconds(1)) { (now) throws(DatabaseError) in
      try await measure(at: now)
      return false
    }
    rounds.run(Bell(), every: Contact.everySeconds, hearing: .seconds(1)) {
      (now) throws(DatabaseError) in
      try await tellContact(at: now)
      return false
    }
    if let stripe { begin(rounds, with: stripe) }
  }

  private func begin(_ rounds: Rounds, with stripe: StripeAPI) {
    let bells = bells
    let readings = readings(stripe)
    rounds.run(bells.readings, every: 1) { (now) throws(DatabaseError) in
      let isMore = try await readings.round(at: now)
      if isMore { bells.deliveries.ring() }
      return isMore
    }
    let farewells = Farewells(database: database, stripe: stripe, log: runtime.log)
    rounds.run(bells.farewells, every: 10, hearing: .milliseconds(250)) {
      (now) throws(DatabaseError) in
      try await farewells.round(at: now)
    }
    let reconciler = Reconciler(
      database: database, stripe: stripe, rules: rules, log: runtime.log, metrics: metrics)
    let nightly = Nightly(reconciler: reconciler, log: runtime.log)
    rounds.run(Bell(), every: 60, hearing: .seconds(1)) { (now) throws(DatabaseError) in
      if try await nightly.run(at: now) { bells.ringAfterNews() }
      return false
    }
  }

  private func measure(at now: UnixTime) async throws(DatabaseError) {
    do throws(DatabaseError) {
      let (depth, backlog) = try await database.run { (connection) throws(DatabaseError) in
        (
          try InboxStore(database: connection).depth(),
          try MarkStore(database: connection).backlog()
        )
      }
      metrics.note(depth, at: now)
      metrics.note(backlog)
      runtime.readiness.note(holds: .database)
    } catch {
      runtime.readiness.note(broken: .database, because: error.label)
      throw error
    }
  }

  private func tellContact(at now: UnixTime) async throws(DatabaseError) {
    let hasKey = stripe != nil
    let (oldest, caughtUp) = try await database.run { (connection) throws(DatabaseError) in
      (
        try InboxStore(database: connection).depth().oldestReceivedAt,
        try MarkStore(database: connection).value(of: .caughtUp)
      )
    }
    guard
      let time = Contact.time(
        now: now, oldestWaiting: oldest,
        listedAt: caughtUp.map { UnixTime(seconds: $0) }, hasKey: hasKey)
    else { return }
    do throws(RPCError) { try await peers.tellContact(time) } catch {
      runtime.log.debug("contact_not_told")
    }
  }
}

/// Until when does billing know all that Stripe did?
enum Contact {
  static let everySeconds: Int64 = 60
  /// Stripe's list is read every hour; two missed readings are a silence.
  static let listSecondsMax: Int64 = 2 * 3600 + 600

  /// The time to tell; nil when there never was one. Without a key there is nothing but webhooks.
  static func time(
    now: UnixTime, oldestWaiting: UnixTime?, listedAt: UnixTime?, hasKey: Bool
  ) -> UnixTime? {
    var time = now
    if let oldestWaiting { time = min(time, oldestWaiting) }
    guard hasKey else { return time }
    guard let listedAt else { return nil }
    return now.seconds - listedAt.seconds > listSecondsMax ? min(time, listedAt) : time
  }
}

/// When Stripe's lists are read: at the start, events then every hour, subscriptions every night.
final class Nightly: Sendable {
  static let eventSeconds: Int64 = 3600
  static let subscriptionSeconds: Int64 = 86_400

  private let reconciler: Reconciler
  private let log: Log
  private let isFirst = Rounds.Flag()

  init(reconciler: Reconciler, log: Log) {
    self.reconciler = reconciler
    self.log = log
  }

  /// Reads the lists that are due; true when something was read.
  func run(at now: UnixTime) async throws(DatabaseError) -> Bool {
    do throws(ReconcileError) {
      let events = try await reconciler.mark(.caughtUp) ?? 0
      let subscriptions = try await reconciler.mark(.subscriptionsListed) ?? 0
      let isStart = !isFirst.isSet
      var isDue = false
      if isStart || now.seconds - events >= Self.eventSeconds {
        tell("events_reconciled", try await reconciler.events(at: now))
        isDue = true
      }
      if isStart || now.seconds - subscriptions >= Self.subscriptionSeconds {
        tell("subscriptions_reconciled", try await reconciler.subscriptions(at: now))
        isDue = true
      }
      isFirst.set()
      return isDue
    } catch {
      switch error {
      case .database(let error): throw error
      case .stripe(let failure):
        log.warning("stripe_not_reconciled", ["reason": .literal(failure.label)])
        return false
      }
    }
  }

  private func tell(_ event: StaticString, _ report: Reconciler.Report) {
    log.info(event, ["seen": .count(report.seen), "healed": .count(report.healed)])
  }
}
