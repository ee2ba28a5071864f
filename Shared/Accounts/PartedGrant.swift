// What is left of a client's grant whose zero-knowledge connection was revoked before its provider could
// be told: it opens with the client's refresh token, for telling the provider and nothing else.

import Clocks
import Database
import Vault

/// The end of a grant that opens nothing any more but the way to tell the provider.
public struct PartedGrant: Sendable, Equatable {
  public let grantID: GrantID
  public let connectionID: ConnectionID
  public let ownerID: UserID
  /// What finds the refresh token that opens the wrap.
  public let current: Digest256
  /// The data key, sealed under the refresh token's second half.
  public let wrap: [UInt8]
}

extension Connection {
  /// Keeps what the clients of a connection can tell its provider with; gives how many can.
  func partGrants(of connection: ConnectionID, now: UnixTime) throws(AccountError) -> Int {
    try change(
      """
      INSERT INTO parted_grants (family_hash, refresh_hash, connection_id, user_id, grant_id, wrap)
      SELECT family_hash, refresh_hash, connection_id, user_id, id, refresh_wrap FROM oauth_grants
      WHERE connection_id = ? AND refresh_wrap IS NOT NULL AND expires_at > ?
      """, [.text(connection.text), .integer(now.seconds)])
  }
}
