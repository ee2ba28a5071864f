// Who am I, and what does my plan allow? What the clock ended is applied before the answer, so that it
// never tells of more than is allowed.

import Accounts
import Clocks
import HTTPServer

/// GET /api/me
struct MeRoute: Sendable {
  let plans: any PlanStore
  let connections: ConnectionRoutes
  let epochs: RevocationEpochs

  func respond(_ caller: Caller, now: UnixTime) async throws(Refusal) -> Response {
    let found: (view: PlanView, outcome: PlanOutcome)?
    do throws(AccountError) {
      found = try await plans.plan(of: caller.user.id, now: now)
    } catch { throw Refusal(error) }
    if let found { epochs.bump(found.outcome) }
    let who: [(name: String, value: JSONText)] = [
      ("id", .string(caller.user.id.text)), ("email", .string(caller.user.email)),
    ]
    let plan = if let found { Self.plan(found.view, now) } else { try await unlimited(caller) }
    return .json(JSONText.object(who + plan).bytes)
  }

  private static func plan(
    _ view: PlanView, _ now: UnixTime
  ) -> [(name: String, value: JSONText)] {
    let rules = view.rules
    return [
      ("plan", .string(rules.standing.plan.rawValue)),
      ("max_connections", .integer(rules.allowed(at: now))),
      ("active_connections", .integer(view.active)),
      ("suspended_connections", .integer(view.suspended)),
      ("trial_ends_at", Timestamp.json(rules.trialEndsAt)),
      ("access_until", Timestamp.json(rules.accessUntil)),
      ("past_due_since", Timestamp.json(rules.standing.pastDueSince)),
      ("paid_connections", .integer(rules.paid(at: now))),
    ]
  }

  /// There are no plans.
  private func unlimited(
    _ caller: Caller
  ) async throws(Refusal) -> [(name: String, value: JSONText)] {
    [
      ("plan", "unlimited"), ("max_connections", nil),
      ("active_connections", .integer(try await connections.count(caller))),
      ("suspended_connections", 0), ("trial_ends_at", nil), ("access_until", nil),
      ("past_due_since", nil), ("paid_connections", 0),
    ]
  }
}
