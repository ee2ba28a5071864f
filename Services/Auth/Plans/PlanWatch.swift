// Applies what the clock ends, and has billing forget deleted accounts, for as long as the process
// lives. Needs neither the scheduler nor billing; the edge refuses at an end by itself, this suspends.

import Accounts
import Clocks
import Logging
import RPC
import ServiceRuntime

/// The clock of plans.
struct PlanWatch: Sendable {
  private static let peopleMax: Int64 = 100
  private static let farewellsMax: Int64 = 20
  private static let lookSeconds = 2
  private static let looksPerFarewell = 5

  let store: any PlanStore & FarewellStore
  let billing: any Calling
  let epochs: RevocationEpochs
  let log: Log

  /// Looks for ever.
  func run(_ runtime: Runtime) async {
    var look = 0
    while true {
      await review()
      if look % Self.looksPerFarewell == 0 { await sayFarewells() }
      look += 1
      await runtime.pause(for: .seconds(Self.lookSeconds))
    }
  }

  private func review() async {
    do throws(AccountError) {
      while let outcome = try await store.reviewPlans(now: .now, limit: Self.peopleMax) {
        epochs.bump(outcome)
        if outcome.malformed > 0 {
          log.error("plans_malformed", ["plans": .count(outcome.malformed)])
        }
        guard outcome.suspended + outcome.reactivated > 0 else { continue }
        log.info(
          "plans_reviewed",
          [
            "suspended": .count(outcome.suspended), "reactivated": .count(outcome.reactivated),
          ])
      }
    } catch { log.warning("plans_not_reviewed") }
  }

  private func sayFarewells() async {
    do throws(AccountError) {
      for user in try await store.farewells(limit: Self.farewellsMax) {
        guard await Self.sayFarewell(to: user, billing, store) else { return }
      }
    } catch { log.warning("farewells_not_read") }
  }

  /// Has billing forget somebody whose account is deleted; false when it has to be tried again.
  static func sayFarewell(
    to user: UserID, _ billing: any Calling, _ store: any FarewellStore
  ) async -> Bool {
    do throws(RPCError) {
      _ = try await billing.call(BillingForgetCall.self, .init(userID: user.text), within: nil)
    } catch { return false }
    do throws(AccountError) { try await store.endFarewell(to: user) } catch { return false }
    return true
  }
}

/// Whoever answers calls.
protocol Calling: Sendable {
  func call<C: Call>(
    _: C.Type, _ request: C.Request, within limit: Duration?
  ) async throws(RPCError) -> C.Response
}

extension RPCClient: Calling {}
