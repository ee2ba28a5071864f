// The signing keys as they are now: a SIGHUP reads their file again, after which its last key signs
// and all of them verify. The public halves go into the database first, where the edge finds them.

import Accounts
import Clocks
import JOSE
import ServiceRuntime
import Synchronization

/// The keys behind a lock.
final class CurrentSigningKeys: Sendable {
  private let held: Mutex<SigningKeys>

  init(_ keys: SigningKeys) { held = Mutex(keys) }

  var value: SigningKeys { held.withLock { $0 } }

  /// Goes on with `keys`, once others can know them.
  func replace(
    with keys: SigningKeys, publishing store: some SigningKeyStore, now: UnixTime
  ) async throws(AccountError) {
    try await store.publishKeys(keys.publicKeys, now: now)
    held.withLock { $0 = keys }
  }
}
