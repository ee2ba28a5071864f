// Looks through all connections by OAuth for those that will end, counts them, and has their owners
// told by mail. The mail is queued first and the mark written then: a crash between the two is made
// up for by the queue, which takes one mail per occasion.

import Accounts
import Clocks
import Database
import Logging
import Metrics
import Providers
import RPC
import Vault

/// The windows in which connections are counted as dying.
enum DyingWindow: Int, MetricLabel {
  case day, week

  var label: StaticString { self == .day ? "24h" : "7d" }
  var seconds: Int64 { self == .day ? Forecast.day : 7 * Forecast.day }
}

/// Forecasts for all connections.
final class Forecaster: Sendable {
  private static let pageMax = 256

  private let bindery: DatabaseThread
  private let tokens: DatabaseThread
  private let mailer: Mailer
  private let catalogue: @Sendable () -> Catalogue
  private let dying: Family<Gauge, DyingWindow>
  private let needingConsent: Gauge
  private let log: Log

  init(
    bindery: DatabaseThread, tokens: DatabaseThread, mailer: Mailer,
    catalogue: @escaping @Sendable () -> Catalogue, metrics: MetricRegistry, log: Log
  ) {
    self.bindery = bindery
    self.tokens = tokens
    self.mailer = mailer
    self.catalogue = catalogue
    self.log = log
    dying = metrics.gauges(
      "bindery_scheduler_connections_dying", "Connections whose refresh token ends within a time.",
      label: "window", by: DyingWindow.self)
    needingConsent = metrics.gauge(
      "bindery_scheduler_connections_needing_consent",
      "Connections that only their owner's consent can mend.")
  }

  /// Looks at every connection once.
  func look(at now: UnixTime) async throws(DatabaseError) -> JobReport {
    var last = ""
    var counts = (day: Int64(0), week: Int64(0), consent: Int64(0), told: Int64(0))
    while true {
      let after = last
      let page = try await bindery.run { (database) throws(DatabaseError) -> Page in
        let page = try OwnedConnection.page(after: after, limit: Self.pageMax, in: database)
        return Page(connections: page.connections, last: page.last)
      }
      guard let end = page.last else { break }
      let connections = page.connections.filter { $0.authType == .oauth }
      for (connection, prospect) in try await prospects(of: connections) {
        if Forecast.isDying(prospect, within: DyingWindow.day.seconds, at: now) { counts.day += 1 }
        if Forecast.isDying(prospect, within: DyingWindow.week.seconds, at: now) {
          counts.week += 1
        }
        if prospect.needsReauthAt != nil { counts.consent += 1 }
        guard let notice = Forecast.notice(for: prospect, at: now) else { continue }
        if try await tell(notice, of: prospect, connection, at: now) { counts.told += 1 }
      }
      last = end
    }
    dying[.day].set(counts.day)
    dying[.week].set(counts.week)
    needingConsent.set(counts.consent)
    return JobReport(counts: [
      ("dying_within_24h", counts.day), ("dying_within_7d", counts.week),
      ("needing_consent", counts.consent), ("told", counts.told),
    ])
  }

  private struct Page: Sendable {
    let connections: [OwnedConnection]
    let last: String?
  }

  private func prospects(
    of connections: [OwnedConnection]
  ) async throws(DatabaseError) -> [(OwnedConnection, Prospect)] {
    try await tokens.run { (database) throws(DatabaseError) in
      let marks = ForecastMarks(database)
      var found: [(OwnedConnection, Prospect)] = []
      for connection in connections {
        guard let tokens = try marks.prospect(of: connection.id) else { continue }
        found.append(
          (
            connection,
            Prospect(
              connection: connection.id, isManaged: connection.isManaged,
              createdAt: connection.createdAt, generation: tokens.generation,
              // What was known at the consent holds until the first refresh.
              endsAt: tokens.endsAt ?? (tokens.wasRefreshed ? nil : connection.expiresAt),
              needsReauthAt: tokens.needsReauthAt,
              warnedAt: tokens.warnedAt, remindedAt: tokens.remindedAt)
          ))
      }
      return found
    }
  }

  /// Queues the mail and marks it; false when there is nobody to write to.
  private func tell(
    _ notice: Notice, of prospect: Prospect, _ connection: OwnedConnection, at now: UnixTime
  ) async throws(DatabaseError) -> Bool {
    let mail = Self.mail(
      notice, of: prospect, connection,
      serviceName: catalogue()[connection.service]?.name ?? connection.service)
    let queued = try await mailer.queue(
      mail.kind, to: connection.email, occasion: mail.occasion, values: mail.values,
      about: connection.owner, at: now)
    if queued == .refused {
      log.warning("notice_not_written", ["connection": .idPrefix(connection.id)])
    }
    try await tokens.run { (database) throws(DatabaseError) in
      let marks = ForecastMarks(database)
      if case .yearly = notice {
        try marks.markReminded(connection.id, at: now)
      } else {
        try marks.markWarned(connection.id, at: now)
      }
    }
    return queued == .new
  }

  /// What is said of a notice.
  static func mail(
    _ notice: Notice, of prospect: Prospect, _ connection: OwnedConnection, serviceName: String
  ) -> (kind: MailKind, occasion: String, values: [String: String]) {
    var values = ["service": serviceName, "label": connection.label]
    switch notice {
    case .ending(let end, let days):
      values["date"] = MailMessage.day(end)
      return (
        prospect.isManaged ? .connectionEnding : .connectionEndingUnlessUsed,
        "ending:\(prospect.connection):\(end.seconds):\(days)", values
      )
    case .needsReauthorization:
      return (
        .reauthorizationNeeded, "consent:\(prospect.connection):\(prospect.generation)", values
      )
    case .yearly(let years):
      values["date"] = MailMessage.day(connection.createdAt)
      return (.yearlyReminder, "yearly:\(prospect.connection):\(years)", values)
    }
  }
}

extension Job {
  /// Every hour: a warning of one day must not come a day late.
  static func forecast(_ forecaster: Forecaster) -> Job {
    Job(name: .forecast, intervalSeconds: 3600) { (now) throws(JobFailure) in
      do throws(DatabaseError) { return try await forecaster.look(at: now) } catch {
        throw .database(error)
      }
    }
  }
}
