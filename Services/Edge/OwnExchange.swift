// Passes requests that are not MCP on to our own services behind their Unix sockets, so that one
// host name, one certificate and one limiter serve all. A service that is down is a 503 with
// Retry-After, and nothing else of the edge notices.

import Bytes
import Clocks
import HTTPClient
import HTTPCodec
import HTTPServer
import Posix
import Transport

/// One request that goes to the service of a lane as it is.
final class OwnExchange: Exchange {
  private let handler: EdgeHandler
  private let connection: ServerConnection
  private let lane: UpstreamLane
  private let method: Method
  private let keepAlive: Bool
  private let isModern: Bool
  private let reframes: Bool
  private let awaitsContinue: Bool
  /// The page that may read an answer of the edge's own.
  private let reader: Int?
  private var relay: Relay?
  private var outcome: RelayOutcome?

  init(
    _ connection: ServerConnection, over lane: UpstreamLane, client: IPAddress?,
    handler: EdgeHandler
  ) {
    self.handler = handler
    self.connection = connection
    self.lane = lane
    let head = connection.head
    reader = handler.world.reader(of: head, in: connection.input.readable)
    UpstreamHead.writeOwn(
      head, in: connection.input.readable, client: client, secure: connection.stream.isSecure,
      to: connection.onward)
    connection.onward.append("\r\n")
    method = head.method
    keepAlive = head.keepAlive
    isModern = head.minorVersion == 1
    reframes = head.framing == .chunked
    awaitsContinue = head.expectsContinue && connection.input.count == connection.headBytes
    connection.consumeHead()
  }

  func advance() -> Progress {
    if relay == nil && !awaitsContinue,
      let idle = handler.pool.reuse(lane, parker: connection.parker)
    {
      start(over: idle)
    }
    guard let relay else { return .needsTask }
    guard let outcome = relay.advance(self) else { return .waits }
    relay.finish(outcome, pool: handler.pool)
    switch outcome {
    case .complete: return .done(persists: relay.clientPersists)
    case .refused:
      self.outcome = outcome
      return .needsTask
    case .clientGone: break
    case .cut: connection.stream.close(reset: true)
    }
    return .done(persists: false)
  }

  func work() async -> Progress {
    switch outcome {
    case .refused(.malformed(let status)):
      await handler.refuse(connection, status: status)
      return .done(persists: false)
    case nil: break
    default: return .done(persists: await answerUnavailable())
    }
    if awaitsContinue {
      connection.output.append("HTTP/1.1 100 Continue\r\n\r\n")
      guard await connection.flush() else { return .done(persists: false) }
    }
    if let idle = handler.pool.reuse(lane, parker: connection.parker) {
      start(over: idle)
      return .waits
    }
    do throws(ConnectError) {
      start(
        over: try await handler.pool.open(
          lane, parker: connection.parker, deadline: .now.advanced(by: .seconds(2))))
      return .waits
    } catch {
      connection.onward.release()
      return .done(persists: await answerUnavailable())
    }
  }

  private func start(over upstream: UpstreamConnection) {
    relay = Relay(
      client: connection, upstream: upstream, method: method, reframesRequest: reframes,
      clientIsModern: isModern, keepAlive: keepAlive, limits: handler.world.ownRelayLimits)
  }

  private func answerUnavailable() async -> Bool {
    _ = try? await connection.collectBody()
    let persists = keepAlive && connection.mayContinue
    let body: StaticString =
      "{\"error\":\"service_unavailable\",\"message\":\"Temporarily not available: try again\"}"
    let output = connection.output
    output.append(statusLine: 503)
    output.append("content-type: application/json\r\ncache-control: no-store\r\nretry-after: 5\r\n")
    if let reader { handler.world.writeReader(reader, to: output) }
    output.append(field: "content-length", decimal: UInt64(body.utf8CodeUnitCount))
    output.append(persists ? "\r\n" : "connection: close\r\n\r\n")
    output.append(body)
    return await connection.flush() && persists
  }
}

/// Passes answers of our own services as they are, without what belongs to one connection.
extension OwnExchange: AnswerWriter {
  var transforms: Bool { false }

  func writeHead(
    of head: ResponseHead, in bytes: UnsafeRawBufferPointer, to output: Buffer
  ) -> Refusal? {
    output.append(statusLine: head.status)
    for field in head.fields
    where field.known != .contentLength && !head.isHopByHop(field, in: bytes) {
      output.append(field, of: bytes)
    }
    return nil
  }

  func transform(_ piece: UnsafeRawBufferPointer, into output: Buffer) -> Bool {
    output.append(piece)
    return true
  }
}
