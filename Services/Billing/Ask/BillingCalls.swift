// Which calls billing answers, and how: what people ask for at the desk, and what is read of or
// changed in its own rows. Without Stripe's key the desk is closed; events are filed all the same.

import Clocks
import Database
import RPC

/// The calls that billing answers.
struct BillingCalls: Sendable {
  /// Sentences of a trail that are shown.
  static let trailMax: Int64 = 200

  let database: DatabaseThread
  let rules: BillingRules
  /// Nil while Stripe's key is not set.
  let desk: Desk?
  /// Rung when there is work for the rounds.
  let bells: Bells

  /// Adds the answers to `handlers`.
  func answer(in handlers: inout CallHandlers) {
    let desk = desk
    handlers.answer(BillingCheckoutCall.self) { (request, _) throws(Refusal) in
      try await desk?.checkout(request) ?? BillingPage(.disabled)
    }
    handlers.answer(BillingPortalCall.self) { (request, _) throws(Refusal) in
      try await desk?.portal(request) ?? BillingPage(.disabled)
    }
    handlers.answer(BillingVerifyCall.self) { (request, _) throws(Refusal) in
      try await desk?.verify(request) ?? .init(.disabled)
    }
    handlers.answer(BillingQuantityCall.self) { (request, _) throws(Refusal) in
      try await desk?.quantity(request) ?? .init(.disabled)
    }
    handlers.answer(BillingForgetCall.self) { (request, _) throws(Refusal) in
      try await forget(request.userID)
      return .init()
    }
    handlers.answer(BillingTrailCall.self) { (request, _) throws(Refusal) in
      try await trail(of: request.userID)
    }
    handlers.answer(WebhooksReplayCall.self) { (request, _) throws(Refusal) in
      .init(replayed: try await replay(request.id))
    }
  }

  private func forget(_ user: String) async throws(Refusal) {
    try await change { (connection) throws(DatabaseError) in
      try BillingStore(database: connection).forget(user, at: .now)
    }
    bells.farewells.ring()
  }

  private func trail(of user: String) async throws(Refusal) -> BillingTrailCall.Response {
    try await change { (connection) throws(DatabaseError) in
      let store = StandingStore(database: connection)
      let known = try store.standing(of: user)
      let delivered = known.flatMap { $0.delivered == 0 ? nil : $0.delivered }
      return BillingTrailCall.Response(
        standing: known?.standing, deliveredVersion: delivered,
        entries: try store.trail(of: user, limit: Self.trailMax))
    }
  }

  private func replay(_ id: String) async throws(Refusal) -> Bool {
    let isFound = try await change { (connection) throws(DatabaseError) in
      let store = BillingStore(database: connection)
      switch try InboxStore(database: connection).replay(id) {
      case .queued: return true
      case .unknown: return false
      case .bodyGone(let subscription, let customer):
        // The event itself is gone; what it was about can still be read.
        var concerned: [Subscription] = []
        if let subscription {
          if let known = try store.subscription(subscription) { concerned = [known] }
        } else if let customer {
          concerned = try store.subscriptions(ofCustomer: customer)
        }
        for var known in concerned where !known.isOver {
          known.question(.asked)
          try store.save(known, at: .now)
        }
        return true
      }
    }
    bells.ring()
    return isFound
  }

  private func change<Value: Sendable>(
    _ body: @escaping @Sendable (Connection) throws(DatabaseError) -> Value
  ) async throws(Refusal) -> Value {
    do throws(DatabaseError) {
      return try await database.run { (connection) throws(DatabaseError) in
        try connection.transaction { () throws(DatabaseError) in try body(connection) }
      }
    } catch { throw error.isTransient ? .overloaded : .failed }
  }
}

/// The bells of all rounds.
struct Bells: Sendable {
  let events = Bell()
  let readings = Bell()
  let deliveries = Bell()
  let mails = Bell()
  let farewells = Bell()

  /// After news: whatever they led to is done at once.
  func ring() {
    events.ring()
    ringAfterNews()
  }

  func ringAfterNews() {
    readings.ring()
    deliveries.ring()
    mails.ring()
    farewells.ring()
  }
}
