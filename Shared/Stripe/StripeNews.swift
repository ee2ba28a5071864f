// What does an event tell us? One of five things that plans depend on, or nothing. An event is a
// hint: it names an object and shows it as it was at one second of Stripe's clock.

/// What an event is about.
public enum StripeNews: Sendable, Equatable {
  /// How a subscription was at the event's time.
  case subscription(StripeSubscription, SubscriptionMoment)
  case invoice(StripeInvoice, isPaid: Bool)
  case checkout(StripeCheckout)
  /// The customer was deleted at Stripe.
  case customerGone(id: String)
  /// Of a type that changes no plan.
  case nothing
}

/// Which moment in a subscription's life an event shows. Of two events of one second the later moment
/// is the newer one.
public enum SubscriptionMoment: Int64, Sendable, Comparable {
  case created, changed, deleted

  /// Whether `left` comes before `right` in a subscription's life.
  public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

extension StripeNews: Decodable {
  /// Reads a whole event.
  public init(from decoder: any Decoder) throws {
    let fields = try Fields(decoder)
    func object<T: Decodable>(_ type: T.Type) throws -> T {
      guard let object = fields.object("data", as: Payload<T>.self)?.object else {
        throw EventError.unreadable
      }
      return object
    }
    switch fields.text("type") ?? "" {
    case "customer.subscription.created":
      self = .subscription(try object(StripeSubscription.self), .created)
    case "customer.subscription.updated", "customer.subscription.paused",
      "customer.subscription.resumed":
      self = .subscription(try object(StripeSubscription.self), .changed)
    case "customer.subscription.deleted":
      self = .subscription(try object(StripeSubscription.self), .deleted)
    case "invoice.paid", "invoice.payment_succeeded":
      self = .invoice(try object(StripeInvoice.self), isPaid: true)
    case "invoice.payment_failed":
      self = .invoice(try object(StripeInvoice.self), isPaid: false)
    case "checkout.session.completed", "checkout.session.async_payment_succeeded":
      self = .checkout(try object(StripeCheckout.self))
    case "customer.deleted":
      guard let id = try object(StripeCustomer.self).id else { throw EventError.unreadable }
      self = .customerGone(id: id)
    default: self = .nothing
    }
  }

  private struct Payload<T: Decodable>: Decodable {
    let object: T?
    init(from decoder: any Decoder) throws {
      object = try Fields(decoder).object("object", as: T.self)
    }
  }

  /// The types of events that say something, as Stripe names them.
  public static let types = [
    "customer.subscription.created", "customer.subscription.updated",
    "customer.subscription.paused", "customer.subscription.resumed",
    "customer.subscription.deleted", "invoice.paid", "invoice.payment_succeeded",
    "invoice.payment_failed", "checkout.session.completed",
    "checkout.session.async_payment_succeeded", "customer.deleted",
  ]
}

/// An event as Stripe's list of events has it: its envelope and what it tells.
public struct ListedEvent: Decodable, Sendable {
  public let envelope: StripeEvent
  /// Nil when its object can not be read.
  public let news: StripeNews?

  public init(from decoder: any Decoder) throws {
    envelope = try StripeEvent(from: decoder)
    news = try? StripeNews(from: decoder)
  }
}
