// What goes in and out of the calls between billing and auth: the standing that billing derives and
// auth puts into force, and what people ask of Stripe, which billing alone talks to. Names, callers
// and deadlines are in Calls.swift. Times are Unix seconds.

/// How a person stands with Stripe, as far as billing knows.
public struct BillingStanding: Codable, Sendable, Equatable {
  /// The plans there are.
  public enum Plan: String, Codable, Sendable, CaseIterable {
    /// Never had a subscription.
    case freeTrial = "free_trial"
    case active
    /// No subscription counts any more, or the last one ends at `accessUntil`.
    case canceled
  }

  /// Grows with every change of this person's standing, whatever else happens.
  public var version: Int64
  public var plan: Plan
  /// Connections paid for: the sum over the subscriptions that count.
  public var quantity: Int64
  /// Since when a payment is missing; nil when none is.
  public var pastDueSince: Int64?
  /// When what was paid for ends, when it was cancelled.
  public var accessUntil: Int64?
  /// The end of the period that is paid for.
  public var paidUntil: Int64?
  /// Why it is so, each a short sentence of ours; never anything of Stripe's that is secret.
  public var why: [String]

  public init(
    version: Int64, plan: Plan, quantity: Int64, pastDueSince: Int64? = nil,
    accessUntil: Int64? = nil, paidUntil: Int64? = nil, why: [String] = []
  ) {
    self.version = version
    self.plan = plan
    self.quantity = quantity
    self.pastDueSince = pastDueSince
    self.accessUntil = accessUntil
    self.paidUntil = paidUntil
    self.why = why
  }
}

// MARK: plan_set

/// Put a standing into force: store it, suspend or reactivate connections, tell the edge. A version
/// that is not greater than the stored one changes nothing, so it may be made any number of times.
public enum PlanSetCall: Call {
  public static let name = CallName.planSet

  /// Whose standing.
  public struct Request: Codable, Sendable {
    public var userID: String
    public var standing: BillingStanding

    public init(userID: String, standing: BillingStanding) {
      self.userID = userID
      self.standing = standing
    }
  }

  /// What was done.
  public struct Response: Codable, Sendable, Equatable {
    /// False when auth has this version or a later one already, or knows nobody of this id.
    public var applied: Bool
    /// True when there is no such person: there is nothing to deliver any more.
    public var unknown: Bool

    public init(applied: Bool, unknown: Bool = false) {
      self.applied = applied
      self.unknown = unknown
    }
  }
}

// MARK: billing_contact

/// Say until when billing knows all that Stripe did. What ends by the clock without such word is
/// kept up for a while, because the payment may be what billing could not hear of.
public enum BillingContactCall: Call {
  public static let name = CallName.billingContact

  /// Until when.
  public struct Request: Codable, Sendable {
    public var caughtUpAt: Int64
    public init(caughtUpAt: Int64) { self.caughtUpAt = caughtUpAt }
  }

  /// Nothing is answered in particular.
  public struct Response: Codable, Sendable, Equatable {
    public init() {}
  }
}

// MARK: billing_user

/// Is there such a person, and where do mails to them go?
public enum BillingUserCall: Call {
  public static let name = CallName.billingUser

  /// Who.
  public struct Request: Codable, Sendable {
    public var userID: String
    public init(userID: String) { self.userID = userID }
  }

  /// What auth knows.
  public struct Response: Codable, Sendable, Equatable {
    public var exists: Bool
    /// Nil when there is no such person, or no address of theirs.
    public var email: String?

    public init(exists: Bool, email: String?) {
      self.exists = exists
      self.email = email
    }
  }
}

// MARK: what people ask for

/// Why billing did not do what a person asked for. An answer of billing's, not a failure of the call.
public enum BillingRefusal: String, Error, Codable, Sendable, CaseIterable {
  /// Stripe's key is not set.
  case disabled = "billing_disabled"
  /// Stripe gave no useful answer in time; a later try may do.
  case stripeUnreachable = "stripe_unreachable"
  /// There is no such checkout session.
  case invalidSession = "invalid_session"
  case notPaid = "not_paid"
  /// The checkout session is of somebody else.
  case unauthorized
  case invalidQuantity = "invalid_quantity"
  case noSubscription = "no_subscription"
  /// Fewer than the connections in use.
  case quantityTooLow = "quantity_too_low"
}

/// A page of Stripe's, or why there is none: exactly one of the two.
public struct BillingPage: Codable, Sendable, Equatable {
  public var url: String?
  public var refusal: BillingRefusal?

  /// The page at `url`.
  public init(url: String) { self.url = url }

  /// No page.
  public init(_ refusal: BillingRefusal) { self.refusal = refusal }
}

/// Make the page on which a person subscribes.
public enum BillingCheckoutCall: Call {
  public static let name = CallName.billingCheckout

  /// Who, for how many, and where to go on.
  public struct Request: Codable, Sendable {
    public var userID: String
    /// Nil when no address of theirs is known.
    public var email: String?
    /// One or more; auth has checked it.
    public var quantity: Int64
    /// Where the browser goes afterwards. Holds Stripe's `{CHECKOUT_SESSION_ID}` as it is.
    public var successURL: String
    public var cancelURL: String

    public init(
      userID: String, email: String?, quantity: Int64, successURL: String, cancelURL: String
    ) {
      self.userID = userID
      self.email = email
      self.quantity = quantity
      self.successURL = successURL
      self.cancelURL = cancelURL
    }
  }

  /// The page, or why there is none.
  public typealias Response = BillingPage
}

/// Link the subscription of a checkout that the browser came back from, before its events arrive.
public enum BillingVerifyCall: Call {
  public static let name = CallName.billingVerify

  /// Who, and which checkout.
  public struct Request: Codable, Sendable {
    public var userID: String
    public var sessionID: String

    public init(userID: String, sessionID: String) {
      self.userID = userID
      self.sessionID = sessionID
    }
  }

  /// What came of it.
  public struct Response: Codable, Sendable, Equatable {
    /// True when its events had arrived before.
    public var alreadyLinked: Bool
    public var refusal: BillingRefusal?

    public init(alreadyLinked: Bool) { self.alreadyLinked = alreadyLinked }

    /// Nothing was linked.
    public init(_ refusal: BillingRefusal) {
      alreadyLinked = false
      self.refusal = refusal
    }
  }
}

/// Change how many connections a person pays for.
public enum BillingQuantityCall: Call {
  public static let name = CallName.billingQuantity

  /// Who, how many, and how many are in use.
  public struct Request: Codable, Sendable {
    public var userID: String
    public var quantity: Int64
    public var activeConnections: Int64

    public init(userID: String, quantity: Int64, activeConnections: Int64) {
      self.userID = userID
      self.quantity = quantity
      self.activeConnections = activeConnections
    }
  }

  /// What came of it.
  public struct Response: Codable, Sendable, Equatable {
    /// What is paid for now; nil with a refusal.
    public var quantity: Int64?
    public var refusal: BillingRefusal?

    public init(quantity: Int64) { self.quantity = quantity }

    /// Nothing was changed.
    public init(_ refusal: BillingRefusal) { self.refusal = refusal }
  }
}

/// Make the page on which a person sees invoices, changes the card and cancels.
public enum BillingPortalCall: Call {
  public static let name = CallName.billingPortal

  /// Who, and where to go on.
  public struct Request: Codable, Sendable {
    public var userID: String
    public var returnURL: String

    public init(userID: String, returnURL: String) {
      self.userID = userID
      self.returnURL = returnURL
    }
  }

  /// The page, or why there is none.
  public typealias Response = BillingPage
}

// MARK: billing_forget

/// The account is deleted: cancel what is subscribed, delete the customer at Stripe, forget them.
/// Answered when the wish is durable; it may be made any number of times.
public enum BillingForgetCall: Call {
  public static let name = CallName.billingForget

  /// Whom.
  public struct Request: Codable, Sendable {
    public var userID: String
    public init(userID: String) { self.userID = userID }
  }

  /// Nothing is answered in particular.
  public struct Response: Codable, Sendable, Equatable {
    public init() {}
  }
}

// MARK: billing_trail

/// Why is this account in this state? What billing took into account, oldest first.
public enum BillingTrailCall: Call {
  public static let name = CallName.billingTrail

  /// Whose.
  public struct Request: Codable, Sendable {
    public var userID: String
    public init(userID: String) { self.userID = userID }
  }

  /// The trail.
  public struct Response: Codable, Sendable, Equatable {
    /// One thing that happened.
    public struct Entry: Codable, Sendable, Equatable {
      public var at: Int64
      /// A sentence of ours, with Stripe's ids.
      public var text: String

      public init(at: Int64, text: String) {
        self.at = at
        self.text = text
      }
    }

    /// What billing derives now; nil when Stripe knows nobody of this id.
    public var standing: BillingStanding?
    /// The version that auth said it has; nil when none was delivered yet.
    public var deliveredVersion: Int64?
    public var entries: [Entry]

    public init(standing: BillingStanding?, deliveredVersion: Int64?, entries: [Entry]) {
      self.standing = standing
      self.deliveredVersion = deliveredVersion
      self.entries = entries
    }
  }
}

// MARK: webhooks_replay

/// Take an event that was parked, or done, into account again.
public enum WebhooksReplayCall: Call {
  public static let name = CallName.webhooksReplay

  /// Which.
  public struct Request: Codable, Sendable {
    public var id: String
    public init(id: String) { self.id = id }
  }

  /// What was done.
  public struct Response: Codable, Sendable, Equatable {
    /// False when there is no such event.
    public var replayed: Bool
    public init(replayed: Bool) { self.replayed = replayed }
  }
}
