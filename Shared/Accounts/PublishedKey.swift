// Since when does auth sign with a key? It publishes a key in the moment before it signs with it, and
// with no older one from then on: an hour later nothing holds that an older one signed.

import Clocks
import Database

/// A signing key whose public half is out.
public struct PublishedKey: Sendable, Equatable {
  public let keyID: String
  public let addedAt: UnixTime

  /// The key called `keyID`, out since `addedAt`.
  public init(keyID: String, addedAt: UnixTime) {
    self.keyID = keyID
    self.addedAt = addedAt
  }

  /// All of them.
  public static func all(in connection: Connection) throws(AccountError) -> [PublishedKey] {
    try connection.every("SELECT key_id, added_at FROM signing_keys", []) {
      (row) throws(AccountError) in
      PublishedKey(
        keyID: try RowReading.text(row, 0),
        addedAt: UnixTime(seconds: try RowReading.integer(row, 1)))
    }
  }
}
