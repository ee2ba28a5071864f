// One JSON-RPC message of an MCP client to the demo server, with the header fields that matter, and
// the answers to it. The rules of both eras are in DemoProtocol; nothing here touches a socket.

/// A POST as the protocol sees it.
struct DemoMessage {
  /// The parsed body; nil when it is no JSON.
  let body: JSONValue?
  let protocolVersion: String?
  let method: String?
  let name: String?
  let session: String?

  /// The body's `id`; nil for a notification or a response to us.
  var id: JSONValue? {
    switch body?["id"] {
    case .text(let text)?: .text(text)
    case .integer(let number)?: .integer(number)
    default: nil
    }
  }

  var bodyMethod: String? { body?["method"]?.string }
  var parameters: JSONValue? { body?["params"] }
  var meta: JSONValue? { parameters?["_meta"] }

  /// The version a stateless client writes into every request.
  var metaVersion: String? { meta?["io.modelcontextprotocol/protocolVersion"]?.string }
}

/// What the demo server answers to a POST.
enum DemoReply: Equatable {
  /// 202 without a body.
  case accepted
  /// A JSON-RPC message with an HTTP status.
  case message(status: Int, JSONValue)
  /// The result of `initialize`, with the session it opens.
  case opened(session: String, JSONValue)
  /// The slow tool: progress on the way when there is a token, the result in the end.
  case slow(SlowCall)

  /// A call of the slow tool.
  struct SlowCall: Equatable {
    let id: JSONValue
    let progressToken: JSONValue?
    let steps: Int
    let isModern: Bool
    let session: String?

    /// The notification after `done` steps; nil when nobody asked for progress.
    func progress(_ done: Int) -> JSONValue? {
      guard let progressToken else { return nil }
      return .object([
        ("jsonrpc", .text("2.0")), ("method", .text("notifications/progress")),
        (
          "params",
          .object([
            ("progressToken", progressToken), ("progress", .integer(Int64(done))),
            ("total", .integer(Int64(steps))), ("message", .text("step \(done) of \(steps)")),
          ])
        ),
      ])
    }

    /// The answer after the last step.
    var result: JSONValue {
      DemoReply.toolResult("done after \(steps) steps", id: id, isModern: isModern)
    }
  }

  static func result(_ members: [(String, JSONValue)], id: JSONValue) -> JSONValue {
    .object([("jsonrpc", .text("2.0")), ("id", id), ("result", .object(members))])
  }

  static func toolResult(
    _ text: String, id: JSONValue, isModern: Bool, isError: Bool = false
  ) -> JSONValue {
    let content = JSONValue.object([("type", .text("text")), ("text", .text(text))])
    var members: [(String, JSONValue)] = [
      ("content", .array([content])), ("isError", .flag(isError)),
    ]
    if isModern { members.append(("resultType", .text("complete"))) }
    return result(members, id: id)
  }

  static func error(
    _ code: Int64, _ message: String, id: JSONValue?, data: JSONValue? = nil
  ) -> JSONValue {
    var error: [(String, JSONValue)] = [("code", .integer(code)), ("message", .text(message))]
    if let data { error.append(("data", data)) }
    return .object([("jsonrpc", .text("2.0")), ("id", id ?? .null), ("error", .object(error))])
  }
}
