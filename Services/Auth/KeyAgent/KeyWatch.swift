// Looks every minute whether the master keys that live connections are wrapped under are all there.
// A wrap under a key that nobody has any more is an alarm, never a reason to stop: everything else
// goes on, and zero-knowledge connections never needed a master key.

import Accounts
import Database
import Logging
import Metrics
import ServiceRuntime
import Synchronization
import Vault

/// The state of master keys, for the ops port.
final class KeyWatch: Sendable {
  private static let minute = 4  // looks of 15 seconds

  private let connections: any ConnectionStore
  private let keys: KeyAgent
  private let runtime: Runtime
  private let counts = Mutex<[(fingerprint: String, count: Int64)]>([])

  init(connections: any ConnectionStore, keys: KeyAgent, runtime: Runtime) {
    self.connections = connections
    self.keys = keys
    self.runtime = runtime
    runtime.metrics.observed(
      "bindery_auth_managed_connections", "Managed connections by the key they are wrapped under.",
      label: "fingerprint"
    ) { [weak self] in self?.latest.map { ($0.fingerprint, Double($0.count)) } ?? [] }
    runtime.metrics.observed(
      "bindery_auth_orphaned_connections", "Managed connections whose master key is missing."
    ) { [weak self] in
      self.map { Double($0.orphans(in: $0.latest).reduce(0) { $0 + $1.count }) }
    }
  }

  private var latest: [(fingerprint: String, count: Int64)] { counts.withLock { $0 } }

  private func orphans(
    in found: [(fingerprint: String, count: Int64)]
  ) -> [(fingerprint: String, count: Int64)] {
    found.filter { !keys.has($0.fingerprint) }
  }

  /// Looks for ever; also notices that the database cannot be read any more.
  func run() async {
    var look = 0
    while true {
      do throws(AccountError) {
        let found = try await connections.managedFingerprints()
        counts.withLock { $0 = found }
        runtime.readiness.note(holds: .database)
        if look % Self.minute == 0 { judge(found) }
      } catch { note(error) }
      look += 1
      await runtime.pause(for: .seconds(15))
    }
  }

  private func judge(_ found: [(fingerprint: String, count: Int64)]) {
    for orphan in orphans(in: found) {
      runtime.log.error(
        "master_key_missing",
        [
          "fingerprint": .text(.fingerprint(orphan.fingerprint)),
          "connections": .count(orphan.count),
        ])
    }
  }

  private func note(_ error: AccountError) {
    guard case .database(let error) = error else { return }
    if error.isFatal { runtime.giveUp("database_unusable") }
    runtime.readiness.note(broken: .database, because: error.label)
  }
}
