// `bindery status`: asks each service over its socket how it is. A service that does not answer is
// shown as such; anything but four ready services ends with status 1.

import Accounts
import Clocks
import Configuration
import Database
import EventLoop
import Glibc
import Logging
import Posix
import RPC
import ServiceRuntime

/// Shows how the services are.
enum StatusCommand: Command {
  static let name = "status"
  static let summary = "Ask every service how it is"
  static let manual = """
    bindery status [--json]
    bindery status --user ID [--json]

    Asks the four services over their sockets in BINDERY_RUN_DIR. Ends with 0 when all are ready,
    with 1 when one is not or is degraded. Run it as the services' user, or as a member of their
    group.
    Behind the state stand the counters that are not zero, summed over their labels; /metrics of
    the ops port has them all.
    Below auth stand the master keys that it holds, by fingerprint, and the rows under each; a key
    that rows need and that is missing is shown, and so is a rotation.
    Below the scheduler stand its jobs: how the last run ended, when the next is, what it counted.
    --json prints an array of {service, answer: null | {version, uptime_seconds, ready, state,
    peers, counters, jobs: null | [{name, running, outcome, finished_at, succeeded_at, next_at,
    counts}], degraded: {what: why}, keys: null | {fingerprints, rows: [{column, fingerprint,
    count}], rotation}}}.

    With --user: why a person's account is in the state it is in. What is in force is read from
    BINDERY_DATA_DIR, so it is told while services are down: the plan, since when and why, what
    the clock will end, the connections that are suspended, and what the audit log has of it. Then
    comes the trail of billing: what it heard of Stripe. ID is the person's id, as in GET /api/me.
    Ends with 1 when there is no such person, or when billing has to be asked and does not answer.
    --json then prints {user, account_since, plan: null | {version, plan, quantity, set_at,
    past_due_since, access_until, paid_until, ends_at, why}, contact: null | {enabled_at,
    caught_up_at}, connections: [{id, service, status, created_at, suspended_at}], events: [{at,
    event, about}], billing: null | {standing, delivered_version, trail: [{at, text}]}}. Times are
    Unix seconds.
    """

  private typealias Answer = (
    service: Service, status: StatusCall.Response?, keys: KeyReport?
  )

  static func run(
    _ arguments: inout Arguments, _ console: Console
  ) throws(CommandFailure) -> ExitStatus {
    let isJSON = arguments.flag("--json")
    let person = try arguments.option("--user")
    try arguments.finish()
    let user = person.flatMap { UserID($0) }
    guard person == nil || user != nil else { throw .usage("this is no id of a person") }
    let settings = try OperatorSettings.read(.take())
    if let user { return try tell(of: user, settings.common, isJSON: isJSON, console) }
    let answers = try ask(settings.common)
    console.write(isJSON ? json(answers) : text(answers))
    let isGood = answers.allSatisfy { answer in
      answer.status.map { $0.ready && ($0.degraded ?? [:]).isEmpty } ?? false
    }
    return isGood ? .good : .finding
  }

  private static func tell(
    of user: UserID, _ common: CommonSettings, isJSON: Bool, _ console: Console
  ) throws(CommandFailure) -> ExitStatus {
    let report: PlanReport
    do throws(AccountError) {
      report = try PlanReport(of: user, in: Records.open(.bindery, in: common.dataDirectory))
    } catch { throw Records.failure(error) }
    let trail = try onLoop { (loop) -> PersonStatus.Trail? in
      let billing = client(of: .billing, common, loop)
      let answer = try? await billing.call(
        BillingTrailCall.self, BillingTrailCall.Request(userID: user.text))
      await billing.stop()
      return answer
    }
    console.write(
      isJSON
        ? PersonStatus.json(user, report, trail) : PersonStatus.text(report, trail, now: .now))
    return report.contact == nil || trail != nil ? .good : .finding
  }

  /// Runs `body` on an event loop of its own.
  private static func onLoop<Result: Sendable>(
    _ body: @escaping @Sendable (EventLoop) async -> Result
  ) throws(CommandFailure) -> Result {
    let loop: EventLoop
    do throws(Errno) { loop = try EventLoop(name: "status") } catch {
      throw .failed("no event loop (\(error.name))")
    }
    loop.start()
    defer { loop.stop() }
    return LoopWait.run(on: loop) { await body(loop) }
  }

  private static func client(
    of service: Service, _ common: CommonSettings, _ loop: EventLoop
  ) -> RPCClient {
    let directory = common.runDirectory
    var status = stat()
    let group = stat(directory, &status) == 0 ? status.st_gid : getegid()
    return RPCClient(
      to: service, as: .operator, build: Build.version.description, runDirectory: directory,
      policy: PeerPolicy(userID: geteuid(), groupID: group), loop: loop, log: .discarding)
  }

  private static func ask(_ common: CommonSettings) throws(CommandFailure) -> [Answer] {
    try onLoop { loop in
      var answers: [Answer] = []
      for service in Service.listening {
        let client = client(of: service, common, loop)
        var answer: StatusCall.Response?
        do throws(RPCError) {
          answer = try await client.call(StatusCall.self, StatusCall.Request())
        } catch {
          answer = nil
        }
        var keys: KeyReport?
        if service == .auth, answer != nil {
          keys = try? await client.call(KeysCall.self, KeysCall.Request())
        }
        await client.stop()
        answers.append((service, answer, keys))
      }
      return answers
    }
  }

  private static func text(_ answers: [Answer]) -> String {
    answers.map { service, status, keys in
      let name = service.rawValue.padded(to: 10)
      guard let status else { return "\(name) no answer\n" }
      let missing = status.peers.filter { !$0.value }.keys.sorted()
      let peers = missing.isEmpty ? "" : ", does not reach \(missing.joined(separator: ", "))"
      let state = status.ready || status.state != "ready" ? status.state : "not ready"
      return "\(name) \(state.padded(to: 9)) up \(status.uptimeSeconds) s, "
        + "version \(status.version)\(peers)\(degraded(status))\(counters(service, status))\n"
        + (keys.map(KeyLines.text) ?? "")
        + (status.jobs ?? []).map { JobLine.text($0, now: .now) }.joined()
    }.joined()
  }

  private static func degraded(_ status: StatusCall.Response) -> String {
    (status.degraded ?? [:]).sorted { $0.key < $1.key }.map { ", DEGRADED: \($0) \($1)" }.joined()
  }

  /// `, 12 requests, 1 refusals`: what is not zero, without what all names have in common.
  private static func counters(_ service: Service, _ status: StatusCall.Response) -> String {
    let prefix = "bindery_\(service.rawValue)_"
    return status.counters.filter { $0.value != 0 }.sorted { $0.key < $1.key }.map { name, value in
      let own = name.hasPrefix(prefix) ? name.dropFirst(prefix.count) : name[...]
      let words = own.split(separator: "_").filter { $0 != "total" }
      return ", \(value) \(words.joined(separator: " "))"
    }.joined()
  }

  private static func json(_ answers: [Answer]) -> String {
    let items = answers.map { service, status, keys -> JSONValue in
      var item: [(String, JSONValue)] = [("service", .text(service.rawValue))]
      item.append(
        (
          "answer",
          status.map { status in
            .object([
              ("version", .text(status.version)),
              ("uptime_seconds", .integer(status.uptimeSeconds)), ("ready", .flag(status.ready)),
              ("state", .text(status.state)),
              ("peers", .object(status.peers.sorted { $0.key < $1.key }.map { ($0, .flag($1)) })),
              (
                "counters",
                .object(status.counters.sorted { $0.key < $1.key }.map { ($0, .integer($1)) })
              ), ("jobs", status.jobs.map { .array($0.map(JobLine.json)) } ?? .null),
              (
                "degraded",
                .object(
                  (status.degraded ?? [:]).sorted { $0.key < $1.key }.map { ($0, .text($1)) })
              ), ("keys", keys.map(KeyLines.json) ?? .null),
            ])
          } ?? .null
        ))
      return .object(item)
    }
    return JSONValue.array(items).text + "\n"
  }
}

extension String {
  /// The text with blanks behind it up to `width`.
  func padded(to width: Int) -> String {
    self + String(repeating: " ", count: max(0, width - utf8.count))
  }
}
