// `bindery status --user ID`: why is this account in this state? What is in force stands in the
// records, so it is told while services are down; how it came to be is billing's trail.

import Accounts
import Clocks
import Configuration
import RPC

/// How `bindery status --user` tells of one person. Pure: the time comes in.
enum PersonStatus {
  /// What billing answered; nil when it did not.
  typealias Trail = BillingTrailCall.Response

  static func text(_ report: PlanReport, _ trail: Trail?, now: UnixTime) -> String {
    ([plan(report)] + ends(report, now) + connections(report) + events(report)
      + self.trail(report, trail)).joined(separator: "\n") + "\n"
  }

  private static func plan(_ report: PlanReport) -> String {
    guard report.contact != nil else {
      return "plan       none: billing was never switched on here"
    }
    guard let plan = report.plan else {
      return "plan       free_trial, account since \(time(report.accountSince)), nothing connected"
    }
    let standing = plan.standing
    var line = "plan       \(standing.plan.rawValue), \(standing.quantity) paid for"
    if let set = plan.setAt {
      line += ", since \(time(set)) (version \(standing.version))"
    } else {
      line += ", account since \(time(report.accountSince)), billing told nothing yet"
    }
    return ([line] + plan.why.map { "           because \($0)" }).joined(separator: "\n")
  }

  private static func ends(_ report: PlanReport, _ now: UnixTime) -> [String] {
    guard let plan = report.plan, let contact = report.contact else { return [] }
    let standing = plan.standing
    var lines: [String] = []
    if let since = standing.pastDueSince { lines.append("past due   since \(time(since))") }
    if let until = standing.accessUntil { lines.append("cancelled  works until \(time(until))") }
    if let until = standing.paidUntil { lines.append("paid       until \(time(until))") }
    if let end = plan.endsAt {
      let real = contact.deferred(end)
      let verb = real <= now ? "ended" : "ends"
      lines.append("nothing    allowed: \(verb) \(time(real))")
      if real != end {
        lines.append("           put off from \(time(end)), because billing was silent then")
      }
    }
    let silence = JobLine.span(now.seconds - contact.caughtUpAt.seconds)
    return lines + ["billing    knew all that Stripe did \(silence) ago"]
  }

  private static func connections(_ report: PlanReport) -> [String] {
    let suspended = report.connections.filter { $0.status == .suspended }
    let active = report.connections.count { $0.status == .active }
    return ["connected  \(active) active, \(suspended.count) suspended"]
      + suspended.map { connection in
        let since = connection.suspendedAt.map { " since \(time($0))" } ?? ""
        return "           \(connection.id.text.prefix(8)) \(connection.service) suspended\(since)"
      }
  }

  private static func events(_ report: PlanReport) -> [String] {
    guard !report.events.isEmpty else { return [] }
    return ["in force"]
      + report.events.map { event in
        let about = event.about.map { Self.short($0) }.joined(separator: " ")
        return "  \(time(event.at)) \(event.name) \(about)"
      }
  }

  /// A connection is shown by its first characters.
  private static func short(_ about: String) -> String {
    about.hasPrefix("connection=") ? String(about.prefix(19)) : about
  }

  private static func trail(_ report: PlanReport, _ trail: Trail?) -> [String] {
    guard report.contact != nil else { return [] }
    guard let trail else { return ["trail      billing does not answer"] }
    var lines = ["trail"]
    lines += trail.entries.map { "  \(time(UnixTime(seconds: $0.at))) \($0.text)" }
    if trail.entries.isEmpty { lines.append("  Stripe told nothing of this person") }
    if let standing = trail.standing, standing.version != trail.deliveredVersion {
      lines.append("  version \(standing.version) is not in force yet")
    }
    return lines
  }

  private static func time(_ time: UnixTime) -> String {
    time.rfc3339
  }

  static func json(_ user: UserID, _ report: PlanReport, _ trail: Trail?) -> String {
    let connections = report.connections.map { connection -> JSONValue in
      .object([
        ("id", .text(connection.id.text)), ("service", .text(connection.service)),
        ("status", .text(connection.status.rawValue)),
        ("created_at", .integer(connection.createdAt.seconds)),
        ("suspended_at", maybe(connection.suspendedAt)),
      ])
    }
    let events = report.events.map { event -> JSONValue in
      .object([
        ("at", .integer(event.at.seconds)), ("event", .text(event.name)),
        ("about", .array(event.about.map { .text($0) })),
      ])
    }
    return JSONValue.object([
      ("user", .text(user.text)), ("account_since", .integer(report.accountSince.seconds)),
      ("plan", plan(report.plan)),
      ("contact", report.contact.map { contact($0) } ?? .null),
      ("connections", .array(connections)), ("events", .array(events)),
      ("billing", trail.map { json($0) } ?? .null),
    ]).text + "\n"
  }

  private static func plan(_ plan: PlanReport.InForce?) -> JSONValue {
    guard let plan else { return .null }
    let standing = plan.standing
    return .object([
      ("version", .integer(standing.version)), ("plan", .text(standing.plan.rawValue)),
      ("quantity", .integer(standing.quantity)), ("set_at", maybe(plan.setAt)),
      ("past_due_since", maybe(standing.pastDueSince)),
      ("access_until", maybe(standing.accessUntil)), ("paid_until", maybe(standing.paidUntil)),
      ("ends_at", maybe(plan.endsAt)), ("why", .array(plan.why.map { .text($0) })),
    ])
  }

  private static func contact(_ contact: BillingContact) -> JSONValue {
    .object([
      ("enabled_at", .integer(contact.enabledAt.seconds)),
      ("caught_up_at", .integer(contact.caughtUpAt.seconds)),
    ])
  }

  private static func json(_ trail: Trail) -> JSONValue {
    let entries = trail.entries.map { entry -> JSONValue in
      .object([("at", .integer(entry.at)), ("text", .text(entry.text))])
    }
    let standing = trail.standing.map { standing -> JSONValue in
      .object([
        ("version", .integer(standing.version)), ("plan", .text(standing.plan.rawValue)),
        ("quantity", .integer(standing.quantity)),
        ("why", .array(standing.why.map { .text($0) })),
      ])
    }
    return .object([
      ("standing", standing ?? .null),
      ("delivered_version", trail.deliveredVersion.map { .integer($0) } ?? .null),
      ("trail", .array(entries)),
    ])
  }

  private static func maybe(_ time: UnixTime?) -> JSONValue {
    time.map { .integer($0.seconds) } ?? .null
  }
}
