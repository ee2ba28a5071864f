// When is a managed connection refreshed without anybody asking? Pure: what is stored and the rules
// of the service come in. Before its access token ends, and often enough that an idle grant does not
// die of age; spread by the connection's own id, so that a thousand made together do not come
// together.

import Clocks
import Providers
import Vault

/// Dates of background refreshes.
enum DueDate {
  /// When the tokens of `connection` are to be refreshed; nil for never.
  /// - Parameter isOpen: Whether an earlier answer may have been lost: then at once.
  static func next(
    connection: String, blob: TokenBlob, state: RefreshState?, isOpen: Bool, rules: RefreshRules
  ) -> UnixTime? {
    let state = state.flatMap { $0.generation == blob.generation ? $0 : nil }
    if state?.needsReauthAt != nil { return nil }
    let written = blob.updatedAt ?? UnixTime(seconds: 0)
    if isOpen { return max(written, state?.nextTryAt ?? written) }
    var due = blob.dueAt
    if let interval = rules.backgroundIntervalSeconds {
      // Up to a tenth earlier, never later.
      let spread = Int64(hash(connection) % UInt64(max(interval / 10, 1)))
      let keepAlive = written.advanced(bySeconds: Int64(interval) - spread)
      due = due.map { min($0, keepAlive) } ?? keepAlive
    }
    guard let due else { return nil }
    return max(due, state?.nextTryAt ?? due)
  }

  private static func hash(_ text: String) -> UInt64 {
    text.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
  }
}
