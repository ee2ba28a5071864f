// Stands between the connection and a RequestHandler: collects the body, finds the client's
// address, writes the answer. Every refusal is a constant JSON body that echoes nothing.

import Bytes
import Clocks
import EventLoop
import HTTPCodec
import Posix

/// Serves collected requests of one loop.
public final class CollectingHandler: ExchangeHandler {
  /// Large bodies that are collected at once on this loop.
  private static let largeBodiesMax = 4

  private let handler: any RequestHandler
  private var largeBodies = 0

  /// Gives requests to `handler`.
  public init(_ handler: any RequestHandler) { self.handler = handler }

  /// Collects the request, asks the handler and writes its answer.
  public func begin(_ connection: ServerConnection) -> any Exchange {
    TaskExchange { await self.serve(connection) }
  }

  private func serve(_ connection: ServerConnection) async -> Bool {
    guard let facts = RequestFacts(connection) else {
      await refuse(connection, nil, to: connection.head.method, status: 400)
      return false
    }
    let head = connection.head
    if head.wantsUpgrade {
      await refuse(connection, facts, to: facts.method, status: 501)
      return false
    }
    let standard = connection.limits.bodyBytesMax
    let bytesMax = handler.bodyBytesMax(of: facts.method, path: facts.path, standard: standard)
    if case .length(let length) = head.framing, length > UInt64(bytesMax) {
      await refuse(connection, facts, to: facts.method, status: 413)
      return false
    }
    let isLarge = bytesMax > standard
    guard !isLarge || largeBodies < Self.largeBodiesMax else {
      await refuse(connection, nil, to: facts.method, status: 503)
      return false
    }
    if isLarge { largeBodies += 1 }
    defer { if isLarge { largeBodies -= 1 } }
    let keepAlive = head.keepAlive
    if head.expectsContinue {
      connection.output.append("HTTP/1.1 100 Continue\r\n\r\n")
      guard await connection.flush() else { return false }
    }
    connection.consumeHead()
    let body: [UInt8]
    do throws(BodyFailure) {
      body = try await connection.collectBody(bytesMax: bytesMax)
    } catch {
      switch error {
      case .gone: break
      case .tooLarge: await refuse(connection, facts, to: facts.method, status: 413)
      case .malformed: await refuse(connection, facts, to: facts.method, status: 400)
      case .tooSlow: await refuse(connection, facts, to: facts.method, status: 408)
      }
      return false
    }
    let response = await handler.respond(to: facts.request(body: body))
    let persists = keepAlive && connection.mayContinue
    write(response, to: connection, method: facts.method, persists: persists)
    return await connection.flush() && persists
  }

  /// Answers what is no request.
  public func refuse(_ connection: ServerConnection, status: Int) async {
    await refuse(connection, nil, to: .get, status: status)
  }

  private func refuse(
    _ connection: ServerConnection, _ facts: RequestFacts?, to method: Method, status: Int
  ) async {
    let (code, message) = Refusals.text(status)
    let body = Array("{\"error\":\"\(code)\",\"message\":\"\(message)\"}".utf8)
    var response = Response.json(status: status, body)
    if let facts { response.fields += handler.refusalFields(for: facts.request(body: [])) }
    write(response, to: connection, method: method, persists: false)
    _ = await connection.flush()
  }

  private func write(
    _ response: Response, to connection: ServerConnection, method: Method, persists: Bool
  ) {
    // A line break in a field would be a second field, or a second answer.
    let isClean = response.fields.allSatisfy {
      FieldName.isClean($0.name) && FieldValue.isClean($0.value)
    }
    let response = isClean ? response : Refusals.unwritable
    let output = connection.output
    output.append(statusLine: response.status)
    for (name, value) in response.fields {
      output.append(text: name)
      output.append(": ")
      output.append(text: value)
      output.append("\r\n")
    }
    let bodiless = response.status == 204 || response.status == 304
    if !bodiless {
      output.append("content-length: ")
      output.append(decimal: UInt64(response.body.count))
      output.append("\r\n")
    }
    output.append("date: ")
    output.append(httpDate: UnixTime.now.seconds)
    output.append(persists ? "\r\n\r\n" : "\r\nconnection: close\r\n\r\n")
    if method != .head && !bodiless { output.append(response.body) }
  }
}

/// What is kept of a head while the body is collected.
private struct RequestFacts {
  let method: Method
  let path: String
  let query: String?
  let fields: [(name: String, value: String)]
  let client: IPAddress?
  let viaEdge: Bool

  init?(_ connection: ServerConnection) {
    let head = connection.head
    let bytes = connection.input.readable
    guard let target = head.originTarget(in: bytes) else { return nil }
    method = head.method
    path = target.path
    query = target.query
    var fields: [(name: String, value: String)] = []
    for field in head.fields {
      guard let value = String(validating: field.value(in: bytes), as: UTF8.self) else {
        return nil
      }
      let name = String(decoding: field.name(in: bytes), as: UTF8.self).lowercased()
      fields.append((name, value))
    }
    self.fields = fields
    switch connection.peer {
    case .ip(let address, _):
      client = address
      viaEdge = false
    default:
      // Our edge rebuilds the head, so over the Unix socket this field is the edge's own word.
      viaEdge = true
      client = fields.last { $0.name == "x-forwarded-for" }.flatMap { IPAddress($0.value) }
    }
  }

  func request(body: [UInt8]) -> Request {
    Request(
      method: method, path: path, query: query, fields: fields, body: body, client: client,
      viaEdge: viaEdge)
  }
}

private enum Refusals {
  /// What goes out instead of an answer that may not.
  static let unwritable = Response.json(
    status: 500,
    Array("{\"error\":\"internal_error\",\"message\":\"The answer can not be sent\"}".utf8))

  static func text(_ status: Int) -> (StaticString, StaticString) {
    switch status {
    case 408: ("request_timeout", "The request did not arrive in time")
    case 413: ("payload_too_large", "The request body is too large")
    case 414: ("uri_too_long", "The request line is too long")
    case 417: ("expectation_failed", "The expectation can not be met")
    case 431: ("headers_too_large", "The request head is too large")
    case 501: ("not_implemented", "The method or framing is not supported")
    case 503: ("service_unavailable", "Try again in a moment")
    case 505: ("http_version_not_supported", "Only HTTP/1.0 and HTTP/1.1 are spoken")
    default: ("bad_request", "The request is malformed")
    }
  }
}
