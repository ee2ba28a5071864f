// What does Stripe say of invoices, checkouts and customers? As much as links a payment to a
// subscription, and a subscription to a person.

import FoundationEssentials
import StrictJSON

/// An invoice.
public struct StripeInvoice: Decodable, Equatable, Sendable {
  public let id: String?
  public let customerID: String?
  /// In `subscription` up to 2025-02-24, in `parent.subscription_details.subscription` since.
  public let subscriptionID: String?

  public init(from decoder: any Decoder) throws {
    let fields = try Fields(decoder)
    id = fields.text("id")
    customerID = fields.reference("customer")
    subscriptionID =
      fields.reference("subscription")
      ?? fields.object("parent", as: Parent.self)?.subscriptionID
  }

  private struct Parent: Decodable {
    let subscriptionID: String?
    init(from decoder: any Decoder) throws {
      let details = try Fields(decoder).object("subscription_details", as: Details.self)
      subscriptionID = details?.subscriptionID
    }
  }

  private struct Details: Decodable {
    let subscriptionID: String?
    init(from decoder: any Decoder) throws {
      subscriptionID = try Fields(decoder).reference("subscription")
    }
  }
}

/// A checkout session.
public struct StripeCheckout: Decodable, Equatable, Sendable {
  public let id: String?
  public let url: String?
  public let mode: String?
  public let isComplete: Bool
  /// Whether nothing is left to pay.
  public let isPaid: Bool
  /// Whose it is: the person for whom we made it.
  public let userID: String?
  public let customerID: String?
  public let subscriptionID: String?

  public init(from decoder: any Decoder) throws {
    let fields = try Fields(decoder)
    id = fields.text("id")
    url = fields.object("url", as: String.self)
    mode = fields.text("mode")
    isComplete = fields.text("status").map { $0.utf8.elementsEqual("complete".utf8) } ?? false
    let payment = fields.text("payment_status") ?? ""
    isPaid = ["paid", "no_payment_required"].contains { $0.utf8.elementsEqual(payment.utf8) }
    userID = fields.text("client_reference_id")
    customerID = fields.reference("customer")
    subscriptionID = fields.reference("subscription")
  }
}

/// A customer.
public struct StripeCustomer: Decodable, Equatable, Sendable {
  public let id: String?
  public let isDeleted: Bool
  /// The person whose customer it is.
  public let userID: String?

  public init(from decoder: any Decoder) throws {
    let fields = try Fields(decoder)
    id = fields.text("id")
    isDeleted = fields.flag("deleted") ?? false
    userID = fields.object("metadata", as: OurMetadata.self)?.userID
  }
}

/// A page that Stripe made for a person.
public struct StripePage: Decodable, Equatable, Sendable {
  public let url: String?

  public init(from decoder: any Decoder) throws {
    url = try Fields(decoder).object("url", as: String.self)
  }
}

/// Reads one object of Stripe's.
public enum StripeJSON {
  /// The object that strict JSON spells; nil when it is none.
  public static func read<T: Decodable>(_: T.Type, _ bytes: [UInt8]) -> T? {
    guard isWellFormed(bytes, limits: JSONLimits(bytesMax: 8 << 20)) else { return nil }
    return try? JSONDecoder().decode(T.self, from: Data(bytes))
  }
}
