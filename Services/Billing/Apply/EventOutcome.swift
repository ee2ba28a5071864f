// What came of an event, in one word: for the row, for the counters and for whoever asks why nothing
// happened.

import Metrics

/// How an event ended.
enum EventOutcome: Int, MetricLabel, Sendable {
  case applied
  /// A later event, or Stripe itself, had shown more.
  case nothingNew
  /// Of a type that changes no plan.
  case unknownType
  /// Of the test mode while we are live, or the other way round.
  case otherMode
  /// Of an account that is connected to ours.
  case connectedAccount
  /// Written in an API version that is newer than this build: the object is read instead.
  case unknownVersion
  /// Nobody's, as far as we know: kept, and believed when it turns out whose it is.
  case unknownCustomer
  /// An invoice without a subscription, a checkout without a person of ours.
  case nothingToLink
  /// The customer belongs to somebody else here.
  case customerOfAnother
  case accountDeleted
  /// A try failed.
  case failed
  /// The last try failed.
  case parked

  var label: StaticString {
    switch self {
    case .applied: "applied"
    case .nothingNew: "nothing_new"
    case .unknownType: "unknown_type"
    case .otherMode: "other_mode"
    case .connectedAccount: "connected_account"
    case .unknownVersion: "unknown_version"
    case .unknownCustomer: "unknown_customer"
    case .nothingToLink: "nothing_to_link"
    case .customerOfAnother: "customer_of_another"
    case .accountDeleted: "account_deleted"
    case .failed: "failed"
    case .parked: "parked"
    }
  }

  /// The state of its row.
  var isApplied: Bool { self == .applied || self == .unknownVersion }
}
