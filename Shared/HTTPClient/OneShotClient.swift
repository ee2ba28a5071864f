// Sends one request and collects the answer, for callers that think in values (checking an API key
// upstream, calling an API). Bounded in size and time; redirects are answers, never followed; nothing
// is sent twice.

import Bytes
import Clocks
import EventLoop
import HTTPCodec
import Posix
import Transport

/// A request with its body in memory.
public struct ClientRequest: Sendable {
  /// GET, POST, PUT, PATCH, DELETE or HEAD.
  public var method: Method
  /// The server.
  public var origin: Origin
  /// Path and query, beginning with a slash.
  public var target: String
  /// Fields in order, without Host and framing; values hold no control characters.
  public var fields: [(name: String, value: [UInt8])]
  /// The whole body.
  public var body: [UInt8]

  /// A request of these parts.
  public init(
    method: Method, origin: Origin, target: String, fields: [(name: String, value: [UInt8])] = [],
    body: [UInt8] = []
  ) {
    self.method = method
    self.origin = origin
    self.target = target
    self.fields = fields
    self.body = body
  }
}

extension ClientRequest {
  /// Whether what is sent is one request with these fields and nothing else.
  fileprivate var isClean: Bool {
    target.utf8.allSatisfy { (0x21...0x7e).contains($0) } && target.utf8.first == 0x2f
      && fields.allSatisfy { name, value in
        FieldName.isClean(name) && value.withUnsafeBytes { FieldValue.isClean($0) }
      }
  }
}

/// An answer with its body in memory.
public struct ClientResponse: Sendable {
  /// The status, 200 to 599.
  public let status: Int
  /// Field names in lower case and raw values, in order.
  public let fields: [(name: String, value: [UInt8])]
  /// The body, or its first part when `isPartial`.
  public let body: [UInt8]
  /// Whether the body was cut at the caller's bound or where the caller had enough.
  public let isPartial: Bool

  /// An answer of these parts.
  public init(
    status: Int, fields: [(name: String, value: [UInt8])] = [], body: [UInt8] = [],
    isPartial: Bool = false
  ) {
    self.status = status
    self.fields = fields
    self.body = body
    self.isPartial = isPartial
  }

  /// The first value of the field `name` (lower case), or nil.
  public func field(_ name: String) -> [UInt8]? {
    fields.first { $0.name.utf8.elementsEqual(name.utf8) }?.value
  }
}

/// Why there is no answer.
public enum ClientError: Error, Equatable, Sendable {
  /// No connection: see the reason.
  case connect(ConnectError)
  /// Not done before the deadline.
  case timeout
  /// The answer breaks the rules of HTTP or ended early.
  case brokenAnswer
  /// A field or the target holds bytes that would be more than one line; nothing was sent.
  case requestUnclean
  /// A stranger named an address where we send nothing; nothing was sent.
  case addressRefused(AddressRefusal)
}

extension ClientError {
  fileprivate init(_ error: ConnectError) {
    self = error == .timeout ? .timeout : .connect(error)
  }
}

/// Sends single requests on one loop.
public struct OneShotClient: Sendable {
  private let loop: EventLoop
  private let resolver: Resolver
  private let tls: ClientTLS

  /// A client on `loop`.
  public init(loop: EventLoop, resolver: Resolver, tls: ClientTLS) {
    self.loop = loop
    self.resolver = resolver
    self.tls = tls
  }

  /// Sends `request` on a connection of its own to an address that `policy` admits, and collects the
  /// answer, whose body is cut at `bodyBytesMax` (0 = the head alone), and, for an event stream, as
  /// soon as `isEnough` says so.
  /// - Throws: `ClientError`.
  public func send(
    _ request: ClientRequest, policy: AddressPolicy = .operatorNamed, deadline: Instant,
    bodyBytesMax: Int = 1 << 20,
    isEnough: @escaping @Sendable ([UInt8]) -> Bool = { _ in false }
  ) async throws(ClientError) -> ClientResponse {
    let result: Result<ClientResponse, ClientError> = await loop.run {
      let exchange = ClientExchange(
        loop: loop, request: request, policy: policy, deadline: deadline,
        bodyBytesMax: bodyBytesMax)
      do throws(ClientError) {
        return .success(try await exchange.run(resolver: resolver, tls: tls, isEnough: isEnough))
      } catch { return .failure(error) }
    }
    return try result.get()
  }
}

/// One request under way.
private final class ClientExchange {
  private let loop: EventLoop
  private let request: ClientRequest
  private let policy: AddressPolicy
  private let deadline: Instant
  private let bodyBytesMax: Int
  private let parker = Parker()
  private let head = ResponseHead()

  init(
    loop: EventLoop, request: ClientRequest, policy: AddressPolicy, deadline: Instant,
    bodyBytesMax: Int
  ) {
    self.loop = loop
    self.request = request
    self.policy = policy
    self.deadline = deadline
    self.bodyBytesMax = bodyBytesMax
  }

  func run(
    resolver: Resolver, tls: ClientTLS, isEnough: ([UInt8]) -> Bool
  ) async throws(ClientError) -> ClientResponse {
    guard request.isClean else { throw .requestUnclean }
    let stream = try await connect(resolver: resolver, tls: tls)
    defer { stream.close() }
    let timer = Timer(loop: loop, parker: parker)
    timer.arm(at: deadline)
    defer { timer.cancel() }
    try await send(on: stream, timer)
    return try await receive(on: stream, timer, isEnough)
  }

  /// A stream to an address that the policy admits. The name is resolved once: what was judged is
  /// what is connected to.
  private func connect(
    resolver: Resolver, tls: ClientTLS
  ) async throws(ClientError) -> Stream {
    let origin = request.origin
    if let refusal = policy.refusal(of: origin) { throw .addressRefused(refusal) }
    let targets: [SocketAddress]
    do throws(ConnectError) {
      targets = try await Lookup.targets(
        of: origin, resolver: resolver, loop: loop, parker: parker, deadline: deadline)
    } catch { throw ClientError(error) }
    if let refusal = policy.refusal(of: targets, for: origin) { throw .addressRefused(refusal) }
    do throws(ConnectError) {
      let stream = try await Connector.connect(
        toFirstOf: targets, loop: loop, parker: parker, deadline: deadline)
      if origin.isSecure {
        let session = tls.makeSession(host: origin.host)
        try await Connector.handshake(
          stream, with: session, loop: loop, parker: parker, deadline: deadline)
      }
      return stream
    } catch { throw ClientError(error) }
  }

  private func send(on stream: Stream, _ timer: Timer) async throws(ClientError) {
    let buffer = Buffer(capacity: 1024 + request.body.count)
    defer { buffer.clear(wiping: true) }
    buffer.append(request.method.text)
    buffer.append(" ")
    buffer.append(text: request.target)
    buffer.append(" HTTP/1.1\r\nhost: ")
    buffer.append(text: request.origin.authority)
    buffer.append("\r\n")
    for (name, value) in request.fields {
      buffer.append(text: name)
      buffer.append(": ")
      buffer.append(value)
      buffer.append("\r\n")
    }
    // APIs refuse clients that do not say who they are, GitHub's for one.
    if !request.fields.contains(where: { $0.name.utf8.elementsEqual("user-agent".utf8) }) {
      buffer.append("user-agent: Bindery\r\n")
    }
    if !request.body.isEmpty || request.method != .get && request.method != .head {
      buffer.append(field: "content-length", decimal: UInt64(request.body.count))
    }
    buffer.append("connection: close\r\n\r\n")
    buffer.append(request.body)
    while !buffer.isEmpty {
      switch stream.write(from: buffer) {
      case .bytes: continue
      case .wouldBlock: try await wait(timer)
      case .failed: return  // an early answer may be there to read
      }
    }
  }

  private func receive(
    on stream: Stream, _ timer: Timer, _ isEnough: ([UInt8]) -> Bool
  ) async throws(ClientError) -> ClientResponse {
    let buffer = Buffer(capacity: EventLoop.bufferBytes)
    defer { buffer.clear(wiping: true) }
    try await receiveHead(on: stream, buffer, timer)
    let readable = buffer.readable
    let fields = head.fields.map { field in
      (
        String(decoding: field.name(in: readable), as: UTF8.self).lowercased(),
        [UInt8](field.value(in: readable))
      )
    }
    let streams = head.isEventStream(in: readable)
    buffer.consume(headBytes)
    var decoder = BodyDecoder(head.framing)
    var body: [UInt8] = []
    var partial = bodyBytesMax == 0 && !decoder.isComplete
    while !decoder.isComplete && !partial {
      do throws(ChunkError) {
        if let piece = try decoder.next(from: buffer) {
          body.append(contentsOf: piece.prefix(bodyBytesMax - body.count))
          partial = body.count >= bodyBytesMax || streams && isEnough(body)
          continue
        }
      } catch { throw .brokenAnswer }
      if decoder.isComplete { break }
      buffer.reserve(1)
      switch stream.read(into: buffer) {
      case .bytes: continue
      case .wouldBlock: try await wait(timer)
      case .end where decoder.endsWithConnection:
        return ClientResponse(status: head.status, fields: fields, body: body, isPartial: false)
      case .end, .failed: throw .brokenAnswer
      }
    }
    return ClientResponse(status: head.status, fields: fields, body: body, isPartial: partial)
  }

  private var headBytes = 0

  private func receiveHead(
    on stream: Stream, _ buffer: Buffer, _ timer: Timer
  ) async throws(ClientError) {
    var interim = 0
    while true {
      do throws(HeadError) {
        if let length = try head.parse(
          buffer.readable, limits: HeadLimits(), answering: request.method)
        {
          if head.status >= 200 {
            headBytes = length
            return
          }
          interim += 1
          guard interim <= 8, head.status != 101 else { throw HeadError.statusLine }
          buffer.consume(length)
          continue
        }
      } catch { throw .brokenAnswer }
      buffer.reserve(1)
      switch stream.read(into: buffer) {
      case .bytes: continue
      case .wouldBlock: try await wait(timer)
      case .end, .failed: throw .brokenAnswer
      }
    }
  }

  private func wait(_ timer: Timer) async throws(ClientError) {
    guard timer.fired else { return await parker.park() }
    // A process that was stopped finds its deadline passed and the answer in its socket: a round of
    // the loop tells of the one, so that it is not lost to the other.
    guard !hadLastLook else { throw .timeout }
    hadLastLook = true
    await loop.yield()
  }

  private var hadLastLook = false
}
