// Deletes now and then what waited too long: authorizations, claims, clients, wraps for providers.
// What is too old is refused anyway; this is so that nothing stays that nobody can use.

import Accounts
import Clocks
import Logging
import ServiceRuntime

/// Forgets what has ended.
struct Housekeeping: Sendable {
  private static let period = Duration.seconds(300)

  let authorizations: any AuthorizationStore
  let runtime: Runtime

  func run() async {
    while true {
      do throws(AccountError) {
        try await authorizations.forgetExpired(now: .now)
      } catch { runtime.log.warning("housekeeping_failed") }
      await runtime.pause(for: Self.period)
    }
  }
}
