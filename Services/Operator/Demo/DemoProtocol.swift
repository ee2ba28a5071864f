// The demo server's MCP, in both eras on one address: stateless requests that name their version
// (2026-07-28), and sessions opened by `initialize` (2025-11-25 and before). Decides what a message
// is answered with and keeps the list of sessions; bytes and sockets are DemoServer's.

import Bytes
import Clocks

/// The two eras of MCP behind one address.
final class DemoProtocol {
  static let modernVersion = "2026-07-28"
  static let sessionVersions = ["2025-11-25", "2025-06-18", "2025-03-26"]
  static let sessionsMax = 1000

  /// Open sessions, oldest first, each with the requests that its client cancelled.
  private var sessions: [(id: String, cancelled: [JSONValue])] = []

  /// The answer to a message at `now`.
  func reply(to message: DemoMessage, now: UnixTime) -> DemoReply {
    guard case .object? = message.body, message.body?["jsonrpc"] == .text("2.0") else {
      let isJSON = message.body != nil
      return .message(
        status: 400,
        DemoReply.error(
          isJSON ? -32600 : -32700, isJSON ? "not one JSON-RPC message" : "no JSON", id: nil))
    }
    let isModern =
      message.bodyMethod != "initialize"
      && (message.metaVersion != nil || message.protocolVersion == Self.modernVersion)
    return isModern ? modern(message, now) : legacy(message, now)
  }

  /// Whether the session exists.
  func hasSession(_ id: String) -> Bool { sessions.contains { $0.id == id } }

  /// Ends a session; false when there is none.
  func endSession(_ id: String) -> Bool {
    guard let place = sessions.firstIndex(where: { $0.id == id }) else { return false }
    sessions.remove(at: place)
    return true
  }

  /// Whether the client of a session cancelled the request, or ended the session.
  func isCancelled(_ call: DemoReply.SlowCall) -> Bool {
    guard let id = call.session else { return false }
    guard let session = sessions.first(where: { $0.id == id }) else { return true }
    return session.cancelled.contains(call.id)
  }

  // MARK: 2026-07-28

  private func modern(_ message: DemoMessage, _ now: UnixTime) -> DemoReply {
    guard let method = message.bodyMethod else {
      return .message(status: 400, DemoReply.error(-32600, "not a request", id: nil))
    }
    guard let id = message.id else { return .accepted }
    func refuse(_ code: Int64, _ text: String, status: Int = 400, data: JSONValue? = nil)
      -> DemoReply
    {
      .message(status: status, DemoReply.error(code, text, id: id, data: data))
    }
    guard let version = message.metaVersion,
      message.meta?["io.modelcontextprotocol/clientCapabilities"] != nil
    else { return refuse(-32602, "_meta lacks the protocol version or the capabilities") }
    guard version == message.protocolVersion else {
      return refuse(-32020, "MCP-Protocol-Version and _meta differ")
    }
    guard version == Self.modernVersion else {
      let supported = [Self.modernVersion] + Self.sessionVersions
      return refuse(
        -32022, "unsupported protocol version",
        data: .object([
          ("supported", .array(supported.map { .text($0) })), ("requested", .text(version)),
        ]))
    }
    guard message.method == method else { return refuse(-32020, "Mcp-Method and method differ") }
    let cache: [(String, JSONValue)] = [
      ("ttlMs", .integer(60_000)), ("cacheScope", .text("private")),
      ("resultType", .text("complete")),
    ]
    switch method {
    case "server/discover":
      return .message(
        status: 200,
        DemoReply.result(
          [
            (
              "supportedVersions",
              .array(([Self.modernVersion] + Self.sessionVersions).map { .text($0) })
            ), ("capabilities", capabilities), ("serverInfo", serverInfo),
            ("instructions", .text(Self.instructions)),
          ] + cache, id: id))
    case "tools/list":
      return .message(status: 200, DemoReply.result([("tools", tools)] + cache, id: id))
    case "tools/call":
      guard let name = message.parameters?["name"]?.string, name == message.name else {
        return refuse(-32020, "Mcp-Name and the tool's name differ")
      }
      return call(message, id: id, isModern: true, now)
    default: return refuse(-32601, "unknown method", status: 404)
    }
  }

  // MARK: 2025-11-25 and before

  private func legacy(_ message: DemoMessage, _ now: UnixTime) -> DemoReply {
    if message.bodyMethod == "initialize", let id = message.id { return open(message, id: id) }
    guard let session = message.session else {
      return .message(status: 400, DemoReply.error(-32600, "no session", id: message.id))
    }
    guard let place = sessions.firstIndex(where: { $0.id == session }) else {
      return .message(status: 404, DemoReply.error(-32600, "unknown session", id: message.id))
    }
    if let version = message.protocolVersion, !Self.sessionVersions.contains(version) {
      return .message(
        status: 400, DemoReply.error(-32600, "unsupported protocol version", id: message.id))
    }
    guard let id = message.id, let method = message.bodyMethod else {
      if message.bodyMethod == "notifications/cancelled",
        let cancelled = message.parameters?["requestId"], sessions[place].cancelled.count < 100
      {
        sessions[place].cancelled.append(cancelled)
      }
      return .accepted
    }
    switch method {
    case "ping": return .message(status: 200, DemoReply.result([], id: id))
    case "tools/list":
      return .message(status: 200, DemoReply.result([("tools", tools)], id: id))
    case "tools/call": return call(message, id: id, isModern: false, now)
    default: return .message(status: 200, DemoReply.error(-32601, "unknown method", id: id))
    }
  }

  private func open(_ message: DemoMessage, id: JSONValue) -> DemoReply {
    let session = Base64URL.encode(Randomness.bytes(count: 16))
    if sessions.count >= Self.sessionsMax { sessions.removeFirst() }
    sessions.append((session, []))
    let asked = message.parameters?["protocolVersion"]?.string ?? ""
    let version = Self.sessionVersions.contains(asked) ? asked : Self.sessionVersions[0]
    return .opened(
      session: session,
      DemoReply.result(
        [
          ("protocolVersion", .text(version)), ("capabilities", capabilities),
          ("serverInfo", serverInfo), ("instructions", .text(Self.instructions)),
        ], id: id))
  }

  // MARK: Both

  private static let instructions = "A server to try Bindery with: echo, clock and slow."
  private var capabilities: JSONValue { .object([("tools", .object([]))]) }
  private var serverInfo: JSONValue {
    .object([("name", .text("bindery-demo")), ("version", .text("1"))])
  }
  private var tools: JSONValue { .array(DemoTool.allCases.map(\.declaration)) }

  private func call(
    _ message: DemoMessage, id: JSONValue, isModern: Bool, _ now: UnixTime
  ) -> DemoReply {
    guard let tool = message.parameters?["name"]?.string.flatMap({ DemoTool(rawValue: $0) }) else {
      let status = isModern ? 400 : 200
      return .message(status: status, DemoReply.error(-32602, "unknown tool", id: id))
    }
    switch tool.outcome(message.parameters?["arguments"], now: now) {
    case .text(let text):
      return .message(status: 200, DemoReply.toolResult(text, id: id, isModern: isModern))
    case .refused(let reason):
      return .message(
        status: 200, DemoReply.toolResult(reason, id: id, isModern: isModern, isError: true))
    case .steps(let steps):
      return .slow(
        DemoReply.SlowCall(
          id: id, progressToken: message.meta?["progressToken"], steps: steps, isModern: isModern,
          session: isModern ? nil : message.session))
    }
  }
}
