// Answers that the edge gives itself. The request's body is read to its end when it is small, so
// that the answer can name the JSON-RPC id and the connection can go on; otherwise it closes.

import Bytes
import HTTPCodec
import HTTPServer
import StrictJSON

extension EdgeHandler {
  /// Answers a refusal. True when the connection may carry another request.
  func answer(
    _ refusal: Refusal, form: CredentialForm, service: UpstreamService?, keptBody: [UInt8]? = nil,
    to connection: ServerConnection
  ) async -> Bool {
    metrics.refused(refusal)
    var body = keptBody
    let keepAlive = connection.head.keepAlive
    let isHead = connection.head.method == .head
    let waits = connection.headBytes > 0 && connection.head.expectsContinue
    let reader = reader(of: connection)
    if connection.headBytes > 0 { connection.consumeHead() }
    if body == nil && !waits { body = try? await connection.collectBody() }
    let persists = keepAlive && connection.mayContinue && !Self.closes(refusal)
    let id = refusal.code == nil ? nil : body.flatMap { $0.withUnsafeBytes { JSONRPCPeek($0).id } }
    writeAnswer(
      refusal, form: form, service: service, id: id, persists: persists, isHead: isHead,
      reader: reader, to: connection)
    return await connection.flush() && persists
  }

  /// The dashboard's page that asked for one of auth's routes.
  private func reader(of connection: ServerConnection) -> Int? {
    guard connection.headBytes > 0 else { return nil }
    let bytes = connection.input.readable
    guard case .auth = Route(path: connection.head.rawPath(in: bytes)) else { return nil }
    return world.reader(of: connection.head, in: bytes)
  }

  private static func closes(_ refusal: Refusal) -> Bool {
    if case .malformed = refusal { true } else { false }
  }

  /// Writes the answer into the connection's output.
  func writeAnswer(
    _ refusal: Refusal, form: CredentialForm, service: UpstreamService?, id: [UInt8]?,
    persists: Bool, isHead: Bool = false, reader: Int? = nil, to connection: ServerConnection
  ) {
    let body = Buffer(pool: loop.buffers)
    if let code = refusal.code {
      writeRPCError(refusal, code: code, id: id, to: body)
    } else {
      writePlainError(refusal, to: body)
    }
    let output = connection.output
    output.append(statusLine: refusal.status(form))
    output.append("content-type: application/json\r\ncache-control: no-store\r\n")
    switch refusal {
    case .credentialMissing, .credentialRefused, .needsReauthorization:
      if refusal.status(form) == 401 { writeChallenge(refusal, service, to: output) }
    case .dependencyDown: output.append("retry-after: 2\r\n")
    case .rateLimited(let seconds), .refreshLater(let seconds):
      output.append(field: "retry-after", decimal: UInt64(max(seconds, 1)))
    case .methodNotAllowed: output.append("allow: GET, POST, DELETE\r\n")
    default: break
    }
    if let reader { world.writeReader(reader, to: output) }
    output.append(field: "content-length", decimal: UInt64(body.count))
    output.append("x-content-type-options: nosniff\r\n")
    output.append(persists ? "\r\n" : "connection: close\r\n\r\n")
    if !isHead { output.append(body.readable) }
  }

  private func writeChallenge(
    _ refusal: Refusal, _ service: UpstreamService?, to output: Buffer
  ) {
    output.append("www-authenticate: Bearer ")
    if refusal != .credentialMissing { output.append("error=\"invalid_token\", ") }
    output.append("resource_metadata=\"")
    output.append(world.publicURL)
    output.append("/.well-known/oauth-protected-resource")
    if let service {
      output.append("/mcp/")
      output.append(service.id)
    }
    output.append("\", scope=\"mcp\"\r\n")
  }

  private func writeRPCError(_ refusal: Refusal, code: Int, id: [UInt8]?, to body: Buffer) {
    body.append("{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-")
    body.append(decimal: UInt64(code.magnitude))
    body.append(",\"message\":\"")
    body.append(refusal.message)
    body.append("\"")
    if let name = Self.dashboardLink(refusal) {
      body.append(",\"data\":{\"")
      body.append(name)
      body.append("\":\"")
      body.append(world.dashboardURL)
      body.append("\"}")
    }
    body.append("},\"id\":")
    if let id { body.append(id) } else { body.append("null") }
    body.append("}")
  }

  /// Under which name the dashboard's address is told; nil where it would not help.
  private static func dashboardLink(_ refusal: Refusal) -> StaticString? {
    switch refusal {
    case .needsReauthorization: "reauthorize_url"
    case .connectionSuspended, .planEnded: "dashboard_url"
    default: nil
    }
  }

  private func writePlainError(_ refusal: Refusal, to body: Buffer) {
    let text = UnsafeRawBufferPointer(
      start: refusal.message.utf8Start, count: refusal.message.utf8CodeUnitCount)
    let colon = text.firstIndex(of: UInt8(ascii: ":")) ?? 0
    body.append("{\"error\":\"")
    body.append(UnsafeRawBufferPointer(rebasing: text[..<colon]))
    body.append("\",\"message\":\"")
    body.append(UnsafeRawBufferPointer(rebasing: text[min(colon + 1, text.count)...]))
    body.append("\"}")
  }
}
