// How does work begin at once when there is some, and otherwise now and then? Whoever makes work
// rings; a round runs after a ring, or after its time, and never twice at the same moment.

import Clocks
import Database
import ServiceRuntime
import Synchronization

/// Wakes one round.
final class Bell: Sendable {
  private let isRung = Atomic<Bool>(true)

  func ring() { isRung.store(true, ordering: .releasing) }

  fileprivate func take() -> Bool { isRung.exchange(false, ordering: .acquiringAndReleasing) }
}

/// Runs rounds until the process ends.
struct Rounds: Sendable {
  let runtime: Runtime
  let isStopped: Flag

  /// Something that turns true once.
  final class Flag: Sendable {
    private let value = Atomic<Bool>(false)
    var isSet: Bool { value.load(ordering: .acquiring) }
    func set() { value.store(true, ordering: .releasing) }
  }

  /// Runs `body` after a ring, and `seconds` after its last run. `body` says whether there is more.
  /// - Parameter hearing: how soon a ring is heard.
  func run(
    _ bell: Bell, every seconds: Int64, hearing: Duration = .milliseconds(50),
    _ body: @escaping @Sendable (UnixTime) async throws(DatabaseError) -> Bool
  ) {
    runtime.loop.spawn {
      var next = Instant.now
      while !isStopped.isSet {
        guard bell.take() || Instant.now >= next else {
          await runtime.pause(for: hearing)
          continue
        }
        do throws(DatabaseError) {
          if try await body(.now) { bell.ring() }
        } catch {
          if error.isFatal { runtime.giveUp("database_unusable") }
          if error == .stopped { return }
          runtime.log.warning("round_failed", ["reason": .literal(error.label)])
          await runtime.pause(for: .seconds(1))
        }
        next = Instant.now.advanced(by: .seconds(seconds))
      }
    }
  }
}
