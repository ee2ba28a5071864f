// Runs password hashing on threads of its own with a short queue, so that a burst of sign-ins neither
// stops the loops nor takes all memory: each hash needs 32 MiB. The threads come after all others of
// the machine and leave half of its cores alone: a burst of sign-ins must not slow down requests.

import Accounts
import Bytes
import EventLoop
import Posix

/// Hashes and compares passwords off the event loop.
struct PasswordChecker: Sendable {
  private let pool: WorkerPool

  init() {
    pool = WorkerPool(threads: min(max(1, usableCores / 2), 4), queueMax: 16, niceness: 15)
  }

  /// A fresh hash.
  func make(_ password: consuming Secret) async throws(Refusal) -> StoredPassword {
    let box = SecretBox(password)
    do throws(WorkerPoolFull) {
      return try await pool.run { PasswordHash.make(box.secret) }
    } catch { throw .overloaded }
  }

  /// Whether `password` matches `stored`; false after the same work when there is no `stored`.
  /// With it the hash to replace `stored` with, when its parameters are not today's.
  func check(
    _ password: consuming Secret, against stored: StoredPassword?
  ) async throws(Refusal) -> (matches: Bool, upgrade: StoredPassword?) {
    let box = SecretBox(password)
    do throws(WorkerPoolFull) {
      return try await pool.run {
        let matches = PasswordHash.matches(box.secret, stored ?? PasswordHash.ofNobody)
        guard matches, let stored else { return (false, nil) }
        return (true, PasswordHash.isOutdated(stored) ? PasswordHash.make(box.secret) : nil)
      }
    } catch { throw .overloaded }
  }
}

/// Carries a secret into a closure.
private final class SecretBox: Sendable {
  let secret: Secret
  init(_ secret: consuming Secret) { self.secret = secret }
}
