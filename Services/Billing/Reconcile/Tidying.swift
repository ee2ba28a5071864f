// What goes after a while: bodies of events, old sentences of trails, people who departed long ago.
// And what nobody told billing: accounts that are not there any more.

import Clocks
import Database
import Logging

/// Deletes what is old.
struct Tidying: Sendable {
  /// Bodies of events are kept so long.
  static let bodySeconds: Int64 = 90 * 86_400
  static let trailSeconds: Int64 = 400 * 86_400
  /// A checkout can be completed for a day, an event is delivered for three; Stripe lists it for 30.
  static let departedSeconds: Int64 = 40 * 86_400
  private static let pageMax: Int64 = 500

  let database: DatabaseThread
  let log: Log

  /// Deletes what is old at `now`.
  func run(at now: UnixTime) async throws(DatabaseError) {
    var count = Int(Self.pageMax)
    while count == Int(Self.pageMax) {
      count = try await database.run { (connection) throws(DatabaseError) in
        try connection.transaction { () throws(DatabaseError) in
          try InboxStore(database: connection).forgetBodies(
            before: now.advanced(bySeconds: -Self.bodySeconds), at: now, limit: Self.pageMax)
        }
      }
    }
    let lost = try await database.run { (connection) throws(DatabaseError) in
      try connection.transaction { () throws(DatabaseError) in
        try StandingStore(database: connection).cutTrail(
          before: now.advanced(bySeconds: -Self.trailSeconds))
        let store = BillingStore(database: connection)
        try store.forgetDeparted(before: now.advanced(bySeconds: -Self.departedSeconds))
        let lost = try store.lostPeople(limit: Self.pageMax)
        for user in lost { try store.forget(user, at: now) }
        try MarkStore(database: connection).set(.tidied, to: now.seconds)
        return lost.count
      }
    }
    if lost > 0 { log.warning("accounts_gone_unsaid", ["count": .count(lost)]) }
  }
}
