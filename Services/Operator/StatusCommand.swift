// `bindery status`: asks each service over its socket how it is. A service that does not answer is
// shown as such; anything but four ready services ends with status 1.

import Configuration
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
    """

  private typealias Answer = (
    service: Service, status: StatusCall.Response?, keys: KeyReport?
  )

  static func run(
    _ arguments: inout Arguments, _ console: Console
  ) throws(CommandFailure) -> ExitStatus {
    let isJSON = arguments.flag("--json")
    try arguments.finish()
    let settings = try OperatorSettings.read(.take())
    let answers = try ask(settings.common)
    console.write(isJSON ? json(answers) : text(answers))
    let isGood = answers.allSatisfy { answer in
      answer.status.map { $0.ready && ($0.degraded ?? [:]).isEmpty } ?? false
    }
    return isGood ? .good : .finding
  }

  private static func ask(_ common: CommonSettings) throws(CommandFailure) -> [Answer] {
    let loop: EventLoop
    do throws(Errno) { loop = try EventLoop(name: "status") } catch {
      throw .failed("no event loop (\(error.name))")
    }
    loop.start()
    defer { loop.stop() }
    let directory = common.runDirectory
    return LoopWait.run(on: loop) {
      var status = stat()
      let group = stat(directory, &status) == 0 ? status.st_gid : getegid()
      var answers: [Answer] = []
      for service in Service.listening {
        let client = RPCClient(
          to: service, as: .operator, build: Build.version.description, runDirectory: directory,
          policy: PeerPolicy(userID: geteuid(), groupID: group), loop: loop, log: .discarding)
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
