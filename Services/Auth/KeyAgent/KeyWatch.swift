// Looks every minute whether the master keys that rows are sealed under are all there. A row under a
// key that nobody has any more is an alarm and makes the process degraded, never a reason to stop:
// everything else goes on, and zero-knowledge connections never needed a master key.

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

  private let store: any RotationStore
  private let keys: KeyAgent
  private let runtime: Runtime
  private let counts = Mutex<[SealedCount]>([])

  init(store: any RotationStore, keys: KeyAgent, runtime: Runtime) {
    self.store = store
    self.keys = keys
    self.runtime = runtime
    runtime.metrics.observed(
      "bindery_auth_master_sealed_rows", "Rows by the master key that they are sealed under.",
      label: "fingerprint"
    ) { [weak self] in self.map { Self.byKey($0.latest) } ?? [] }
    runtime.metrics.observed(
      "bindery_auth_orphaned_rows", "Rows whose master key is missing."
    ) { [weak self] in self.map { Double($0.orphanedRows) } }
    runtime.readiness.report("master_keys_held") { Int64(keys.fingerprints.count) }
    runtime.readiness.report("orphaned_rows") { [weak self] in self?.orphanedRows ?? 0 }
  }

  private var latest: [SealedCount] { counts.withLock { $0 } }

  private var orphans: [SealedCount] { latest.filter { !keys.has($0.fingerprint) } }

  private var orphanedRows: Int64 { orphans.reduce(0) { $0 + $1.count } }

  private static func byKey(_ counts: [SealedCount]) -> [(String, Double)] {
    Dictionary(counts.map { ($0.fingerprint, Double($0.count)) }, uniquingKeysWith: +)
      .sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  /// Looks for ever; also notices that the database cannot be read any more.
  func run() async {
    var look = 0
    while true {
      do throws(AccountError) {
        let found = try await store.sealedCounts()
        counts.withLock { $0 = found }
        runtime.readiness.note(holds: .database)
        runtime.readiness.note(
          degraded: .keys, because: orphans.isEmpty ? nil : "master_key_missing")
        if look % Self.minute == 0 { alarm() }
      } catch { note(error) }
      look += 1
      await runtime.pause(for: .seconds(15))
    }
  }

  private func alarm() {
    for orphan in orphans {
      runtime.log.error(
        "master_key_missing",
        [
          "fingerprint": .text(.fingerprint(orphan.fingerprint)), "rows": .count(orphan.count),
        ])
    }
  }

  private func note(_ error: AccountError) {
    guard case .database(let error) = error else { return }
    if error.isFatal { runtime.giveUp("database_unusable") }
    runtime.readiness.note(broken: .database, because: error.label)
  }
}
