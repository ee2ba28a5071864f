// When is a managed connection refreshed without anybody asking? Pure: what is stored and the rules
// of the service come in. Before its access token ends, and often enough that an idle grant does not
// die of age; spread by the connection's own id, so that a thousand made together do not come
// together.

import Clocks
import Providers
import Vault

/// Dates of background refreshes.
enum DueDate {
  /// When the tokens of `connection` are to be refreshed: at once when an earlier answer may have
  /// been lost; nil for never.
  static func next(
    connection: String, _ standing: TokenStanding, rules: RefreshRules
  ) -> UnixTime? {
    if standing.needsReauth { return nil }
    let written = standing.writtenAt
    if standing.isOpen { return max(written, standing.nextTryAt ?? written) }
    var due = TokenBlob.dueAt(standing.expiresAt, writtenAt: written)
    if let interval = rules.backgroundIntervalSeconds {
      // Up to a tenth earlier, never later.
      let spread = Int64(hash(connection) % UInt64(max(interval / 10, 1)))
      let keepAlive = written.advanced(bySeconds: Int64(interval) - spread)
      due = due.map { min($0, keepAlive) } ?? keepAlive
    }
    guard let due else { return nil }
    return max(due, standing.nextTryAt ?? due)
  }

  private static func hash(_ text: String) -> UInt64 {
    text.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
  }
}
