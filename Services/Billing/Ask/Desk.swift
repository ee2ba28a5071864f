// What people ask of Stripe, through auth: the page on which they subscribe, the subscription of a
// checkout that they came back from, another quantity, the page of their invoices. What Stripe answers
// goes the way of every reading; the standing is with auth before the answer is.

import Accounts
import Clocks
import Database
import Logging
import RPC
import Stripe

/// Answers people.
struct Desk: Sendable {
  /// A person chooses up to so many at the checkout (more only when they asked for more).
  static let adjustableMax: Int64 = 20
  static let quantityMax: Int64 = 10_000

  let database: DatabaseThread
  let stripe: StripeAPI
  let rules: BillingRules
  let readings: Readings
  let deliveries: Deliveries
  let log: Log

  // MARK: Checkout

  func checkout(_ wish: BillingCheckoutCall.Request) async throws(Refusal) -> BillingPage {
    guard let price = rules.price else { return BillingPage(.disabled) }
    guard (1...Self.quantityMax).contains(wish.quantity) else {
      return BillingPage(.invalidQuantity)
    }
    guard UserID(wish.userID) != nil else { throw .malformedRequest }
    var form = [
      ("mode", "subscription"), ("client_reference_id", wish.userID),
      ("line_items[0][price]", price), ("line_items[0][quantity]", "\(wish.quantity)"),
      ("line_items[0][adjustable_quantity][enabled]", "true"),
      ("line_items[0][adjustable_quantity][minimum]", "1"),
      (
        "line_items[0][adjustable_quantity][maximum]", "\(max(Self.adjustableMax, wish.quantity))"
      ),
      ("allow_promotion_codes", "true"), ("payment_method_collection", "if_required"),
      ("success_url", wish.successURL), ("cancel_url", wish.cancelURL),
      ("metadata[\(OurMetadata.userKey)]", wish.userID),
      ("subscription_data[metadata][\(OurMetadata.userKey)]", wish.userID),
    ]
    if let customer = try await customers(of: wish.userID).last {
      form.append(("customer", customer))
    } else if let email = wish.email {
      form.append(("customer_email", email))
    }
    return try await page("checkout/sessions", form, purpose: "checkout:\(wish.userID)")
  }

  func portal(_ wish: BillingPortalCall.Request) async throws(Refusal) -> BillingPage {
    guard let customer = try await customers(of: wish.userID).last else {
      return BillingPage(.noSubscription)
    }
    return try await page(
      "billing_portal/sessions", [("customer", customer), ("return_url", wish.returnURL)],
      purpose: "portal:\(wish.userID)")
  }

  private func page(
    _ path: String, _ form: [(String, String)], purpose: String
  ) async throws(Refusal) -> BillingPage {
    do throws(StripeFailure) {
      let page = try await stripe.post(StripePage.self, path, form, purpose: purpose)
      guard let url = page.object.url else { throw .unreadable }
      return BillingPage(url: url)
    } catch { return BillingPage(try refusal(error, path: "page")) }
  }

  // MARK: Verify

  func verify(
    _ wish: BillingVerifyCall.Request
  ) async throws(Refusal) -> BillingVerifyCall.Response {
    guard Self.isSession(wish.sessionID) else { return .init(.invalidSession) }
    let checkout: StripeCheckout
    do throws(StripeFailure) {
      let id = StripePath.segment(wish.sessionID)
      checkout = try await stripe.get(StripeCheckout.self, "checkout/sessions/\(id)").object
    } catch {
      if error == .missing || error == .refused(status: 400) { return .init(.invalidSession) }
      return .init(try refusal(error, path: "verify"))
    }
    guard let owner = checkout.userID, owner.utf8.elementsEqual(wish.userID.utf8) else {
      return .init(.unauthorized)
    }
    guard checkout.isPaid, let customer = checkout.customerID else { return .init(.notPaid) }
    let (rules, now) = (rules, UnixTime.now)
    let link = try await change { (connection) throws(DatabaseError) in
      let ledger = Ledger(connection, rules, at: now)
      let link = try ledger.link(customer, to: wish.userID, "checkout \(wish.sessionID)")
      let known = try checkout.subscriptionID.map { (id) throws(DatabaseError) in
        try ledger.store.subscription(id)
      }
      if link == .new { try ledger.refresh(wish.userID) }
      return (link: link, isKnown: known??.shown != nil)
    }
    guard link.link == .new || link.link == .known else { return .init(.unauthorized) }
    if let id = checkout.subscriptionID, !link.isKnown {
      guard try await read(id) else { return .init(.stripeUnreachable) }
    }
    try await deliver(to: wish.userID)
    return .init(alreadyLinked: link.link == .known && link.isKnown)
  }

  /// `cs_` and what Stripe makes ids of.
  private static func isSession(_ id: String) -> Bool {
    id.utf8.count <= 255 && id.utf8.starts(with: "cs_".utf8)
      && id.utf8.allSatisfy { byte in
        (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte)
          || (0x61...0x7a).contains(byte) || byte == 0x5f
      }
  }

  // MARK: Quantity

  func quantity(
    _ wish: BillingQuantityCall.Request
  ) async throws(Refusal) -> BillingQuantityCall.Response {
    guard (1...Self.quantityMax).contains(wish.quantity) else { return .init(.invalidQuantity) }
    let known = try await change { (connection) throws(DatabaseError) in
      try BillingStore(database: connection).subscriptions(of: wish.userID)
    }
    // The newest one that gives something is changed; what the others give is part of the sum.
    let counting = known.filter(Standing.counts).sorted {
      ($0.shown?.createdAt ?? 0, $0.id) < ($1.shown?.createdAt ?? 0, $1.id)
    }
    guard let target = counting.last else { return .init(.noSubscription) }
    guard wish.quantity >= wish.activeConnections else { return .init(.quantityTooLow) }
    let others = counting.dropLast().reduce(0) { $0 + ($1.shown?.quantity ?? 0) }
    guard wish.quantity > others else { return .init(.quantityTooLow) }
    var form = [
      ("items[0][quantity]", "\(wish.quantity - others)"),
      ("proration_behavior", "create_prorations"),
    ]
    if let item = target.shown?.itemID { form.insert(("items[0][id]", item), at: 0) }
    let reading: Reading<StripeSubscription>
    do throws(StripeFailure) {
      reading = try await stripe.post(
        StripeSubscription.self, Readings.path(of: target.id), form,
        purpose: "quantity:\(target.id)")
    } catch {
      if error == .missing { return .init(.noSubscription) }
      return .init(try refusal(error, path: "quantity"))
    }
    try await keep(reading, of: target)
    try await deliver(to: wish.userID)
    return .init(quantity: wish.quantity)
  }

  /// Keeps Stripe's answer; when an event came meanwhile, what is true now is read anew.
  private func keep(
    _ reading: Reading<StripeSubscription>, of target: Subscription
  ) async throws(Refusal) {
    do throws(DatabaseError) {
      try await readings.keep(reading, of: target.id, asOf: target.revision)
    } catch { throw error.isTransient ? .overloaded : .failed }
    let now = try await change { (connection) throws(DatabaseError) in
      try BillingStore(database: connection).subscription(target.id)
    }
    if now?.shown?.quantity != target.shown?.quantity { return }
    if now?.revision != target.revision { _ = try await read(target.id) }
  }

  // MARK: Steps

  private func read(_ id: String) async throws(Refusal) -> Bool {
    do throws(DatabaseError) { return try await readings.read(id) } catch {
      throw error.isTransient ? .overloaded : .failed
    }
  }

  private func deliver(to user: String) async throws(Refusal) {
    do throws(DatabaseError) { try await deliveries.deliverNow(to: user) } catch {
      throw error.isTransient ? .overloaded : .failed
    }
  }

  private func customers(of user: String) async throws(Refusal) -> [String] {
    try await change { (connection) throws(DatabaseError) in
      try BillingStore(database: connection).customers(of: user)
    }
  }

  func change<Value: Sendable>(
    _ body: @escaping @Sendable (Connection) throws(DatabaseError) -> Value
  ) async throws(Refusal) -> Value {
    do throws(DatabaseError) {
      return try await database.run { (connection) throws(DatabaseError) in
        try connection.transaction { () throws(DatabaseError) in try body(connection) }
      }
    } catch { throw error.isTransient ? .overloaded : .failed }
  }

  /// What a failure of Stripe's means for who asked.
  private func refusal(
    _ failure: StripeFailure, path: StaticString
  ) throws(Refusal) -> BillingRefusal {
    log.warning(
      "stripe_call_failed", ["reason": .literal(failure.label), "call": .literal(path)])
    if case .database(let error) = failure { throw error.isTransient ? .overloaded : .failed }
    return .stripeUnreachable
  }
}
