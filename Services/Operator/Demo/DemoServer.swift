// An MCP server on a loopback port that wants an API key: the upstream of `bindery demo`. This file
// is its HTTP: who may ask, how answers and event streams are written, when a stream ends. What is
// answered is DemoProtocol's.

import Bytes
import Clocks
import EventLoop
import HTTPCodec
import HTTPServer
import Posix

/// Serves the demo's MCP on one loop.
final class DemoServer: ExchangeHandler {
  private let key: [UInt8]
  private let protocols = DemoProtocol()

  init(key: [UInt8]) { self.key = key }

  /// Starts to serve on a free loopback port; gives the server, whose address has the port.
  static func start(key: [UInt8], on loop: EventLoop) async throws(Errno) -> WebServer {
    let options = ListenOptions(addresses: [.ip(IPAddress(v4: 0x7f00_0001), port: 0)])
    return try await WebServer(options, loops: [loop]) { _ in DemoServer(key: key) }
  }

  func begin(_ connection: ServerConnection) -> any Exchange {
    TaskExchange { await self.serve(connection) }
  }

  private func serve(_ connection: ServerConnection) async -> Bool {
    let head = connection.head
    let bytes = connection.input.readable
    let method = head.method
    let accept = text(.accept, connection)
    let session = text(.mcpSessionID, connection)
    let isOurs = head.originTarget(in: bytes)?.path == "/mcp"
    // A browser has no business here, whatever page it shows.
    let isBrowser = head.first(.origin) != nil
    let isLoopback = Authority(head.host(in: bytes))?.isLoopback == true
    let isKnown = isAuthorized(head.value(.authorization, in: bytes))
    let fields = (
      version: text(.mcpProtocolVersion, connection), method: text(.mcpMethod, connection),
      name: text(.mcpName, connection)
    )
    if head.expectsContinue { connection.output.append("HTTP/1.1 100 Continue\r\n\r\n") }
    connection.consumeHead()
    guard let body = try? await connection.collectBody() else { return false }
    guard isLoopback, !isBrowser else { return await answer(connection, status: 403) }
    guard isOurs else { return await answer(connection, status: 404) }
    guard isKnown else { return await answer(connection, status: 401) }
    switch method {
    case .post:
      let message = DemoMessage(
        body: JSONValue(parsing: body), protocolVersion: fields.version, method: fields.method,
        name: fields.name, session: session)
      return await post(message, on: connection, accept: accept ?? "")
    case .get:
      guard let session, accept?.contains("text/event-stream") == true else {
        return await answer(connection, status: session == nil ? 405 : 406)
      }
      guard protocols.hasSession(session) else { return await answer(connection, status: 404) }
      return await listen(connection, session)
    case .delete:
      guard let session else { return await answer(connection, status: 400) }
      return await answer(connection, status: protocols.endSession(session) ? 204 : 404)
    default: return await answer(connection, status: 405)
    }
  }

  func refuse(_ connection: ServerConnection, status: Int) async {
    _ = await answer(connection, status: status)
  }

  private func text(_ field: KnownField, _ connection: ServerConnection) -> String? {
    connection.head.value(field, in: connection.input.readable).flatMap {
      String(validating: $0, as: UTF8.self)
    }
  }

  private func isAuthorized(_ value: UnsafeRawBufferPointer?) -> Bool {
    let expected = Array("Bearer ".utf8) + key
    return value.map { given in expected.withUnsafeBytes { constantTimeEqual(given, $0) } } ?? false
  }

  // MARK: Answers

  private func post(
    _ message: DemoMessage, on connection: ServerConnection, accept: String
  ) async -> Bool {
    switch protocols.reply(to: message, now: .now) {
    case .accepted: return await answer(connection, status: 202)
    case .message(let status, let value):
      return await answer(connection, status: status, value)
    case .opened(let session, let value):
      return await answer(connection, status: 200, value, session: session)
    case .slow(let call):
      return accept.contains("text/event-stream")
        ? await stream(call, on: connection) : await wait(call, on: connection)
    }
  }

  private func answer(
    _ connection: ServerConnection, status: Int, _ value: JSONValue? = nil, session: String? = nil
  ) async -> Bool {
    let output = connection.output
    let body = value.map { Array($0.text.utf8) } ?? []
    output.append(statusLine: status)
    if status == 401 { output.append("www-authenticate: Bearer\r\n") }
    if status == 405 { output.append("allow: GET, POST, DELETE\r\n") }
    if value != nil { output.append("content-type: application/json\r\n") }
    if let session { output.append(field: "mcp-session-id", text: session) }
    if status != 204 { output.append(field: "content-length", decimal: UInt64(body.count)) }
    let persists = connection.mayContinue
    output.append("date: ")
    output.append(httpDate: UnixTime.now.seconds)
    output.append(persists ? "\r\n\r\n" : "\r\nconnection: close\r\n\r\n")
    if status != 204 { output.append(body) }
    return await connection.flush() && persists
  }

  // MARK: Streams

  private func openStream(_ connection: ServerConnection) {
    let output = connection.output
    output.append(statusLine: 200)
    output.append("content-type: text/event-stream\r\ncache-control: no-store\r\n")
    output.append("x-accel-buffering: no\r\ntransfer-encoding: chunked\r\n\r\n")
  }

  private func send(_ value: JSONValue, on connection: ServerConnection) async -> Bool {
    let event = Array("event: message\ndata: \(value.text)\n\n".utf8)
    event.withUnsafeBytes { connection.output.append(chunk: $0) }
    return await connection.flush()
  }

  private func endStream(_ connection: ServerConnection) async -> Bool {
    connection.output.appendLastChunk()
    return await connection.flush() && connection.mayContinue
  }

  private func stream(_ call: DemoReply.SlowCall, on connection: ServerConnection) async -> Bool {
    openStream(connection)
    guard await connection.flush() else { return false }
    for done in 1...call.steps {
      guard await pause(connection, for: DemoTool.step) else { return false }
      if protocols.isCancelled(call) { return await endStream(connection) }
      if let progress = call.progress(done) {
        guard await send(progress, on: connection) else { return false }
      }
    }
    return await send(call.result, on: connection) ? await endStream(connection) : false
  }

  private func wait(_ call: DemoReply.SlowCall, on connection: ServerConnection) async -> Bool {
    guard await pause(connection, for: DemoTool.step * call.steps) else { return false }
    return await answer(connection, status: 200, call.result)
  }

  /// The stream of a session: nothing to tell, but kept alive until somebody ends it.
  private func listen(_ connection: ServerConnection, _ session: String) async -> Bool {
    openStream(connection)
    var beats = 0
    while protocols.hasSession(session), !connection.isDraining {
      if beats % 60 == 0 {
        Array(": alive\n\n".utf8).withUnsafeBytes { connection.output.append(chunk: $0) }
      }
      guard await connection.flush() else { return false }
      beats += 1
      guard await pause(connection, for: .milliseconds(250)) else { return false }
    }
    return await endStream(connection)
  }

  /// Waits; false when the client left meanwhile.
  private func pause(_ connection: ServerConnection, for duration: Duration) async -> Bool {
    connection.timer.arm(after: duration)
    defer { connection.timer.disarm() }
    while !connection.timer.fired {
      if connection.isCut { return false }
      // A client that sends on while it waits is left unread beyond one buffer.
      if connection.input.count < 16_384 {
        switch connection.stream.read(into: connection.roomyInput()) {
        case .bytes: continue
        case .wouldBlock: break
        case .end, .failed: return false
        }
      }
      await connection.parker.park()
    }
    return true
  }
}
