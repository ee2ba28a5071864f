// What is in the inbox of Stripe's events? A list for operators: ids, types and states, never bodies.
// Reads only; the rows are billing's.

import Clocks
import Database

/// An event of Stripe's as an operator sees it.
public struct InboxEntry: Equatable, Sendable {
  public let id: String
  public let type: String
  /// waiting, applied, ignored or parked.
  public let state: String
  public let tries: Int64
  public let receivedAt: UnixTime
  /// Of the last failure, or why it was ignored: a word of ours.
  public let reason: String?
}

/// The inbox, for reading.
public struct InboxListing {
  private static let pageMax: Int64 = 1000
  private let database: Connection

  /// The inbox of an open database.
  public init(_ database: Connection) { self.database = database }

  /// Every event, in the order of arrival; `isOpen` keeps those that wait or are parked.
  public func entries(openOnly isOpen: Bool) throws(DatabaseError) -> [InboxEntry] {
    var entries: [InboxEntry] = []
    var last: Int64 = 0
    while true {
      let page = try page(after: last, isOpen: isOpen)
      entries += page.map(\.entry)
      guard let end = page.last?.sequence else { return entries }
      last = end
    }
  }

  private func page(
    after last: Int64, isOpen: Bool
  ) throws(DatabaseError) -> [(sequence: Int64, entry: InboxEntry)] {
    try database.all(
      """
      SELECT sequence, id, type, state, tries, received_at, reason FROM stripe_inbox
      WHERE sequence > ? AND (? = 0 OR state IN ('waiting', 'parked')) ORDER BY sequence LIMIT ?
      """, .integer(last), .integer(isOpen ? 1 : 0), .integer(Self.pageMax)
    ) { (row) throws(DatabaseError) in
      (
        try row.integer(0),
        InboxEntry(
          id: try row.text(1), type: try row.text(2), state: try row.text(3),
          tries: try row.integer(4), receivedAt: UnixTime(seconds: try row.integer(5)),
          reason: try row.optionalText(6))
      )
    }
  }
}
