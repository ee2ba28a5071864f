// Whether the tool's small parts do what their manuals say: arguments, delays, JSON, the demo's
// protocol in both eras and its texts.

import Clocks
import Posix
import Providers
import Testing

@testable import bindery

@Suite("The tool") struct CommandTests {
  @Test("every command explains itself and refuses what it does not know")
  func help() {
    #expect(Set(Commands.all.map { $0.name }).count == Commands.all.count)
    for command in Commands.all {
      #expect(command.manual.contains("bindery \(command.name)"))
      #expect(command.manual.split(separator: "\n").allSatisfy { $0.utf8.count <= 100 })
      #expect(Commands.run([command.name, "--nonsense"]) == 2)
    }
    #expect(Commands.run(["nonsense"]) == 2)
    #expect(Commands.run(["generate-key", "--json", "--file", "/dev/null/x"]) == 2)
    #expect(Commands.run(["generate-key", "--file", "/dev/null/x"]) == 1)
  }

  @Test("arguments are taken out piece by piece")
  func arguments() throws {
    var arguments = Arguments(["--json", "--file", "a", "--name=b", "rest"])
    #expect(arguments.flag("--json") && !arguments.flag("--json"))
    #expect(try arguments.option("--file") == "a")
    #expect(try arguments.option("--name") == "b")
    #expect(try arguments.option("--none") == nil)
    #expect(throws: CommandFailure.self) { try arguments.finish() }
    var missing = Arguments(["--file"])
    #expect(throws: CommandFailure.self) { try missing.option("--file") }
  }

  @Test("restarts wait longer each time, and from the beginning after a calm minute")
  func delays() {
    var delay = RestartDelay()
    #expect(delay.delay(after: .zero) == .milliseconds(200))
    #expect(delay.delay(after: .seconds(1)) == .milliseconds(400))
    for _ in 0..<10 { _ = delay.delay(after: .zero) }
    #expect(delay.delay(after: .zero) == .seconds(30))
    #expect(delay.delay(after: .seconds(60)) == .milliseconds(200))
  }

  @Test("JSON comes out as it went in, and nothing in a text can end it early")
  func json() {
    let odd = "a\"b\\c\u{1}\n\u{2028}é"
    let value = JSONValue.object([
      ("b", .text(odd)), ("a", .array([.null, .integer(-5), .flag(true)])),
    ])
    #expect(value.text.hasPrefix(#"{"b":"a\"b\\c\u0001\n"#))
    #expect(JSONValue(parsing: Array(value.text.utf8)) == value)
    #expect(JSONValue(parsing: Array(#"{"a":1,"a":2}"#.utf8)) == nil)
    #expect(JSONValue(parsing: Array("{} x".utf8)) == nil)
  }
}

@Suite("The demo") struct DemoTests {
  private let server = DemoProtocol()
  private let now = UnixTime(seconds: 1_795_238_580)

  private func modern(
    _ method: String, _ parameters: String = "", version: String = "2026-07-28",
    header: String? = nil, name: String? = nil, methodField: String? = nil
  ) -> DemoReply {
    let meta =
      #""_meta":{"io.modelcontextprotocol/protocolVersion":"\#(version)","#
      + #""io.modelcontextprotocol/clientCapabilities":{}}"#
    let body = #"{"jsonrpc":"2.0","id":7,"method":"\#(method)","params":{\#(parameters)\#(meta)}}"#
    return server.reply(
      to: DemoMessage(
        body: JSONValue(parsing: Array(body.utf8)), protocolVersion: header ?? version,
        method: methodField ?? method, name: name, session: nil), now: now)
  }

  private func legacy(_ body: String, session: String?, version: String? = nil) -> DemoReply {
    server.reply(
      to: DemoMessage(
        body: JSONValue(parsing: Array(body.utf8)), protocolVersion: version, method: nil,
        name: nil, session: session), now: now)
  }

  private func code(_ reply: DemoReply) -> (Int, Int64)? {
    guard case .message(let status, let value) = reply,
      case .integer(let code)? = value["error"]?["code"]
    else { return nil }
    return (status, code)
  }

  @Test("answers stateless requests and holds headers against the body")
  func stateless() {
    guard case .message(200, let found) = modern("server/discover") else {
      Issue.record("no discovery")
      return
    }
    #expect(found["result"]?["resultType"] == .text("complete"))
    #expect(found["result"]?["ttlMs"] == .integer(60_000))
    guard
      case .message(200, let echo) = modern(
        "tools/call", #""name":"echo","arguments":{"text":"hi"},"#, name: "echo")
    else {
      Issue.record("no echo")
      return
    }
    #expect(echo["id"] == .integer(7) && echo.text.contains(#""text":"hi""#))
    let rows: [(DemoReply, (Int, Int64))] = [
      (modern("tools/list", header: "2025-11-25"), (400, -32020)),
      (modern("tools/list", version: "2030-01-01"), (400, -32022)),
      (modern("tools/list", methodField: "tools/call"), (400, -32020)),
      (modern("tools/call", #""name":"echo","#, name: "clock"), (400, -32020)),
      (modern("tools/call", #""name":"nosuch","#, name: "nosuch"), (400, -32602)),
      (modern("ping"), (404, -32601)),
    ]
    for (reply, expected) in rows { #expect(code(reply) ?? (0, 0) == expected) }
    guard
      case .slow(let call) = modern(
        "tools/call", #""name":"slow","arguments":{"steps":2},"#, name: "slow")
    else {
      Issue.record("not slow")
      return
    }
    #expect(call.steps == 2 && call.isModern && call.progress(1) == nil)
  }

  @Test("opens sessions for the earlier era and keeps to them")
  func sessions() {
    let hello =
      #"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#
    guard case .opened(let session, let value) = legacy(hello, session: nil) else {
      Issue.record("no session")
      return
    }
    #expect(value["result"]?["protocolVersion"] == .text("2025-11-25"))
    let list = #"{"jsonrpc":"2.0","id":"x","method":"tools/list"}"#
    #expect(code(legacy(list, session: nil)) ?? (0, 0) == (400, -32600))
    #expect(code(legacy(list, session: "other")) ?? (0, 0) == (404, -32600))
    #expect(code(legacy(list, session: session, version: "1999-01-01")) ?? (0, 0) == (400, -32600))
    guard case .message(200, let tools) = legacy(list, session: session) else {
      Issue.record("no tools")
      return
    }
    #expect(tools["result"]?["resultType"] == nil && tools["id"] == .text("x"))
    let note = #"{"jsonrpc":"2.0","method":"notifications/initialized"}"#
    #expect(legacy(note, session: session) == .accepted)
    let call =
      #"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"slow","#
      + #""_meta":{"progressToken":"t"}}}"#
    guard case .slow(let slow) = legacy(call, session: session) else {
      Issue.record("not slow")
      return
    }
    #expect(slow.progress(1)?["params"]?["progressToken"] == .text("t"))
    #expect(!server.isCancelled(slow))
    _ = legacy(
      #"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3}}"#,
      session: session)
    #expect(server.isCancelled(slow))
    #expect(server.endSession(session) && !server.endSession(session))
    for body in ["[]", "7", "", #"{"id":1}"#] {
      #expect(code(legacy(body, session: nil))?.0 == 400)
    }
  }

  @Test("tells the time and refuses wrong arguments")
  func tools() {
    #expect(DemoTool.clock.outcome(nil, now: now) == .text("2026-11-21T05:23:00Z"))
    #expect(DemoTool.timeText(UnixTime(seconds: 951_782_400)) == "2000-02-29T00:00:00Z")
    #expect(DemoTool.echo.outcome(nil, now: now) == .refused("text is missing"))
    #expect(DemoTool.slow.outcome(nil, now: now) == .steps(5))
    for steps in [JSONValue.integer(0), .integer(51), .text("3"), .number(1.5)] {
      guard case .refused = DemoTool.slow.outcome(.object([("steps", steps)]), now: now) else {
        Issue.record("accepted \(steps.text)")
        continue
      }
    }
  }

  @Test("its catalogue is one that the strict reader takes")
  func catalogue() throws {
    let address = try #require(SocketAddress("127.0.0.1:4321"))
    let catalogue = try Catalogue.builtIn.merging(
      json: Array(DemoText.catalogue(address: address).utf8))
    #expect(catalogue["demo"]?.mcpURL.description == "http://127.0.0.1:4321/mcp")
    #expect(catalogue["demo"]?.apiKey?.validation == .mcp)
    let commands = DemoText.commands(origin: "http://127.0.0.1:8080", key: "k", name: "n")
    #expect(commands.contains(#"-d '{"api_key":"k"}'"#))
  }
}
