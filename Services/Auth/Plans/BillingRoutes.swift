// What people ask of billing: to subscribe, to link a checkout that they come back from, to pay for
// more or fewer connections, and to see their invoices. Billing alone talks to Stripe; here requests
// are checked, and its answers become those of the API.

import Accounts
import HTTPServer
import RPC

/// The routes under /api/billing.
struct BillingRoutes: Sendable {
  private static let quantityRange: ClosedRange<Int64> = 1...AccountLimits.connectionsMax
  private static let sessionBytesMax = 255

  let plans: any PlanStore
  /// Nil when billing is off.
  let billing: (any Calling)?
  let epochs: RevocationEpochs
  /// Where the dashboard is.
  let dashboard: String

  /// POST /api/billing/checkout
  func checkout(_ request: Request, _ caller: Caller) async throws(Refusal) -> Response {
    let billing = try reach()
    let quantity = try RequestBody.read(request, as: QuantityBody.self).quantity
    let email = caller.user.email
    let page = try await Self.ask(
      billing, BillingCheckoutCall.self,
      BillingCheckoutCall.Request(
        userID: caller.user.id.text, email: email.isEmpty ? nil : email, quantity: quantity,
        successURL: "\(dashboard)?session_id={CHECKOUT_SESSION_ID}", cancelURL: dashboard))
    return try Self.answer(page)
  }

  /// POST /api/billing/verify-checkout
  func verify(_ request: Request, _ caller: Caller) async throws(Refusal) -> Response {
    let billing = try reach()
    let session = try RequestBody.read(request, as: SessionBody.self).sessionID
    let answer = try await Self.ask(
      billing, BillingVerifyCall.self,
      BillingVerifyCall.Request(userID: caller.user.id.text, sessionID: session))
    if let refusal = answer.refusal { throw Refusal(refusal) }
    return .json(
      JSONText.object([
        ("success", true), ("already_linked", .boolean(answer.alreadyLinked)),
      ]).bytes)
  }

  /// POST /api/billing/update-quantity
  func changeQuantity(
    _ request: Request, _ caller: Caller
  ) async throws(Refusal) -> Response {
    let billing = try reach()
    let quantity = try RequestBody.read(request, as: QuantityBody.self).quantity
    let active: Int64
    do throws(AccountError) {
      let found = try await plans.plan(of: caller.user.id, now: .now)
      if let found { epochs.bump(found.outcome) }
      active = found?.view.active ?? 0
    } catch { throw Refusal(error) }
    let answer = try await Self.ask(
      billing, BillingQuantityCall.self,
      BillingQuantityCall.Request(
        userID: caller.user.id.text, quantity: quantity, activeConnections: active))
    if let refusal = answer.refusal { throw Refusal(refusal) }
    guard let changed = answer.quantity else { throw .billingUnreachable(retryAfterSeconds: 30) }
    return .json(
      JSONText.object([("success", true), ("quantity", .integer(changed))]).bytes)
  }

  /// POST /api/billing/portal
  func portal(_ caller: Caller) async throws(Refusal) -> Response {
    let page = try await Self.ask(
      reach(), BillingPortalCall.self,
      BillingPortalCall.Request(userID: caller.user.id.text, returnURL: dashboard))
    return try Self.answer(page)
  }

  private func reach() throws(Refusal) -> any Calling {
    guard let billing else { throw .billingOff }
    return billing
  }

  private static func ask<C: Call>(
    _ billing: any Calling, _: C.Type, _ request: C.Request
  ) async throws(Refusal) -> C.Response {
    do throws(RPCError) { return try await billing.call(C.self, request, within: nil) } catch {
      throw .billingUnreachable(retryAfterSeconds: 5)
    }
  }

  private static func answer(_ page: BillingPage) throws(Refusal) -> Response {
    if let refusal = page.refusal { throw Refusal(refusal) }
    guard let url = page.url else { throw .billingUnreachable(retryAfterSeconds: 30) }
    return .json(JSONText.object([("url", .string(url))]).bytes)
  }

  /// A number of connections, and nothing else that a number could be read from.
  private struct QuantityBody: Decodable {
    let quantity: Int64

    private enum CodingKeys: String, CodingKey { case quantity }

    init(from decoder: any Decoder) throws {
      let members = try decoder.container(keyedBy: CodingKeys.self)
      guard let quantity = try? members.decode(Int64.self, forKey: .quantity),
        BillingRoutes.quantityRange.contains(quantity)
      else { throw Refusal.quantityInvalid }
      self.quantity = quantity
    }
  }

  /// Stripe's name of a checkout session.
  private struct SessionBody: Decodable {
    let sessionID: String

    private enum CodingKeys: String, CodingKey { case sessionID = "session_id" }

    init(from decoder: any Decoder) throws {
      let members = try decoder.container(keyedBy: CodingKeys.self)
      guard let text = try? members.decode(String.self, forKey: .sessionID),
        (1...BillingRoutes.sessionBytesMax).contains(text.utf8.count),
        text.utf8.allSatisfy(Self.isOfName)
      else { throw Refusal.sessionInvalid }
      sessionID = text
    }

    private static func isOfName(_ byte: UInt8) -> Bool {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
        true
      default: false
      }
    }
  }
}

extension Refusal {
  /// What billing's no means at the API.
  fileprivate init(_ refusal: BillingRefusal) {
    self =
      switch refusal {
      case .disabled: .billingOff
      case .stripeUnreachable: .billingUnreachable(retryAfterSeconds: 30)
      case .invalidSession: .sessionInvalid
      case .notPaid: .sessionNotPaid
      case .unauthorized: .sessionNotYours
      case .invalidQuantity: .quantityInvalid
      case .noSubscription: .noSubscription
      case .quantityTooLow: .quantityTooLow
      }
  }
}
