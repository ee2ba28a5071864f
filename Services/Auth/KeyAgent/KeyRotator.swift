// Brings every value under the active master key, a page at a time, while everything else goes on.
// How far it is stands in the database, written in the transaction that replaces the rows, so it goes
// on after a crash. A row is replaced only if it still is what was read; what does not open is
// counted and passed over. The rows are walked until nothing but such rows is left.

import Accounts
import Clocks
import Database
import Logging
import Metrics
import Synchronization

/// What became of a row.
enum RotationOutcome: Int, MetricLabel {
  case rewrapped
  /// Revoked or written by someone else meanwhile.
  case overtaken

  var label: StaticString {
    switch self {
    case .rewrapped: "rewrapped"
    case .overtaken: "overtaken"
    }
  }
}

/// The states of a rotation, for a metric.
enum RotationStateLabel: Int, MetricLabel {
  case running, paused, completed, failed

  var label: StaticString {
    switch self {
    case .running: "running"
    case .paused: "paused"
    case .completed: "completed"
    case .failed: "failed"
    }
  }
}

/// Works on the open rotation, if there is one.
final class KeyRotator: Sendable {
  /// What it needs of its surroundings.
  struct Surroundings: Sendable {
    let log: Log
    let metrics: MetricRegistry
    let pause: @Sendable (Duration) async -> Void
    let spawn: @Sendable (@escaping @Sendable () async -> Void) -> Void
  }

  /// Rows of one transaction.
  static let pageRowsMax: Int64 = 256
  /// Others get a turn at the database for at least this long after each page.
  private static let restMin = Duration.milliseconds(1)
  private static let retryDelay = Duration.seconds(1)
  /// Rows that do not open and are named in the log, of one rotation and one process.
  private static let namedMax = 100

  private let store: any RotationStore
  private let keys: KeyAgent
  private let around: Surroundings
  private let work = Mutex((isRunning: false, isWantedAgain: false))
  private let rows: Family<Counter, RotationOutcome>
  private let failures: Counter
  private let states: Family<Gauge, RotationStateLabel>

  init(store: any RotationStore, keys: KeyAgent, around: Surroundings) {
    self.store = store
    self.keys = keys
    self.around = around
    rows = around.metrics.counters(
      "bindery_auth_rotation_rows_total",
      "Rows that a key rotation came to, by what became of them.",
      label: "outcome", by: RotationOutcome.self)
    failures = around.metrics.counter(
      "bindery_auth_rotation_failures_total", "Rows that a key rotation could not open.")
    states = around.metrics.gauges(
      "bindery_auth_rotation_state", "1 for the state that the newest key rotation is in.",
      label: "state", by: RotationStateLabel.self)
  }

  /// Lets the work begin or look again.
  func kick() {
    let begins = work.withLock { work in
      work.isWantedAgain = work.isRunning
      defer { work.isRunning = true }
      return !work.isRunning
    }
    guard begins else { return }
    around.spawn { [self] in
      repeat { await run() } while isWantedAgain()
    }
  }

  private func isWantedAgain() -> Bool {
    work.withLock { work in
      defer { work.isWantedAgain = false }
      work.isRunning = work.isWantedAgain
      return work.isWantedAgain
    }
  }

  /// Works until no rotation is running.
  func run() async {
    var log = UnreadableLog(log: around.log, left: Self.namedMax)
    while true {
      do throws(AccountError) {
        guard let rotation = try await store.rotation() else { return }
        show(rotation)
        guard rotation.isOpen else { return }
        guard keys.activeFingerprint == rotation.target else {
          try await store.failRotation(rotation.id, because: .targetNotActive, now: .now)
          around.log.error(
            "rotation_failed",
            ["fingerprint": .text(.fingerprint(rotation.target)), "reason": "target_not_active"])
          continue
        }
        guard rotation.state == .running else { return }
        try await pass(rotation, &log)
      } catch {
        guard case .database(let error) = error, error.isTransient else {
          // Stopping, or the watch over the database gives the process up.
          around.log.warning("rotation_stopped")
          return
        }
        around.log.warning("rotation_waits", ["reason": .literal(error.label)])
        await around.pause(Self.retryDelay)
      }
    }
  }

  /// Walks all rows under other keys once, and ends the rotation if nothing more can be done.
  private func pass(_ rotation: KeyRotation, _ log: inout UnreadableLog) async throws(AccountError)
  {
    var unreadable: Int64 = 0
    try await store.beginPass(rotation.id, now: .now)
    for count in try await store.sealedCounts() where count.fingerprint != rotation.target {
      guard let found = try await walk(count, rotation, &log) else { return }
      unreadable += found
    }
    let ended = try await store.finishRotation(rotation.id, unreadable: unreadable, now: .now)
    guard !ended.isOpen else { return }
    failures.add(UInt64(clamping: ended.failed))
    around.log.info(
      ended.state == .completed ? "rotation_completed" : "rotation_failed",
      [
        "fingerprint": .text(.fingerprint(ended.target)), "rewrapped": .count(ended.done),
        "unreadable": .count(ended.failed),
      ])
  }

  /// Walks the rows of one column under one key.
  /// - Returns: how many did not open; nil when the rotation is to be looked at again.
  private func walk(
    _ count: SealedCount, _ rotation: KeyRotation, _ log: inout UnreadableLog
  ) async throws(AccountError) -> Int64? {
    var unreadable: Int64 = 0
    var place = Int64.min
    var rate = rotation.rate
    while true {
      let start = Instant.now
      let page = try await store.sealedRows(
        count.column, under: count.fingerprint, after: place, countMax: Self.pageRows(rate))
      guard let last = page.last else { return unreadable }
      place = last.place
      guard let made = keys.rewrap(page, of: count.column, under: rotation.target) else {
        return nil
      }
      log.note(made.unreadable, in: count)
      let (replaced, now) = try await store.replace(
        made.rows, in: count.column, unreadable: Int64(made.unreadable.count),
        rotation: rotation.id, now: .now)
      guard now.state == .running else { return nil }
      unreadable += Int64(made.unreadable.count)
      rows[.rewrapped].add(UInt64(clamping: replaced))
      rows[.overtaken].add(UInt64(clamping: Int64(made.rows.count) - replaced))
      rate = now.rate
      await around.pause(Self.rest(after: page.count, took: start.duration(to: .now), rate: rate))
    }
  }

  /// At most a quarter of a second's rows, so that a pause is obeyed soon.
  static func pageRows(_ rate: Int64?) -> Int64 {
    rate.map { min(pageRowsMax, max(1, $0 / 4)) } ?? pageRowsMax
  }

  /// How long to wait so that no more than `rate` rows a second are done.
  static func rest(after rows: Int, took: Duration, rate: Int64?) -> Duration {
    guard let rate, rate > 0 else { return restMin }
    return max(restMin, .seconds(1) * rows / rate - took)
  }

  private func show(_ rotation: KeyRotation) {
    for label in RotationStateLabel.allCases {
      states[label].set("\(label.label)" == rotation.state.rawValue ? 1 : 0)
    }
  }
}

/// Names rows that do not open, not without end, and each row once.
private struct UnreadableLog {
  let log: Log
  var left: Int
  private var named: Set<String> = []

  init(log: Log, left: Int) {
    self.log = log
    self.left = left
  }

  mutating func note(_ ids: [String], in count: SealedCount) {
    for id in ids where left > 0 && named.insert(id).inserted {
      left -= 1
      log.error(
        "rotation_row_unreadable",
        ["row": .idPrefix(id), "fingerprint": .text(.fingerprint(count.fingerprint))])
    }
  }
}
