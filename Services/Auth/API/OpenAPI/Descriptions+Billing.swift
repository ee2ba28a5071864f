// Descriptions of the routes of payment: what they take and answer.
// What any route may answer stands in RouteRefusals.

import Accounts

extension RouteDescription {
  private static let page = Answer.json(
    Schema.object(("url", Schema.string)), "A page of Stripe's: send the person there")
  private static let quantity: JSONText = [
    "type": "integer", "minimum": 1, "maximum": .integer(AccountLimits.connectionsMax),
    "description": "Connections",
  ]
  private static let away: [Refusal] = [.billingOff, .billingUnreachable(retryAfterSeconds: 1)]

  static let checkout = RouteDescription(
    summary: "Begin to pay for connections",
    body: .json(Schema.object(("quantity", quantity))), answers: [page],
    refusals: away + [.quantityInvalid])

  static let verifyCheckout = RouteDescription(
    summary: "Have a checkout take effect at once that the browser came back from",
    body: .json(Schema.object(("session_id", Schema.string))),
    answers: [
      .json(Schema.object(("success", ["const": true]), ("already_linked", Schema.boolean)))
    ], refusals: away + [.sessionInvalid, .sessionNotPaid, .sessionNotYours])

  static let updateQuantity = RouteDescription(
    summary: "Pay for more or fewer connections",
    body: .json(Schema.object(("quantity", quantity))),
    answers: [.json(Schema.object(("success", ["const": true]), ("quantity", Schema.integer)))],
    refusals: away + [.quantityInvalid, .noSubscription, .quantityTooLow])

  static let portal = RouteDescription(
    summary: "See invoices, change the card, cancel", answers: [page],
    refusals: away + [.noSubscription])
}
