// What does Stripe say of a subscription? The fields that plans need, from the place where each API
// version has them: the end of the period was a field of the subscription and is one of its items
// since 2025-03-31, a price was a plan once.

/// Where a subscription stands at Stripe.
public enum SubscriptionStatus: String, Sendable, CaseIterable {
  case incomplete, trialing, active, unpaid, canceled, paused
  case incompleteExpired = "incomplete_expired"
  case pastDue = "past_due"

  /// Whether it stays so for ever.
  public var isFinal: Bool { self == .canceled || self == .incompleteExpired }

  /// Whether a payment is missing.
  public var isOverdue: Bool { self == .pastDue || self == .unpaid }

  /// Whether all is paid.
  public var isGood: Bool { self == .active || self == .trialing }
}

/// One line of a subscription: a price and how often.
public struct SubscriptionItem: Decodable, Equatable, Sendable {
  public let id: String?
  public let priceID: String?
  public let quantity: Int64?
  public let periodEnd: Int64?

  public init(from decoder: any Decoder) throws {
    let fields = try Fields(decoder)
    id = fields.text("id")
    priceID = fields.reference("price") ?? fields.reference("plan")
    quantity = fields.count("quantity")
    periodEnd = fields.time("current_period_end")
  }
}

/// A subscription as one message of Stripe's shows it; fields that it lacks are nil.
public struct StripeSubscription: Decodable, Equatable, Sendable {
  public let id: String?
  public let customerID: String?
  public let status: SubscriptionStatus?
  public let items: [SubscriptionItem]
  /// The subscription's own, of older API versions.
  private let ownPeriodEnd: Int64?
  public let cancelAt: Int64?
  public let cancelsAtPeriodEnd: Bool
  public let endedAt: Int64?
  public let createdAt: Int64?
  /// The person for whom we made it.
  public let userID: String?

  public init(from decoder: any Decoder) throws {
    let fields = try Fields(decoder)
    id = fields.text("id")
    customerID = fields.reference("customer")
    status = fields.text("status").flatMap(SubscriptionStatus.init(rawValue:))
    items = fields.object("items", as: Items.self)?.data ?? []
    ownPeriodEnd = fields.time("current_period_end")
    cancelAt = fields.time("cancel_at")
    cancelsAtPeriodEnd = fields.flag("cancel_at_period_end") ?? false
    endedAt = fields.time("ended_at")
    createdAt = fields.time("created")
    userID = fields.object("metadata", as: OurMetadata.self)?.userID
  }

  /// The items that count: those of `price`. When there is none, the first of a subscription that our
  /// own checkout made: people stay on the price that they subscribed to when the operator makes a new
  /// one. What else the operator sells counts nothing.
  public func counted(price: String?) -> [SubscriptionItem] {
    let ours = items.filter { item in
      guard let price, let id = item.priceID else { return false }
      return id.utf8.elementsEqual(price.utf8)
    }
    guard ours.isEmpty else { return ours }
    let isOurs = price == nil || userID != nil || items.first?.priceID == nil
    return isOurs ? Array(items.prefix(1)) : []
  }

  /// The end of the period that is paid for: of the first counted item, or of any, or the
  /// subscription's own.
  public func periodEnd(price: String?) -> Int64? {
    (counted(price: price) + items).compactMap(\.periodEnd).first ?? ownPeriodEnd
  }

  private struct Items: Decodable {
    let data: [SubscriptionItem]
    init(from decoder: any Decoder) throws {
      data = try Fields(decoder).object("data", as: Lenient<SubscriptionItem>.self)?.elements ?? []
    }
  }
}

/// What we wrote into the metadata of an object.
public struct OurMetadata: Decodable, Equatable, Sendable {
  /// The name of the entry.
  public static let userKey = "bindery_user_id"
  public let userID: String?

  public init(from decoder: any Decoder) throws {
    userID = try Fields(decoder).text(Self.userKey)
  }
}
