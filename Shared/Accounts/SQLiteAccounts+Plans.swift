// The statements about plans. What a person's plan allows, what they have, and the suspending that
// makes both agree are one transaction, and so is counting before a connection is added: at no moment
// are there more active connections than allowed, but for ends of the clock until their review.

import Clocks
import Database

/// A person's plan as it is in force.
public struct PlanView: Sendable, Equatable {
  public let rules: PlanRules
  /// Billing's words.
  public let why: [String]
  /// When the standing came; nil when none came yet.
  public let setAt: UnixTime?
  /// Active connections.
  public let active: Int64
  public let suspended: Int64
}

/// What a change of plan came to.
public struct PlanOutcome: Sendable, Equatable {
  /// False for a standing that is not newer than the stored one.
  public var isApplied = true
  /// Connections about which the edge must look again.
  public var touched: [ConnectionID] = []
  public var suspended = 0
  public var reactivated = 0
  /// Plans that can not be read; they are left alone until something else changes them.
  public var malformed = 0

  fileprivate mutating func add(_ other: PlanOutcome) {
    touched += other.touched
    suspended += other.suspended
    reactivated += other.reactivated
  }
}

/// Plans, for a service that knows the terms.
public protocol PlanStore: Sendable {
  /// Makes plans ready at the start of a process: first use of plans, changed settings, or none any
  /// more, when nobody stays suspended.
  func preparePlans(now: UnixTime) async throws(AccountError)
  /// Puts a standing into force, unless the stored one is as new.
  /// - Throws: `notFound` when there is no such person.
  func setPlan(
    _ standing: PlanStanding, why: [String], of user: UserID, now: UnixTime
  ) async throws(AccountError) -> PlanOutcome
  /// Notes until when billing knows all. After a silence, every plan is looked at again.
  func noteContact(caughtUpAt: UnixTime, now: UnixTime) async throws(AccountError)
  /// Applies what the clock ended, for `limit` people at most; nil when nobody is due.
  func reviewPlans(now: UnixTime, limit: Int64) async throws(AccountError) -> PlanOutcome?
  /// A person's plan, after applying what the clock ended; nil when there are no plans.
  func plan(
    of user: UserID, now: UnixTime
  ) async throws(AccountError) -> (view: PlanView, outcome: PlanOutcome)?
  /// Refuses one connection more; a look ahead, because adding one looks by itself.
  /// - Parameter replaced: one that would end.
  func checkRoom(
    of user: UserID, replacing replaced: ConnectionID?, now: UnixTime
  ) async throws(AccountError)
}

/// Deleted accounts that billing has yet to forget.
public protocol FarewellStore: Sendable {
  /// Some of them, longest deleted first.
  func farewells(limit: Int64) async throws(AccountError) -> [UserID]
  /// Billing has forgotten one.
  func endFarewell(to user: UserID) async throws(AccountError)
}

extension SQLiteAccounts: FarewellStore {
  public func farewells(limit: Int64) async throws(AccountError) -> [UserID] {
    try await snapshot { (database) throws(AccountError) in
      try database.every(
        "SELECT user_id FROM billing_farewells ORDER BY deleted_at LIMIT ?", [.integer(limit)]
      ) { (row) throws(AccountError) in try RowReading.identifier(row, 0) }
    }
  }

  public func endFarewell(to user: UserID) async throws(AccountError) {
    try await transaction { (database) throws(AccountError) in
      try database.change(
        "DELETE FROM billing_farewells WHERE user_id = ?", [.text(user.text)])
    }
  }
}

extension SQLiteAccounts: PlanStore {
  public func preparePlans(now: UnixTime) async throws(AccountError) {
    try await transaction { (database) throws(AccountError) in
      guard plans != nil else { return try database.endSuspensions(now: now) }
      try database.change(
        "INSERT OR IGNORE INTO billing_contact (id, enabled_at, caught_up_at) VALUES (1, ?1, ?1)",
        [.integer(now.seconds)])
      try database.change(
        "INSERT OR IGNORE INTO plans (user_id) SELECT DISTINCT user_id FROM connections", [])
      try database.change("UPDATE plans SET review_at = 0", [])
    }
  }

  public func setPlan(
    _ standing: PlanStanding, why: [String], of user: UserID, now: UnixTime
  ) async throws(AccountError) -> PlanOutcome {
    precondition(standing.isSound)
    return try await transaction { (database) throws(AccountError) in
      let known = try database.one("SELECT 1 FROM users WHERE id = ?", [.text(user.text)]) {
        (_) throws(AccountError) in true
      }
      guard known != nil else { throw .notFound }
      try database.makePlan(of: user)
      let changed = try database.change(
        """
        UPDATE plans SET version = ?2, plan = ?3, quantity = ?4, past_due_since = ?5,
          access_until = ?6, paid_until = ?7, why = ?8, set_at = ?9
        WHERE user_id = ?1 AND version < ?2
        """,
        [
          .text(user.text), .integer(standing.version), .text(standing.plan.rawValue),
          .integer(standing.quantity), .optional(standing.pastDueSince?.seconds),
          .optional(standing.accessUntil?.seconds), .optional(standing.paidUntil?.seconds),
          .text(why.joined(separator: "\n")), .integer(now.seconds),
        ])
      guard changed == 1 else { return PlanOutcome(isApplied: false) }
      try database.note(
        .planChanged, at: now, user: user,
        others: [
          ("plan", standing.plan.rawValue), ("quantity", String(standing.quantity)),
          ("version", String(standing.version)),
        ])
      guard let plans else { return PlanOutcome() }
      var outcome = try database.applyPlan(of: user, plans, now: now)
      outcome.touched = try database.liveConnections(of: user)
      return outcome
    }
  }

  public func noteContact(caughtUpAt: UnixTime, now: UnixTime) async throws(AccountError) {
    try await transaction { (database) throws(AccountError) in
      let time = Value.integer(min(caughtUpAt, now).seconds)
      // What was put off while billing was silent is due when it is not.
      try database.change(
        """
        UPDATE plans SET review_at = 0 WHERE review_at IS NOT NULL AND EXISTS (
          SELECT 1 FROM billing_contact WHERE caught_up_at < ?1 - ?2)
        """, [time, .integer(BillingContact.silenceSecondsMax)])
      try database.change(
        "UPDATE billing_contact SET caught_up_at = ?1 WHERE caught_up_at < ?1", [time])
    }
  }

  public func reviewPlans(
    now: UnixTime, limit: Int64
  ) async throws(AccountError) -> PlanOutcome? {
    guard let plans else { return nil }
    let due = try await snapshot { (database) throws(AccountError) in
      try database.plansDue(now: now, limit: limit)
    }
    guard !due.isEmpty else { return nil }
    return try await transaction { (database) throws(AccountError) in
      var all = PlanOutcome()
      for user in try database.plansDue(now: now, limit: limit) {
        do throws(AccountError) {
          all.add(try database.applyPlan(of: user, plans, now: now))
        } catch {
          guard error == .recordMalformed else { throw error }
          all.malformed += 1
          try database.change(
            "UPDATE plans SET review_at = NULL WHERE user_id = ?", [.text(user.text)])
        }
      }
      return all
    }
  }

  public func plan(
    of user: UserID, now: UnixTime
  ) async throws(AccountError) -> (view: PlanView, outcome: PlanOutcome)? {
    guard let plans else { return nil }
    let view = try await snapshot { (database) throws(AccountError) in
      try database.planView(of: user, plans)
    }
    let isSettled =
      view.active <= view.rules.allowed(at: now)
      && (view.suspended == 0 || view.active == view.rules.allowed(at: now))
    if isSettled { return (view, PlanOutcome()) }
    let settled = try await transaction { (database) throws(AccountError) in
      let outcome = try database.applyPlan(of: user, plans, now: now)
      return Settled(view: try database.planView(of: user, plans), outcome: outcome)
    }
    return (settled.view, settled.outcome)
  }

  private struct Settled: Sendable {
    let view: PlanView
    let outcome: PlanOutcome
  }

  public func checkRoom(
    of user: UserID, replacing replaced: ConnectionID?, now: UnixTime
  ) async throws(AccountError) {
    try await snapshot { (database) throws(AccountError) in
      let isCounted = try replaced.map { (id) throws(AccountError) in
        try database.connection(id, of: user).status == .active
      }
      guard let plans else { return }
      try database.admitConnection(of: user, plans, ending: isCounted == true ? 1 : 0, now: now)
    }
  }
}

extension Connection {
  /// Notes that billing must forget somebody, whom it may know.
  func sayFarewell(
    to user: UserID, isBillingOn: Bool, now: UnixTime
  ) throws(AccountError) {
    try change(
      """
      INSERT INTO billing_farewells (user_id, deleted_at) SELECT ?1, ?2
      WHERE ?3 OR EXISTS (SELECT 1 FROM plans WHERE user_id = ?1 AND version > 0)
      """, [.text(user.text), .integer(now.seconds), .integer(isBillingOn ? 1 : 0)])
  }

  /// Refuses one connection more than the plan allows.
  /// - Parameter ending: active connections that end with the new one's beginning.
  func admitConnection(
    of user: UserID, _ terms: PlanTerms, ending: Int64 = 0, now: UnixTime
  ) throws(AccountError) {
    let view = try planView(of: user, terms)
    guard view.active - ending < view.rules.allowed(at: now) else {
      throw .planForbids(view.rules.refusal(at: now))
    }
  }

  /// Has the plan of somebody who has just connected or disconnected something looked at once more.
  /// - Parameter isNew: whether it may be the first connection, before which there is no plan.
  func reviewPlan(of user: UserID, isNew: Bool) throws(AccountError) {
    if isNew { try makePlan(of: user) }
    try change("UPDATE plans SET review_at = 0 WHERE user_id = ?", [.text(user.text)])
  }

  fileprivate func makePlan(of user: UserID) throws(AccountError) {
    try change("INSERT OR IGNORE INTO plans (user_id) VALUES (?)", [.text(user.text)])
  }

  fileprivate func plansDue(
    now: UnixTime, limit: Int64
  ) throws(AccountError) -> [UserID] {
    try every(
      "SELECT user_id FROM plans WHERE review_at <= ? ORDER BY review_at LIMIT ?",
      [.integer(now.seconds), .integer(limit)]
    ) { (row) throws(AccountError) in try RowReading.identifier(row, 0) }
  }

  fileprivate func liveConnections(of user: UserID) throws(AccountError) -> [ConnectionID] {
    try every(
      "SELECT id FROM connections WHERE user_id = ? AND revoked_at IS NULL", [.text(user.text)]
    ) { (row) throws(AccountError) in try RowReading.identifier(row, 0) }
  }

  /// What the plan of `user` allows, and what they have.
  func planView(of user: UserID, _ terms: PlanTerms) throws(AccountError) -> PlanView {
    let view = try one(
      """
      SELECT u.created_at, b.enabled_at, b.caught_up_at, p.version, p.plan, p.quantity,
        p.past_due_since, p.access_until, p.paid_until, p.why, p.set_at,
        (SELECT count(*) FROM connections WHERE user_id = u.id AND status = 'active'),
        (SELECT count(*) FROM connections WHERE user_id = u.id AND status = 'suspended')
      FROM users AS u JOIN billing_contact AS b ON b.id = 1
      LEFT JOIN plans AS p ON p.user_id = u.id WHERE u.id = ?
      """, [.text(user.text)]
    ) { (row) throws(AccountError) in try PlanView(row, terms) }
    guard let view else { throw .notFound }
    return view
  }

  /// Makes the connections of `user` agree with the plan, and notes when the clock changes it next.
  fileprivate func applyPlan(
    of user: UserID, _ terms: PlanTerms, now: UnixTime
  ) throws(AccountError) -> PlanOutcome {
    let view = try planView(of: user, terms)
    let allowed = view.rules.allowed(at: now)
    var outcome = PlanOutcome()
    if view.active > allowed {
      let surplus = try connections(
        of: user, newestFirst: view.active - allowed)
      for id in surplus { try suspend(id, of: user, now: now) }
      outcome.suspended = surplus.count
    } else if view.suspended > 0, view.active < allowed {
      let room = try connections(of: user, suspendedOldestFirst: allowed - view.active)
      for id in room { try reactivate(id, of: user, now: now) }
      outcome.reactivated = room.count
    }
    let ends = Value.optional(view.rules.endsAt?.seconds)
    let moved = try change(
      "UPDATE plans SET ends_at = ?2 WHERE user_id = ?1 AND ends_at IS NOT ?2",
      [.text(user.text), ends])
    try change(
      "UPDATE plans SET review_at = ?2 WHERE user_id = ?1",
      [.text(user.text), .optional(view.rules.reviewAt(after: now)?.seconds)])
    if moved + outcome.suspended + outcome.reactivated > 0 {
      outcome.touched = try liveConnections(of: user)
    }
    return outcome
  }

  private func connections(
    of user: UserID, newestFirst count: Int64
  ) throws(AccountError) -> [ConnectionID] {
    try every(
      """
      SELECT id FROM connections WHERE user_id = ? AND status = 'active'
      ORDER BY created_at DESC, rowid DESC LIMIT ?
      """, [.text(user.text), .integer(count)]
    ) { (row) throws(AccountError) in try RowReading.identifier(row, 0) }
  }

  private func connections(
    of user: UserID, suspendedOldestFirst count: Int64
  ) throws(AccountError) -> [ConnectionID] {
    try every(
      """
      SELECT id FROM connections WHERE user_id = ? AND status = 'suspended'
      ORDER BY created_at, rowid LIMIT ?
      """, [.text(user.text), .integer(count)]
    ) { (row) throws(AccountError) in try RowReading.identifier(row, 0) }
  }

  private func suspend(_ id: ConnectionID, of user: UserID, now: UnixTime) throws(AccountError) {
    try change(
      "UPDATE connections SET status = 'suspended', suspended_at = ? WHERE id = ?",
      [.integer(now.seconds), .text(id.text)])
    try note(.connectionSuspended, at: now, user: user, connection: id)
  }

  private func reactivate(_ id: ConnectionID, of user: UserID, now: UnixTime) throws(AccountError) {
    try change(
      "UPDATE connections SET status = 'active', suspended_at = NULL WHERE id = ?",
      [.text(id.text)])
    try note(.connectionReactivated, at: now, user: user, connection: id)
  }

  /// Reactivates everything: there are no plans any more.
  fileprivate func endSuspensions(now: UnixTime) throws(AccountError) {
    let all = try every("SELECT id, user_id FROM connections WHERE status = 'suspended'", []) {
      (row) throws(AccountError) -> (ConnectionID, UserID) in
      (try RowReading.identifier(row, 0), try RowReading.identifier(row, 1))
    }
    for (id, user) in all { try reactivate(id, of: user, now: now) }
  }
}

extension PlanView {
  /// Thirteen columns, in the order of the statement above.
  fileprivate init(_ row: borrowing Row, _ terms: PlanTerms) throws(AccountError) {
    var standing = PlanStanding.none
    if !row.isNull(3) {
      guard let plan = Plan(rawValue: try RowReading.text(row, 4)) else { throw .recordMalformed }
      standing = PlanStanding(
        version: try RowReading.integer(row, 3), plan: plan,
        quantity: try RowReading.integer(row, 5), pastDueSince: try RowReading.time(row, 6),
        accessUntil: try RowReading.time(row, 7), paidUntil: try RowReading.time(row, 8))
      guard standing.version == 0 || standing.isSound else { throw .recordMalformed }
    }
    rules = PlanRules(
      terms: terms, standing: standing,
      contact: BillingContact(
        enabledAt: UnixTime(seconds: try RowReading.integer(row, 1)),
        caughtUpAt: UnixTime(seconds: try RowReading.integer(row, 2))),
      startedAt: UnixTime(seconds: try RowReading.integer(row, 0)))
    why = row.isNull(9) ? [] : (try RowReading.lines(row, 9) ?? [])
    setAt = try RowReading.time(row, 10)
    active = try RowReading.integer(row, 11)
    suspended = try RowReading.integer(row, 12)
  }
}
