// How many connections may this person have now, until when, and why no more? Pure: account, standing,
// settings, billing's last word and the time come in as arguments. Every end is a moment; before it a
// person has what they had, from it on they have not.

import Clocks

/// What the operator grants. Nil wherever it is optional: there are no plans, and no limits.
public struct PlanTerms: Sendable, Equatable {
  public let trialSeconds: Int64
  public let trialConnections: Int64
  /// For how long an unpaid subscription still works.
  public let graceSeconds: Int64

  public init(trialSeconds: Int64, trialConnections: Int64, graceSeconds: Int64) {
    self.trialSeconds = trialSeconds
    self.trialConnections = trialConnections
    self.graceSeconds = graceSeconds
  }
}

/// The plans there are.
public enum Plan: String, Sendable, CaseIterable {
  /// Never had a subscription.
  case freeTrial = "free_trial"
  case active
  case canceled
}

/// How a person stands with Stripe, as billing told it last.
public struct PlanStanding: Sendable, Equatable {
  /// What numbers and times may be at most; more is not believed.
  public static let quantityMax: Int64 = 1_000_000
  public static let timeMax: Int64 = 253_402_300_799

  /// Grows with every change; 0 when billing told nothing yet.
  public var version: Int64
  public var plan: Plan
  /// Connections paid for.
  public var quantity: Int64
  public var pastDueSince: UnixTime?
  /// When what was cancelled ends.
  public var accessUntil: UnixTime?
  /// The end of the period that is paid for.
  public var paidUntil: UnixTime?

  /// Of somebody of whom billing told nothing yet.
  public static let none = PlanStanding(version: 0, plan: .freeTrial, quantity: 0)

  public init(
    version: Int64, plan: Plan, quantity: Int64, pastDueSince: UnixTime? = nil,
    accessUntil: UnixTime? = nil, paidUntil: UnixTime? = nil
  ) {
    self.version = version
    self.plan = plan
    self.quantity = quantity
    self.pastDueSince = pastDueSince
    self.accessUntil = accessUntil
    self.paidUntil = paidUntil
  }

  /// Whether its numbers are such as can be; the rules add to them.
  public var isSound: Bool {
    let times = [pastDueSince, accessUntil, paidUntil].compactMap { $0?.seconds }
    return version >= 1 && (0...Self.quantityMax).contains(quantity)
      && times.allSatisfy { (0...Self.timeMax).contains($0) }
  }
}

/// What is known of billing itself.
public struct BillingContact: Sendable, Equatable {
  /// With an older word than this, an end may have been overtaken by what billing did not hear.
  public static let silenceSecondsMax: Int64 = 300
  /// For how long the last known plan then holds.
  public static let deferredSecondsMax: Int64 = 72 * 3600

  /// When plans were first in force here.
  public let enabledAt: UnixTime
  /// Until when billing knows what Stripe did.
  public let caughtUpAt: UnixTime

  public init(enabledAt: UnixTime, caughtUpAt: UnixTime) {
    self.enabledAt = enabledAt
    self.caughtUpAt = caughtUpAt
  }

  /// When something really ends that should end at `end`.
  public func deferred(_ end: UnixTime) -> UnixTime {
    Self.deferred(end, caughtUpAt: caughtUpAt)
  }

  /// The same for whoever knows no more: later, when billing was silent at that time, and then at
  /// most `deferredSecondsMax` after its last word.
  public static func deferred(_ end: UnixTime, caughtUpAt: UnixTime) -> UnixTime {
    if caughtUpAt >= end.advanced(bySeconds: -silenceSecondsMax) { return end }
    return max(end, caughtUpAt.advanced(bySeconds: deferredSecondsMax))
  }
}

/// Why somebody may not have one connection more.
public enum PlanRefusal: String, Sendable, CaseIterable {
  /// They have as many as the plan allows.
  case limitReached = "limit_reached"
  case trialEnded = "trial_ended"
  case pastDue = "past_due"
  case canceled
}

/// One person's rules.
public struct PlanRules: Sendable, Equatable {
  /// After a period's end: Stripe makes the invoice an hour later, and its payment may take time.
  public static let renewalSecondsMax: Int64 = 72 * 3600

  public let terms: PlanTerms
  public let standing: PlanStanding
  public let contact: BillingContact
  /// When the trial ends: counted from the account's start, or from when plans came into force.
  public let trialEndsAt: UnixTime

  public init(
    terms: PlanTerms, standing: PlanStanding, contact: BillingContact, startedAt: UnixTime
  ) {
    self.terms = terms
    self.standing = standing
    self.contact = contact
    trialEndsAt = max(startedAt, contact.enabledAt).advanced(bySeconds: terms.trialSeconds)
  }

  /// An end of something.
  private enum End: Equatable {
    case at(UnixTime)
    case open
    /// It never began.
    case before
  }

  /// When what was paid for ends.
  private var paidEnd: End {
    guard standing.quantity > 0 else { return .before }
    let grace = standing.pastDueSince?.advanced(bySeconds: terms.graceSeconds)
    switch standing.plan {
    case .freeTrial: return .before
    case .active:
      if let grace { return .at(grace) }
      return standing.paidUntil.map { .at($0.advanced(bySeconds: Self.renewalSecondsMax)) } ?? .open
    case .canceled:
      guard let end = standing.accessUntil else { return .before }
      return .at(grace.map { min($0, end) } ?? end)
    }
  }

  private func lasts(_ end: End, at now: UnixTime) -> Bool {
    switch end {
    case .at(let time): now < contact.deferred(time)
    case .open: true
    case .before: false
    }
  }

  private var trialEnd: End { terms.trialConnections > 0 ? .at(trialEndsAt) : .before }

  /// How many connections are paid for.
  public func paid(at now: UnixTime) -> Int64 {
    lasts(paidEnd, at: now) ? standing.quantity : 0
  }

  /// How many connections may be active.
  public func allowed(at now: UnixTime) -> Int64 {
    let paid = paid(at: now)
    return lasts(trialEnd, at: now) ? max(terms.trialConnections, paid) : paid
  }

  /// From when on nothing is allowed, if billing is not silent then; nil when the clock ends nothing.
  public var endsAt: UnixTime? {
    switch (trialEnd, paidEnd) {
    case (_, .open): nil
    case (.at(let trial), .at(let paid)): max(trial, paid)
    case (.at(let end), _), (_, .at(let end)): end
    default: UnixTime(seconds: 0)
    }
  }

  /// When the clock changes what is allowed next, as far as known now; nil for never.
  public func reviewAt(after now: UnixTime) -> UnixTime? {
    var times: [UnixTime] = []
    for case .at(let end) in [trialEnd, paidEnd] { times += [end, contact.deferred(end)] }
    return times.filter { $0 > now }.min()
  }

  /// When what was paid for ends because it was cancelled, or is not paid; nil when it goes on.
  public var accessUntil: UnixTime? {
    guard standing.plan == .canceled || standing.pastDueSince != nil else { return nil }
    guard case .at(let end) = paidEnd else { return standing.accessUntil }
    return end
  }

  /// Why there is no room, for somebody for whom there is none.
  public func refusal(at now: UnixTime) -> PlanRefusal {
    if allowed(at: now) > 0 { return .limitReached }
    switch standing.plan {
    case .freeTrial: return .trialEnded
    case .canceled: return .canceled
    case .active: return standing.pastDueSince == nil ? .limitReached : .pastDue
    }
  }
}
