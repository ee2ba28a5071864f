// What follows from a piece of news? Everything in one transaction, which the caller holds: the
// subscription as it is now, whose customer it is, the standing, the trail and the mails. No network:
// what has to be asked of Stripe is left as a mark in a row.

import Accounts
import Clocks
import Database
import RPC
import Stripe

/// What billing is set up for.
struct BillingRules: Sendable {
  /// The price of one connection.
  let price: String?
  /// Whether we are live; nil when Stripe's key does not say.
  let isLive: Bool?
  /// How long everything works on after a payment failed.
  var graceDays: Int64 = 3
  /// The latest version of Stripe's API that this build reads.
  static let apiVersion = "2026-10-28.endive"

  /// Whether an event written in `version` can be read: one of before, or of the same day.
  static func reads(_ version: String?) -> Bool {
    guard let version else { return true }
    let day = Array(version.utf8.prefix(10))
    let isDay =
      day.count == 10
      && day.enumerated().allSatisfy { index, byte in
        index == 4 || index == 7 ? byte == 0x2d : (0x30...0x39).contains(byte)
      }
    return isDay && !Array(apiVersion.utf8.prefix(10)).lexicographicallyPrecedes(day)
  }
}

/// An event as the ledger needs it.
struct Happening: Sendable {
  let id: String
  let type: String
  let createdAt: Int64
  let isLive: Bool
  let apiVersion: String?
  let account: String?
}

extension Happening {
  init(_ event: StripeEvent) {
    self.init(
      id: event.id, type: event.type, createdAt: event.createdAt, isLive: event.isLive,
      apiVersion: event.apiVersion, account: event.account)
  }
}

/// Takes news into account.
struct Ledger {
  /// News from longer ago are told to nobody.
  static let mailAgeMax: Int64 = 3 * 86_400

  let store: BillingStore
  let standings: StandingStore
  let rules: BillingRules
  let now: UnixTime

  init(_ database: Connection, _ rules: BillingRules, at now: UnixTime) {
    store = BillingStore(database: database)
    standings = StandingStore(database: database)
    self.rules = rules
    self.now = now
  }

  /// Takes an event into account. Taken twice it changes nothing; `failed` when it lacks what every
  /// event of its type has.
  func take(_ news: StripeNews, of event: Happening) throws(DatabaseError) -> EventOutcome {
    if event.account != nil { return .connectedAccount }
    if let isLive = rules.isLive, isLive != event.isLive { return .otherMode }
    switch news {
    case .nothing: return .unknownType
    case .subscription(let subscription, let moment):
      return try take(subscription, moment, event)
    case .invoice(let invoice, let isPaid): return try take(invoice, isPaid: isPaid, event)
    case .checkout(let checkout): return try take(checkout, event)
    case .customerGone(let id): return try takeFarewell(of: id, event)
    }
  }

  // MARK: Subscriptions

  private func take(
    _ subscription: StripeSubscription, _ moment: SubscriptionMoment, _ event: Happening
  ) throws(DatabaseError) -> EventOutcome {
    guard let id = subscription.id else { return .failed }
    var known = try store.subscription(id) ?? Subscription(id: id)
    guard let customer = subscription.customerID ?? known.customerID else { return .failed }
    if try isForgotten(customer) { return .accountDeleted }
    let before = known
    let isReadable = BillingRules.reads(event.apiVersion)
    if isReadable {
      let showing = Showing(subscription, price: rules.price)
      known.take(showing, moment, at: event.createdAt)
    } else {
      known.question(.unknownVersion, unless: event.createdAt < known.versionAt)
    }
    known.customerID = known.customerID ?? customer
    let user = try owner(of: customer, hint: subscription.userID, event)
    if known != before { try keep(known, instead: before, event) }
    guard let user else { return .unknownCustomer }
    try refresh(user)
    guard known != before else { return .nothingNew }
    try tellOfEnd(known, instead: before, user, at: event.createdAt)
    return isReadable ? .applied : .unknownVersion
  }

  /// Writes a subscription, and why.
  func keep(
    _ subscription: Subscription, instead before: Subscription, _ event: Happening?
  ) throws(DatabaseError) {
    try store.save(subscription, at: now)
    let (old, new) = (Standing.sentence(before), Standing.sentence(subscription))
    let source = event.map { "\($0.id) (\($0.type)" } ?? "Stripe (read"
    let time = event.map { UnixTime(seconds: $0.createdAt) } ?? now
    var sentence = "\(source), \(time.rfc3339)): "
    if new != old {
      sentence += new
    } else if let doubt = subscription.doubt, before.doubt == nil {
      sentence += "\(subscription.id) is to be read from Stripe (\(doubt.rawValue))"
    } else {
      return
    }
    try standings.note(sentence, of: subscription.customerID, at: now)
  }

  // MARK: Invoices

  private func take(
    _ invoice: StripeInvoice, isPaid: Bool, _ event: Happening
  ) throws(DatabaseError) -> EventOutcome {
    guard let id = invoice.subscriptionID else {
      // A version that nobody knows here may have moved it once more.
      return BillingRules.reads(event.apiVersion) ? .nothingToLink : .unknownVersion
    }
    var known = try store.subscription(id) ?? Subscription(id: id)
    let before = known
    known.customerID = known.customerID ?? invoice.customerID
    if let customer = known.customerID, try isForgotten(customer) { return .accountDeleted }
    known.take(payment: isPaid, at: event.createdAt)
    var user: String?
    if let customer = known.customerID { user = try owner(of: customer, hint: nil, event) }
    if known != before { try keep(known, instead: before, event) }
    guard let user else { return .unknownCustomer }
    if !isPaid, known.pastDueSince != nil, known.failures.contains(event.createdAt),
      let invoice = invoice.id
    {
      let end = (known.pastDueSince ?? event.createdAt) + rules.graceDays * 86_400
      try mail(.paymentFailed, to: user, about: invoice, Self.day(end), at: event.createdAt)
    }
    try refresh(user)
    return known == before ? .nothingNew : .applied
  }

  // MARK: Customers

  private func take(
    _ checkout: StripeCheckout, _ event: Happening
  ) throws(DatabaseError) -> EventOutcome {
    guard let customer = checkout.customerID, let user = checkout.userID, UserID(user) != nil else {
      return .nothingToLink
    }
    if try store.isDeparted(user) {
      try store.wishFarewell(of: customer, subscriptions: checkout.subscriptionID, at: now)
      return .accountDeleted
    }
    switch try link(customer, to: user, "checkout \(checkout.id ?? "")") {
    case .known where checkout.subscriptionID == nil: return .nothingNew
    case .ofAnother: return .customerOfAnother
    case .forgotten: return .accountDeleted
    case .known, .new: break
    }
    if let id = checkout.subscriptionID {
      var known = try store.subscription(id) ?? Subscription(id: id)
      let before = known
      known.customerID = known.customerID ?? customer
      if known.shown == nil { known.question(.asked) }
      if known != before { try keep(known, instead: before, event) }
      if checkout.isPaid {
        try mail(.subscriptionConfirmed, to: user, about: id, id, at: event.createdAt)
      }
    }
    try refresh(user)
    return .applied
  }

  /// What linking a customer came to.
  enum Link { case new, known, ofAnother, forgotten }

  /// Notes whose customer it is.
  func link(_ customer: String, to user: String, _ source: String) throws(DatabaseError) -> Link {
    if let known = try store.customer(customer) {
      if known.isForgotten { return .forgotten }
      if let owner = known.userID {
        return owner.utf8.elementsEqual(user.utf8) ? .known : .ofAnother
      }
    }
    guard try store.link(customer, to: user, at: now) else { return .known }
    try standings.note(
      "\(customer) is the customer of this account (\(source))", of: customer, at: now)
    return .new
  }

  /// Whose customer it is; asks Stripe when nobody knows.
  private func owner(
    of customer: String, hint: String?, _ event: Happening
  ) throws(DatabaseError) -> String? {
    if let user = try store.customer(customer)?.userID { return user }
    if let hint, UserID(hint) != nil, try !store.isDeparted(hint) {
      guard case .new = try link(customer, to: hint, event.id) else { return nil }
      return hint
    }
    try store.noteCustomer(customer, ask: now)
    return nil
  }

  private func isForgotten(_ customer: String) throws(DatabaseError) -> Bool {
    try store.customer(customer)?.isForgotten ?? false
  }

  private func takeFarewell(
    of customer: String, _ event: Happening
  ) throws(DatabaseError) -> EventOutcome {
    if try isForgotten(customer) { return .accountDeleted }
    let alive = try store.subscriptions(ofCustomer: customer).filter { !$0.isOver }
    guard !alive.isEmpty else { return .nothingNew }
    for before in alive {
      var known = before
      known.question(.notListed)
      try keep(known, instead: before, event)
    }
    return .applied
  }

  // MARK: What follows

  /// Derives a person's standing anew; a change is to be delivered.
  func refresh(_ user: String) throws(DatabaseError) {
    var standing = Standing.of(try store.subscriptions(of: user))
    let known = try standings.standing(of: user)?.standing
    standing.version = known?.version ?? 0
    guard standing != known, known != nil || standing.plan != .freeTrial || !standing.why.isEmpty
    else { return }
    standing.version += 1
    try standings.save(standing, of: user, at: now)
    var sentence =
      "Standing \(standing.version): \(standing.plan.rawValue), "
      + "\(standing.quantity) paid"
    if let time = standing.pastDueSince { sentence += ", past due since \(Self.text(time))" }
    if let time = standing.accessUntil { sentence += ", access until \(Self.text(time))" }
    try standings.note(sentence, of: nil, user, at: now)
  }

  /// Tells a person when what they pay for ends, if that was not settled before.
  func tellOfEnd(
    _ known: Subscription, instead before: Subscription, _ user: String, at time: Int64
  ) throws(DatabaseError) {
    guard let end = known.endsAt, !known.isOver, before.endsAt != end else { return }
    try mail(.accessEnds, to: user, about: "\(known.id):\(end)", Self.day(end), at: time)
  }

  /// The mails about billing.
  enum Mail: String {
    case subscriptionConfirmed = "subscription_confirmed"
    case paymentFailed = "payment_failed"
    case accessEnds = "access_ends"
  }

  private func mail(
    _ mail: Mail, to user: String, about fact: String, _ detail: String, at time: Int64
  ) throws(DatabaseError) {
    guard now.seconds - time <= Self.mailAgeMax else { return }
    try standings.mail(
      mail.rawValue, to: user, occasion: "\(mail.rawValue):\(fact)",
      detail: detail, at: now)
  }

  private static func day(_ seconds: Int64) -> String {
    String(UnixTime(seconds: seconds).rfc3339.prefix(10))
  }

  private static func text(_ seconds: Int64) -> String { UnixTime(seconds: seconds).rfc3339 }
}
