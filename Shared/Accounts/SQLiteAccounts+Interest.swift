// The statement that notes who would like to see a service. How often anybody may say so is decided
// before.

import Clocks
import Database

/// Services that people wish for.
public protocol InterestStore: Sendable {
  /// Notes that somebody, perhaps signed in, wishes for `service`.
  func noteInterest(
    in service: String, by user: UserID?, now: UnixTime
  ) async throws(AccountError)
}

extension SQLiteAccounts: InterestStore {
  public func noteInterest(
    in service: String, by user: UserID?, now: UnixTime
  ) async throws(AccountError) {
    try await transaction { (database) throws(AccountError) in
      try database.change(
        "INSERT INTO interest (service, user_id, at) VALUES (?, ?, ?)",
        [.text(service), .optional(user?.text), .integer(now.seconds)])
    }
  }
}
