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

extension EdgeHandler {
  /// Relays the present request to the service of `lane` as it is. True when the connection may go on.
  func passOn(
    _ connection: ServerConnection, over lane: UpstreamLane, client: IPAddress?
  ) async -> Bool {
    let head = connection.head
    let up = connection.onward
    UpstreamHead.writeOwn(
      head, in: connection.input.readable, client: client, secure: connection.stream.isSecure,
      to: up)
    up.append("\r\n")
    let method = head.method
    let keepAlive = head.keepAlive
    let isModern = head.minorVersion == 1
    let reframes = head.framing == .chunked
    if head.expectsContinue && connection.input.count == connection.headBytes {
      connection.output.append("HTTP/1.1 100 Continue\r\n\r\n")
      guard await connection.flush() else {
        up.release()
        return false
      }
    }
    connection.consumeHead()
    let upstream: UpstreamConnection
    do throws(ConnectError) {
      if let idle = pool.reuse(lane, parker: connection.parker) {
        upstream = idle
      } else {
        upstream = try await pool.open(
          lane, parker: connection.parker, deadline: .now.advanced(by: .seconds(2)))
      }
    } catch {
      up.release()
      return await answerUnavailable(connection, keepAlive: keepAlive)
    }
    let relay = Relay(
      client: connection, upstream: upstream, method: method, reframesRequest: reframes,
      clientIsModern: isModern, keepAlive: keepAlive, writer: OwnAnswerWriter(),
      limits: world.ownRelayLimits)
    switch await relay.run(pool: pool) {
    case .complete: return relay.clientPersists
    case .refused(.malformed(let status)):
      await refuse(connection, status: status)
    case .refused: return await answerUnavailable(connection, keepAlive: keepAlive)
    case .clientGone: break
    case .cut: connection.stream.close(reset: true)
    }
    return false
  }

  private func answerUnavailable(_ connection: ServerConnection, keepAlive: Bool) async -> Bool {
    _ = try? await connection.collectBody()
    let persists = keepAlive && connection.mayContinue
    let body: StaticString =
      "{\"error\":\"service_unavailable\",\"message\":\"Temporarily not available: try again\"}"
    let output = connection.output
    output.append(statusLine: 503)
    output.append("content-type: application/json\r\ncache-control: no-store\r\nretry-after: 5\r\n")
    output.append(field: "content-length", decimal: UInt64(body.utf8CodeUnitCount))
    output.append(persists ? "\r\n" : "connection: close\r\n\r\n")
    output.append(body)
    return await connection.flush() && persists
  }
}

/// Passes answers of our own services as they are, without what belongs to one connection.
final class OwnAnswerWriter: AnswerWriter {
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
