// Brings what billing derived to those who act on it: standings to auth, mails to the scheduler,
// farewells to Stripe. Each is a row until the other side has it, so that nobody being away for a
// while loses anything.

import Clocks
import Database
import Logging
import RPC

/// Asks other services; a protocol so that rounds run without them.
protocol BillingPeers: Sendable {
  func put(_ standing: BillingStanding, of user: String) async throws(RPCError)
    -> PlanSetCall.Response
  func email(of user: String) async throws(RPCError) -> BillingUserCall.Response
  func mail(_ request: MailCall.Request) async throws(RPCError)
  func tellContact(_ caughtUpAt: UnixTime) async throws(RPCError)
}

/// The other services over their sockets.
struct RemotePeers: BillingPeers {
  let auth: RPCClient
  let scheduler: RPCClient

  func put(
    _ standing: BillingStanding, of user: String
  ) async throws(RPCError) -> PlanSetCall.Response {
    try await auth.call(PlanSetCall.self, .init(userID: user, standing: standing))
  }

  func email(of user: String) async throws(RPCError) -> BillingUserCall.Response {
    try await auth.call(BillingUserCall.self, .init(userID: user))
  }

  func mail(_ request: MailCall.Request) async throws(RPCError) {
    _ = try await scheduler.call(MailCall.self, request)
  }

  func tellContact(_ caughtUpAt: UnixTime) async throws(RPCError) {
    _ = try await auth.call(BillingContactCall.self, .init(caughtUpAt: caughtUpAt.seconds))
  }
}

/// The workers behind rows that others are to have.
struct Deliveries: Sendable {
  static let roundMax: Int64 = 32
  static let waitSecondsMax: Int64 = 30

  let database: DatabaseThread
  let peers: any BillingPeers
  let log: Log

  /// Delivers standings that are due.
  /// - Returns: whether there may be more.
  func standings(at now: UnixTime) async throws(DatabaseError) -> Bool {
    let due = try await database.run { (connection) throws(DatabaseError) in
      try StandingStore(database: connection).undelivered(at: now, limit: Self.roundMax)
    }
    for (user, standing, tries) in due {
      guard try await deliver(standing, to: user, tries: tries) else { return false }
    }
    return due.count == Int(Self.roundMax)
  }

  /// Delivers one standing; false when auth is away.
  @discardableResult
  func deliver(
    _ standing: BillingStanding, to user: String, tries: Int64
  ) async throws(DatabaseError) -> Bool {
    let answer: PlanSetCall.Response
    do throws(RPCError) { answer = try await peers.put(standing, of: user) } catch {
      log.warning("standing_not_delivered", ["tries": .count(tries + 1)])
      let next = Tries.next(after: tries + 1, secondsMax: Self.waitSecondsMax, now: .now)
      try await database.run { (connection) throws(DatabaseError) in
        try StandingStore(database: connection).postpone(delivery: user, to: next)
      }
      return false
    }
    if answer.unknown { log.warning("standing_of_nobody") }
    try await database.run { (connection) throws(DatabaseError) in
      let store = StandingStore(database: connection)
      if answer.unknown {
        try store.dropStanding(of: user)
      } else {
        try store.delivered(standing.version, to: user)
      }
    }
    return true
  }

  /// Delivers what one person's standing is now, if auth does not have it, within a request of
  /// theirs. What does not go well is tried again by the rounds.
  func deliverNow(to user: String) async throws(DatabaseError) {
    let known = try await database.run { (connection) throws(DatabaseError) in
      try StandingStore(database: connection).standing(of: user)
    }
    guard let known, known.delivered < known.standing.version else { return }
    try await deliver(known.standing, to: user, tries: 0)
  }

  // MARK: Mails

  /// Hands mails that are due to the scheduler.
  func mails(at now: UnixTime) async throws(DatabaseError) -> Bool {
    let due = try await database.run { (connection) throws(DatabaseError) in
      try StandingStore(database: connection).mails(at: now, limit: Self.roundMax)
    }
    for mail in due {
      let isDone = await send(mail)
      let next = Tries.next(after: mail.tries + 1, secondsMax: Self.waitSecondsMax, now: .now)
      try await database.run { (connection) throws(DatabaseError) in
        let store = StandingStore(database: connection)
        if isDone {
          try store.dropMail(mail.occasion)
        } else {
          try store.postpone(mail: mail.occasion, to: next)
        }
      }
    }
    return false
  }

  /// What the text leaves open; nil while it is not known: the subscription is still to be read.
  private func values(of mail: StandingStore.Mail) async -> [String: String]? {
    guard mail.kind == Ledger.Mail.subscriptionConfirmed.rawValue else {
      return ["date": mail.detail]
    }
    let known = try? await database.run { (connection) throws(DatabaseError) in
      try BillingStore(database: connection).subscription(mail.detail)
    }
    guard let quantity = known?.shown?.quantity else { return nil }
    return ["connections": "\(quantity) connection\(quantity == 1 ? "" : "s")"]
  }

  /// Whether there is nothing left to do about a mail.
  private func send(_ mail: StandingStore.Mail) async -> Bool {
    guard let kind = MailKind(rawValue: mail.kind) else { return true }
    guard let values = await values(of: mail) else { return false }
    do throws(RPCError) {
      guard let email = try await peers.email(of: mail.user).email else { return true }
      try await peers.mail(
        MailCall.Request(
          kind: kind, recipient: email, occasion: mail.occasion, values: values,
          userID: mail.user))
      return true
    } catch {
      // What the scheduler does not take now, it will not take later either.
      if case .refused(_, .malformedRequest) = error {
        log.error("mail_refused")
        return true
      }
      return false
    }
  }
}

/// The worker that tells Stripe who is gone.
struct Farewells: Sendable {
  static let waitSecondsMax: Int64 = 3600

  let database: DatabaseThread
  let stripe: StripeAPI
  let log: Log

  /// Says farewells that are due. It is tried for as long as it takes: a subscription that nobody can
  /// see any more must not go on costing.
  func round(at now: UnixTime) async throws(DatabaseError) -> Bool {
    let due = try await database.run { (connection) throws(DatabaseError) in
      try BillingStore(database: connection).farewells(at: now, limit: 8)
    }
    for farewell in due {
      do throws(StripeFailure) {
        for subscription in farewell.subscriptions {
          try await stripe.delete(Readings.path(of: subscription))
        }
        try await stripe.delete("customers/\(StripePath.segment(farewell.customer))")
      } catch {
        log.warning(
          "farewell_not_said",
          ["reason": .literal(error.label), "tries": .count(farewell.tries + 1)])
        let next = Tries.next(
          after: farewell.tries + 1, secondsMax: Self.waitSecondsMax, now: .now)
        try await database.run { (connection) throws(DatabaseError) in
          try BillingStore(database: connection).postpone(farewell: farewell.customer, to: next)
        }
        continue
      }
      try await database.run { (connection) throws(DatabaseError) in
        try BillingStore(database: connection).settle(farewell: farewell.customer)
      }
      log.info("farewell_said")
    }
    return false
  }
}
