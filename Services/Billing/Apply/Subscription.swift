// What is known of one subscription, and what does a piece of news change of it? The newest truth
// wins, whatever order the news come in; where two can not be told apart, or something lies between
// them that nobody saw, the subscription is in doubt and is read from Stripe. Pure: no clock, no
// socket, no database.

import Stripe

/// Why a subscription has to be read from Stripe.
enum Doubt: String, Sendable {
  /// Two events of one second show it differently.
  case equalSeconds = "equal_seconds"
  /// An event is from before the last reading, which did not show the same.
  case beforeReading = "before_reading"
  /// An invoice is newer than what is known of the subscription.
  case invoiceIsNewer = "invoice_is_newer"
  /// An event lacks fields that count.
  case fieldsMissing = "fields_missing"
  /// An event is written in an API version that is newer than this build.
  case unknownVersion = "unknown_version"
  /// Stripe's list does not have it any more.
  case notListed = "not_listed"
  /// Somebody asked for it: a checkout, an operator.
  case asked
}

/// What one showing of a subscription says, as far as plans go.
struct Showing: Equatable, Sendable {
  var customerID: String
  var status: SubscriptionStatus
  var quantity: Int64
  var itemID: String?
  var periodEnd: Int64?
  var cancelAt: Int64?
  var cancelsAtPeriodEnd: Bool
  var endedAt: Int64?
  var createdAt: Int64
}

extension Showing {
  /// What `subscription` says; nil when a field is missing that counts.
  init?(_ subscription: StripeSubscription, price: String?) {
    let items = subscription.counted(price: price)
    guard let customer = subscription.customerID, let status = subscription.status,
      !subscription.items.isEmpty,
      let end = subscription.periodEnd(price: price) ?? subscription.endedAt
    else { return nil }
    customerID = customer
    self.status = status
    quantity = items.reduce(0) { $0 + ($1.quantity ?? 1) }
    itemID = items.first?.id
    periodEnd = end
    cancelAt = subscription.cancelAt
    cancelsAtPeriodEnd = subscription.cancelsAtPeriodEnd
    endedAt = subscription.endedAt
    createdAt = subscription.createdAt ?? 0
  }
}

/// The newest that is known of a subscription.
struct Subscription: Equatable, Sendable {
  /// Failures that are kept: Stripe tries a payment eight times at most.
  static let failuresMax = 32

  let id: String
  /// Known before `shown` from an invoice.
  var customerID: String?
  /// Nil while only its name is known.
  var shown: Showing?
  /// When what it shows was true, by Stripe's clock, and which moment of its life that was.
  var versionAt: Int64 = 0
  var moment = SubscriptionMoment.created
  /// When it was last read from Stripe, by Stripe's clock.
  var fetchedAt: Int64 = 0
  /// Up to which payment, or failure of one, the last reading knew them all.
  var sureAt: Int64 = 0
  /// The last moment at which all was paid.
  var paidAt: Int64 = 0
  /// When payments failed since, ascending.
  var failures: [Int64] = []
  var doubt: Doubt?
  var revision: Int64 = 0

  init(id: String) { self.id = id }

  /// Whether it stays as it is for ever.
  var isOver: Bool { shown?.status.isFinal ?? false }

  /// Takes what an event of `createdAt` shows.
  mutating func take(_ showing: Showing?, _ moment: SubscriptionMoment, at createdAt: Int64) {
    guard !isOver else { return }
    if let showing {
      // Old news tell of payments too: which failure was the first must not depend on the order.
      if showing.status.isOverdue { noteFailure(at: createdAt) }
      if showing.status.isGood { notePayment(at: createdAt) }
    }
    guard let showing else { return question(.fieldsMissing, unless: createdAt < versionAt) }
    if moment == .deleted || showing.status.isFinal {
      // Final, whatever its second is.
      return show(showing, moment, at: max(createdAt, versionAt))
    }
    let isNewer = (createdAt, moment.rawValue) > (versionAt, self.moment.rawValue)
    if !isNewer {
      guard createdAt == versionAt, moment == self.moment, showing != shown else { return }
      return question(.equalSeconds)
    }
    if createdAt <= fetchedAt, let shown {
      guard showing != shown else { return show(showing, moment, at: createdAt) }
      return question(.beforeReading)
    }
    show(showing, moment, at: createdAt)
  }

  /// Takes what an invoice of a second says.
  mutating func take(payment isPaid: Bool, at createdAt: Int64) {
    guard !isOver else { return }
    if isPaid { notePayment(at: createdAt) } else { noteFailure(at: createdAt) }
    guard createdAt >= versionAt else { return }
    let fits = shown.map { isPaid ? $0.status.isGood : $0.status.isOverdue } ?? false
    if !fits { question(.invoiceIsNewer) }
  }

  /// Takes what Stripe's API shows now; nil: there is no such subscription.
  mutating func take(reading: Showing?, at stripeTime: Int64) {
    fetchedAt = max(fetchedAt, stripeTime)
    // All that was heard of before the question is in the answer.
    sureAt = max(sureAt, paidAt, failures.last ?? 0)
    if moment == .created { moment = .changed }
    doubt = nil
    guard let reading else {
      shown?.status = .canceled
      if shown?.endedAt == nil { shown?.endedAt = stripeTime }
      return
    }
    guard !isOver || reading.status.isFinal else { return }
    if reading.status.isGood { notePayment(at: max(versionAt, sureAt)) }
    shown = reading
    customerID = reading.customerID
    if reading.status.isOverdue, failures.isEmpty {
      noteFailure(at: max(stripeTime, paidAt + 1))
      sureAt = max(sureAt, failures.last ?? 0)
    }
  }

  /// Has it read from Stripe, for the first reason that there is.
  mutating func question(_ doubt: Doubt, unless isSure: Bool = false) {
    if !isSure, !isOver { self.doubt = self.doubt ?? doubt }
  }

  private mutating func show(_ showing: Showing, _ moment: SubscriptionMoment, at time: Int64) {
    shown = showing
    customerID = showing.customerID
    versionAt = time
    self.moment = moment
    if showing.status.isFinal { doubt = nil }
    // An invoice that is newer still says otherwise.
    if !isOver, status != showing.status { question(.invoiceIsNewer) }
  }

  private mutating func notePayment(at time: Int64) {
    paidAt = max(paidAt, time)
    failures.removeAll { $0 <= paidAt }
  }

  private mutating func noteFailure(at time: Int64) {
    guard time > paidAt, !failures.contains(time) else { return }
    failures.append(time)
    failures.sort()
    // The first one counts, and the last one.
    if failures.count > Self.failuresMax { failures.remove(at: 1) }
  }

  // MARK: What it means

  /// Its status, with what invoices told since.
  var status: SubscriptionStatus? {
    guard let shown else { return nil }
    let failedAt = failures.last ?? 0
    let knownAt = max(versionAt, sureAt)
    switch shown.status {
    case .active, .trialing: return failedAt > max(knownAt, paidAt) ? .pastDue : shown.status
    case .pastDue, .unpaid, .incomplete:
      return paidAt > knownAt && paidAt >= failedAt ? .active : shown.status
    default: return shown.status
    }
  }

  /// Since when a payment is missing.
  var pastDueSince: Int64? {
    guard status?.isOverdue ?? false else { return nil }
    return failures.first ?? max(versionAt, 1)
  }

  /// When it ends, if that is settled.
  var endsAt: Int64? {
    guard let shown else { return nil }
    if let cancelAt = shown.cancelAt { return cancelAt }
    return shown.cancelsAtPeriodEnd ? shown.periodEnd : nil
  }
}
