// The queue between whoever has something to say and the carrier: takes mails, sends what is due, and
// writes down at once what the carrier answered. A mail is sent at least once; a second time only if
// the process died between the carrier's answer and the note of it.

import Accounts
import Clocks
import Database
import Logging
import RPC
import Synchronization

/// The mail queue with its carrier.
final class Mailer: Sendable {
  /// Mails of one round.
  private static let roundMax: Int64 = 100
  /// After so many in a row that did not reach the carrier, it is the carrier.
  private static let unreachableMax = 3

  private let bindery: DatabaseThread
  private let carrier: any MailCarrier
  private let log: Log
  private let dashboard: String
  private let host: String
  private let resetToken: ResetTokens
  private let hurry: Mutex<@Sendable () -> Void>

  /// The token of a person's link; nil when they want none any more.
  typealias ResetTokens = @Sendable (_ user: String) async throws(RPCError) -> String?

  /// - Parameters:
  ///   - dashboard: the address that mails send people to.
  ///   - host: the installation's name.
  init(
    bindery: DatabaseThread, carrier: any MailCarrier, log: Log, dashboard: String, host: String,
    resetToken: @escaping ResetTokens
  ) {
    self.resetToken = resetToken
    self.bindery = bindery
    self.carrier = carrier
    self.log = log
    self.dashboard = dashboard
    self.host = host
    hurry = Mutex({})
  }

  /// Calls `body` whenever there is something new to send.
  func onNews(_ body: @escaping @Sendable () -> Void) { hurry.withLock { $0 = body } }

  /// What a request to queue a mail came to.
  enum Queued: Equatable {
    case new
    /// The occasion has its mail.
    case known
    /// The recipient, the occasion or the values are not what the kind takes.
    case refused
  }

  /// Queues a mail; when this returns, it is on disk.
  func queue(
    _ kind: MailKind, to recipient: String, occasion: String, values: [String: String],
    about user: String?, at now: UnixTime
  ) async throws(DatabaseError) -> Queued {
    let template = MailTemplate.of(kind)
    var values = values
    if template.gaps.contains("dashboard") { values["dashboard"] = dashboard }
    if template.gaps.contains("host") { values["host"] = host }
    let isLate = template.gaps.contains(MailTemplate.late)
    if isLate { values[MailTemplate.late] = "{\(MailTemplate.late)}" }
    guard MailRules.admits(recipient: recipient), MailRules.admits(occasion: occasion),
      user.map({ UserID($0) != nil }) ?? !isLate,
      let text = template.filled(with: values)
    else { return .refused }
    let isNew = try await bindery.run { (database) throws(DatabaseError) in
      try MailStore(database: database).add(
        kind, to: recipient, subject: text.subject, body: text.body, occasion: occasion,
        about: user, at: now)
    }
    if isNew { hurry.withLock { $0 }() }
    return isNew ? .new : .known
  }

  /// Sends what is due.
  func sendDue(at now: UnixTime) async throws(DatabaseError) -> JobReport {
    let due = try await bindery.run { (database) throws(DatabaseError) in
      try MailStore(database: database).due(at: now, limit: Self.roundMax)
    }
    var sent: Int64 = 0
    var failed: Int64 = 0
    var unreachable = 0
    let start = Instant.now
    for mail in due where unreachable < Self.unreachableMax {
      let failure = await attempt(mail, at: now)
      // A round takes its time; the clock goes on from the time that came in.
      let elapsed = start.duration(to: .now).components.seconds
      unreachable = failure == .unreachable ? unreachable + 1 : 0
      try await note(mail, failure, at: now.advanced(bySeconds: elapsed))
      if failure == nil { sent += 1 } else if failure != .outdated { failed += 1 }
    }
    let depth = try await bindery.run { (database) throws(DatabaseError) in
      let store = MailStore(database: database)
      try store.forget(before: now.advanced(bySeconds: -MailRules.keepSeconds))
      return try store.depth()
    }
    if Int64(due.count) == Self.roundMax, failed == 0 { hurry.withLock { $0 }() }
    return JobReport(
      counts: [
        ("sent", sent), ("failed", failed), ("waiting", depth.waiting), ("parked", depth.parked),
      ], hasFindings: depth.parked > 0)
  }

  private func attempt(_ mail: QueuedMail, at now: UnixTime) async -> MailFailure? {
    do throws(MailFailure) {
      try await carrier.carry(try await complete(mail), at: now)
      return nil
    } catch { return error }
  }

  /// The mail with the link that it is about.
  private func complete(_ mail: QueuedMail) async throws(MailFailure) -> QueuedMail {
    guard mail.kind == MailKind.passwordReset.rawValue else { return mail }
    let token: String?
    do throws(RPCError) { token = try await resetToken(mail.userID ?? "") } catch {
      throw .linkUnavailable
    }
    guard let token else { throw .outdated }
    var mail = mail
    mail.body = MailTemplate.complete(
      mail.body, link: "\(dashboard)/reset-password#token=\(token)")
    return mail
  }

  private func note(
    _ mail: QueuedMail, _ failure: MailFailure?, at now: UnixTime
  ) async throws(DatabaseError) {
    guard let failure else {
      try await bindery.run { (database) throws(DatabaseError) in
        try MailStore(database: database).settle(mail.id, sentAt: now)
      }
      log.info("mail_sent", ["mail": .idPrefix(mail.id)])
      return
    }
    guard failure != .outdated else {
      try await bindery.run { (database) throws(DatabaseError) in
        try MailStore(database: database).drop(mail.id)
      }
      log.info("mail_dropped", ["mail": .idPrefix(mail.id)])
      return
    }
    let next = MailRules.nextTry(createdAt: mail.createdAt, tries: mail.tries + 1, now: now)
    try await bindery.run { (database) throws(DatabaseError) in
      try MailStore(database: database).settle(mail.id, failed: failure.label, next: next)
    }
    log.warning(
      next == nil ? "mail_parked" : "mail_not_sent",
      [
        "mail": .idPrefix(mail.id), "reason": .literal(failure.label),
        "tries": .count(mail.tries + 1),
      ])
  }
}

extension Job {
  /// Every half minute, and at once when there is news.
  static func mail(_ mailer: Mailer) -> Job {
    Job(name: .mail, intervalSeconds: 30) { (now) throws(JobFailure) in
      do throws(DatabaseError) { return try await mailer.sendDue(at: now) } catch {
        throw .database(error)
      }
    }
  }
}
