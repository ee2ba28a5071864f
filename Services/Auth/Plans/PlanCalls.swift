// What billing tells and asks auth: a standing to put into force, until when it knows all, and who
// somebody is. Numbers that can not be are refused here, before a rule adds to them.

import Accounts
import Clocks
import Logging
import RPC

/// The calls `plan_set`, `billing_contact` and `billing_user`.
struct PlanCalls: Sendable {
  /// Words of billing about one standing.
  private static let wordsMax = 64
  private static let wordBytesMax = 512

  let store: any PlanStore & UserStore
  let epochs: RevocationEpochs
  let log: Log

  /// Adds the answers to `handlers`.
  func answer(in handlers: inout CallHandlers) {
    let calls = self
    handlers.answer(PlanSetCall.self) { (request, _) throws(RPC.Refusal) in
      try await calls.set(request, now: .now)
    }
    handlers.answer(BillingContactCall.self) { (request, _) throws(RPC.Refusal) in
      try await calls.note(request, now: .now)
      return BillingContactCall.Response()
    }
    handlers.answer(BillingUserCall.self) { (request, _) throws(RPC.Refusal) in
      try await calls.find(request)
    }
  }

  private func set(
    _ request: PlanSetCall.Request, now: UnixTime
  ) async throws(RPC.Refusal) -> PlanSetCall.Response {
    let standing = PlanStanding(request.standing)
    let why = request.standing.why
    guard let user = UserID(request.userID), standing.isSound, why.count <= Self.wordsMax,
      why.allSatisfy({ Self.isLine($0) })
    else { throw .malformedRequest }
    do throws(AccountError) {
      let outcome = try await store.setPlan(standing, why: why, of: user, now: now)
      epochs.bump(outcome)
      if outcome.isApplied {
        log.info(
          "plan_changed",
          [
            "user": .idPrefix(user.text), "version": .count(Int(standing.version)),
            "suspended": .count(outcome.suspended), "reactivated": .count(outcome.reactivated),
          ])
      }
      return PlanSetCall.Response(applied: outcome.isApplied)
    } catch {
      if error == .notFound { return PlanSetCall.Response(applied: false, unknown: true) }
      throw RPC.Refusal(error)
    }
  }

  /// One line of a text.
  private static func isLine(_ text: String) -> Bool {
    text.utf8.count <= wordBytesMax && text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f }
  }

  private func note(
    _ request: BillingContactCall.Request, now: UnixTime
  ) async throws(RPC.Refusal) {
    guard (0...PlanStanding.timeMax).contains(request.caughtUpAt) else { throw .malformedRequest }
    do throws(AccountError) {
      try await store.noteContact(caughtUpAt: UnixTime(seconds: request.caughtUpAt), now: now)
    } catch { throw RPC.Refusal(error) }
  }

  private func find(
    _ request: BillingUserCall.Request
  ) async throws(RPC.Refusal) -> BillingUserCall.Response {
    guard let id = UserID(request.userID) else { throw .malformedRequest }
    do throws(AccountError) {
      let user = try await store.user(id)
      return BillingUserCall.Response(exists: true, email: user.email.isEmpty ? nil : user.email)
    } catch {
      if error == .notFound { return BillingUserCall.Response(exists: false, email: nil) }
      throw RPC.Refusal(error)
    }
  }
}

extension RevocationEpochs {
  /// Has the edge look again at what a plan changed.
  func bump(_ outcome: PlanOutcome) {
    for connection in outcome.touched { bump(connection) }
  }
}

extension PlanStanding {
  fileprivate init(_ standing: BillingStanding) {
    let plan: Plan =
      switch standing.plan {
      case .freeTrial: .freeTrial
      case .active: .active
      case .canceled: .canceled
      }
    let time = { (seconds: Int64?) in seconds.map { UnixTime(seconds: $0) } }
    self.init(
      version: standing.version, plan: plan, quantity: standing.quantity,
      pastDueSince: time(standing.pastDueSince), accessUntil: time(standing.accessUntil),
      paidUntil: time(standing.paidUntil))
  }
}
