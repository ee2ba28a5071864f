// Requests and answers as values, for services that collect a body, think, and answer (auth,
// billing, ops). The edge's relay does not use them.

import Bytes
import HTTPCodec
import Posix

/// A request with its body in memory.
public struct Request: Sendable {
  /// The method.
  public let method: Method
  /// The path, percent-decoded once and canonical.
  public let path: String
  /// The query as it came, without the question mark; nil when there was none.
  public let query: String?
  /// Field names in lower case and values, in order.
  public let fields: [(name: String, value: String)]
  /// The whole body.
  public let body: [UInt8]
  /// The client's address: the peer, or what our edge says it is.
  public let client: IPAddress?
  /// Whether the request came through our edge (over the Unix socket).
  public let viaEdge: Bool

  /// A request of these parts.
  public init(
    method: Method, path: String, query: String?, fields: [(name: String, value: String)],
    body: [UInt8], client: IPAddress?, viaEdge: Bool
  ) {
    self.method = method
    self.path = path
    self.query = query
    self.fields = fields
    self.body = body
    self.client = client
    self.viaEdge = viaEdge
  }

  /// The first value of the field `name` (lower case), or nil.
  public func field(_ name: String) -> String? {
    fields.first { $0.name.utf8.elementsEqual(name.utf8) }?.value
  }

  /// The number of fields called `name` (lower case).
  public func fieldCount(_ name: String) -> Int {
    fields.reduce(0) { $0 + ($1.name.utf8.elementsEqual(name.utf8) ? 1 : 0) }
  }
}

/// An answer with its body in memory. Content-Length, Date and Connection are added when written.
public struct Response: Sendable {
  /// The status code, 200 to 599.
  public var status: Int
  /// Fields in order; values hold no control characters.
  public var fields: [(name: String, value: String)]
  /// The whole body; not sent for HEAD, 204 and 304.
  public var body: [UInt8]

  /// An answer of these parts.
  public init(status: Int, fields: [(name: String, value: String)] = [], body: [UInt8] = []) {
    self.status = status
    self.fields = fields
    self.body = body
  }

  /// An answer whose body is JSON text.
  public static func json(status: Int = 200, _ body: [UInt8]) -> Response {
    Response(status: status, fields: [("content-type", "application/json")], body: body)
  }

  /// An answer whose body is plain text.
  public static func text(status: Int = 200, _ text: String) -> Response {
    Response(
      status: status, fields: [("content-type", "text/plain; charset=utf-8")],
      body: Array(text.utf8))
  }
}

/// Answers collected requests.
public protocol RequestHandler: Sendable {
  /// The answer to `request`. Runs on a loop: blocking work goes elsewhere.
  func respond(to request: Request) async -> Response
  /// The fields of an answer that the server gives in the handler's place, because the body of
  /// `request` never became whole.
  func refusalFields(for request: Request) -> [(name: String, value: String)]
  /// How many bytes a body may have; more than `standard` for few requests at a time only.
  func bodyBytesMax(of method: Method, path: String, standard: Int) -> Int
}

extension RequestHandler {
  /// None.
  public func refusalFields(for request: Request) -> [(name: String, value: String)] { [] }
  /// As many as the listener says.
  public func bodyBytesMax(of method: Method, path: String, standard: Int) -> Int { standard }
}
