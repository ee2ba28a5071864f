// What the records say about one person's plan, for the operator: the standing in force and since when,
// what the clock will end, the connections, and what the audit log has about both. Reads only; needs no
// service and no settings.

import Clocks
import Database

/// A person's plan as it is stored.
public struct PlanReport: Sendable, Equatable {
  /// How many entries of the log are told, the newest ones.
  public static let eventsMax: Int64 = 50

  /// The standing in force.
  public struct InForce: Sendable, Equatable {
    public let standing: PlanStanding
    /// When it came; nil when billing told nothing yet.
    public let setAt: UnixTime?
    public let why: [String]
    /// From when on nothing is allowed; nil: the clock ends nothing.
    public let endsAt: UnixTime?
  }

  /// A live connection.
  public struct Connected: Sendable, Equatable {
    public let id: ConnectionID
    public let service: String
    public let status: ConnectionStatus
    public let createdAt: UnixTime
    public let suspendedAt: UnixTime?
  }

  /// An entry of the audit log.
  public struct Event: Sendable, Equatable {
    public let at: UnixTime
    public let name: String
    /// `name=value`, each.
    public let about: [String]
  }

  public let accountSince: UnixTime
  /// Nil for somebody who connected nothing and of whom billing told nothing.
  public let plan: InForce?
  /// Nil where plans were never in force.
  public let contact: BillingContact?
  /// Oldest first.
  public let connections: [Connected]
  /// About the plan and its consequences, oldest first.
  public let events: [Event]

  /// What `database` says of `user`.
  /// - Throws: `notFound`.
  public init(of user: UserID, in database: Connection) throws(AccountError) {
    self = try database.snapshot { () throws(AccountError) in
      try PlanReport(reading: user, database)
    }
  }

  private init(reading user: UserID, _ database: Connection) throws(AccountError) {
    let id = Value.text(user.text)
    let since = try database.one("SELECT created_at FROM users WHERE id = ?", [id]) {
      (row) throws(AccountError) in UnixTime(seconds: try RowReading.integer(row, 0))
    }
    guard let since else { throw .notFound }
    accountSince = since
    plan = try database.one(
      """
      SELECT version, plan, quantity, past_due_since, access_until, paid_until, set_at, why, ends_at
      FROM plans WHERE user_id = ?
      """, [id]
    ) { (row) throws(AccountError) in try InForce(row) }
    contact = try database.one("SELECT enabled_at, caught_up_at FROM billing_contact", []) {
      (row) throws(AccountError) in
      BillingContact(
        enabledAt: UnixTime(seconds: try RowReading.integer(row, 0)),
        caughtUpAt: UnixTime(seconds: try RowReading.integer(row, 1)))
    }
    connections = try database.every(
      """
      SELECT id, service, status, created_at, suspended_at FROM connections
      WHERE user_id = ? AND revoked_at IS NULL ORDER BY created_at, rowid
      """, [id]
    ) { (row) throws(AccountError) in try Connected(row) }
    events = try database.every(
      """
      SELECT l.at, l.event, l.about FROM audit_log AS l
      JOIN audit_subjects AS s ON s.subject = l.subject
      WHERE s.user_id = ? AND l.event IN ('plan_changed', 'connection_suspended',
        'connection_reactivated')
      ORDER BY l.sequence DESC LIMIT ?
      """, [id, .integer(Self.eventsMax)]
    ) { (row) throws(AccountError) in
      Event(
        at: UnixTime(seconds: try RowReading.integer(row, 0)), name: try RowReading.text(row, 1),
        about: try RowReading.lines(row, 2) ?? [])
    }.reversed()
  }
}

extension PlanReport.InForce {
  fileprivate init(_ row: borrowing Row) throws(AccountError) {
    guard let plan = Plan(rawValue: try RowReading.text(row, 1)) else { throw .recordMalformed }
    standing = PlanStanding(
      version: try RowReading.integer(row, 0), plan: plan,
      quantity: try RowReading.integer(row, 2), pastDueSince: try RowReading.time(row, 3),
      accessUntil: try RowReading.time(row, 4), paidUntil: try RowReading.time(row, 5))
    setAt = try RowReading.time(row, 6)
    why = try RowReading.lines(row, 7) ?? []
    endsAt = try RowReading.time(row, 8)
  }
}

extension PlanReport.Connected {
  fileprivate init(_ row: borrowing Row) throws(AccountError) {
    id = try RowReading.identifier(row, 0)
    service = try RowReading.text(row, 1)
    status = try RowReading.status(row, 2)
    createdAt = UnixTime(seconds: try RowReading.integer(row, 3))
    suspendedAt = try RowReading.time(row, 4)
  }
}
