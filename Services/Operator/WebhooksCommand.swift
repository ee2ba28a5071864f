// `bindery webhooks`: what came of Stripe's events, and one of them once more. The list is read from
// the database; billing itself replays, because nobody else writes its rows.

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

/// Shows the inbox, and replays.
enum WebhooksCommand: Command {
  static let name = "webhooks"
  static let summary = "List Stripe's events, or take one into account again"
  static let manual = """
    bindery webhooks list [--json]
    bindery webhooks replay ID

    list shows the events that wait or were parked after eight tries, and counts the others. Ends
    with 1 when one is parked. --json prints an array of all events in the order of their arrival:
    [{id, type, state, tries, received_at, reason}], state is waiting, applied, ignored or parked,
    received_at is in Unix seconds.
    replay has billing take the event ID into account again, parked or not. What is newer than the
    event stays as it is. One older than 90 days has no body any more: then its subscription is read
    from Stripe instead.
    list reads BINDERY_DATA_DIR, replay asks billing over its socket in BINDERY_RUN_DIR.
    """

  static func run(
    _ arguments: inout Arguments, _ console: Console
  ) throws(CommandFailure) -> ExitStatus {
    let isJSON = arguments.flag("--json")
    let verb = arguments.word()
    if verb == "list" {
      try arguments.finish()
      return try list(isJSON: isJSON, console)
    }
    guard verb == "replay", !isJSON, let id = arguments.word() else {
      throw .usage("list, or replay and the id of an event, is needed")
    }
    try arguments.finish()
    return try replay(id, console)
  }

  // MARK: list

  private static func list(
    isJSON: Bool, _ console: Console
  ) throws(CommandFailure) -> ExitStatus {
    let directory = try OperatorSettings.read(.take()).common.dataDirectory
    let entries: [InboxEntry]
    do throws(AccountError) {
      let database = try Records.open(.bindery, in: directory)
      do throws(DatabaseError) {
        entries = try InboxListing(database).entries(openOnly: false)
      } catch { throw AccountError.database(error) }
    } catch { throw Records.failure(error) }
    console.write(isJSON ? json(entries) : text(entries))
    return entries.contains { $0.state == "parked" } ? .finding : .good
  }

  private static func text(_ entries: [InboxEntry]) -> String {
    var lines: [String] = []
    for entry in entries where entry.state == "waiting" || entry.state == "parked" {
      let reason = entry.reason.map { " (\($0))" } ?? ""
      lines.append(
        "\(entry.state.padded(to: 8)) \(entry.id) \(entry.type), received "
          + "\(entry.receivedAt.rfc3339), \(entry.tries) tries\(reason)\n")
    }
    let counts = ["waiting", "applied", "ignored", "parked"].map { state in
      "\(entries.count { $0.state == state }) \(state)"
    }
    return lines.joined() + counts.joined(separator: ", ") + "\n"
  }

  private static func json(_ entries: [InboxEntry]) -> String {
    let items = entries.map { entry -> JSONValue in
      .object([
        ("id", .text(entry.id)), ("type", .text(entry.type)), ("state", .text(entry.state)),
        ("tries", .integer(entry.tries)), ("received_at", .integer(entry.receivedAt.seconds)),
        ("reason", entry.reason.map { .text($0) } ?? .null),
      ])
    }
    return JSONValue.array(items).text + "\n"
  }

  // MARK: replay

  private static func replay(_ id: String, _ console: Console) throws(CommandFailure) -> ExitStatus
  {
    guard id.utf8.count <= 255 else { throw .usage("this is no id of an event") }
    let common = try OperatorSettings.read(.take()).common
    let loop: EventLoop
    do throws(Errno) { loop = try EventLoop(name: "webhooks") } catch {
      throw .failed("no event loop (\(error.name))")
    }
    loop.start()
    defer { loop.stop() }
    let directory = common.runDirectory
    let answer: Result<WebhooksReplayCall.Response, RPCError> = LoopWait.run(on: loop) {
      var status = stat()
      let group = stat(directory, &status) == 0 ? status.st_gid : getegid()
      let client = RPCClient(
        to: .billing, as: .operator, build: Build.version.description, runDirectory: directory,
        policy: PeerPolicy(userID: geteuid(), groupID: group), loop: loop, log: .discarding)
      do throws(RPCError) {
        return .success(try await client.call(WebhooksReplayCall.self, .init(id: id)))
      } catch { return .failure(error) }
    }
    guard case .success(let answer) = answer else {
      throw .failed("billing does not answer; is it running, and is BINDERY_RUN_DIR the same?")
    }
    guard answer.replayed else { throw .failed("there is no such event") }
    console.write("replayed\n")
    return .good
  }
}
