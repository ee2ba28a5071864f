// What do all subscriptions of a person come to? Plan, quantity and the times on which auth decides
// what holds when. Nothing here depends on the present moment, so it needs no clock: the same
// subscriptions are the same standing for ever. Pure.

import Clocks
import RPC
import Stripe

/// Derives standings.
enum Standing {
  /// Subscriptions of which a standing tells, the newest.
  static let whyMax = 32

  /// What `subscriptions` come to; the version is the caller's.
  static func of(_ subscriptions: [Subscription]) -> BillingStanding {
    let sorted = subscriptions.sorted {
      ($0.shown?.createdAt ?? 0, $0.id) < ($1.shown?.createdAt ?? 0, $1.id)
    }
    let counting = sorted.filter(counts)
    let why = Array(sorted.filter { $0.shown != nil }.map(sentence).suffix(Self.whyMax))
    guard let last = counting.last else {
      let ends = sorted.filter(\.isOver).compactMap { $0.shown?.periodEnd ?? $0.shown?.endedAt }
      guard let end = ends.max() else {
        return BillingStanding(version: 0, plan: .freeTrial, quantity: 0, why: why)
      }
      return BillingStanding(
        version: 0, plan: .canceled, quantity: 0, accessUntil: end, why: why)
    }
    // While one of them is paid, a payment that another lacks locks nobody out.
    let isGood = counting.contains { $0.status?.isGood ?? false }
    let stays = counting.contains { $0.endsAt == nil }
    return BillingStanding(
      version: 0, plan: stays ? .active : .canceled,
      quantity: counting.reduce(0) { $0 + ($1.shown?.quantity ?? 0) },
      pastDueSince: isGood ? nil : counting.compactMap(\.pastDueSince).min(),
      accessUntil: stays ? nil : counting.compactMap(\.endsAt).max(),
      paidUntil: counting.compactMap { $0.shown?.periodEnd }.max() ?? last.shown?.periodEnd,
      why: why)
  }

  /// Whether a subscription gives anything. One that is overdue does: for how long is auth's to say.
  static func counts(_ subscription: Subscription) -> Bool {
    guard let status = subscription.status, subscription.shown?.quantity != 0 else { return false }
    return status.isGood || status.isOverdue
  }

  /// `sub_1 is past_due since 2026-11-01T10:00:00Z, 3 connections, paid until …`.
  static func sentence(_ subscription: Subscription) -> String {
    guard let shown = subscription.shown, let status = subscription.status else {
      return "\(subscription.id) is not known yet"
    }
    var parts = ["\(subscription.id) is \(status.rawValue)"]
    if let since = subscription.pastDueSince { parts[0] += " since \(text(since))" }
    parts.append("\(shown.quantity) connection\(shown.quantity == 1 ? "" : "s")")
    if status.isFinal {
      if let end = shown.endedAt { parts.append("ended \(text(end))") }
    } else if let end = shown.periodEnd {
      parts.append("period until \(text(end))")
    }
    if !status.isFinal, let end = subscription.endsAt {
      parts.append("ends \(text(end))")
    }
    return parts.joined(separator: ", ")
  }

  private static func text(_ seconds: Int64) -> String { UnixTime(seconds: seconds).rfc3339 }
}
