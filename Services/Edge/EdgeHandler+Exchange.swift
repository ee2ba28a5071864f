// The second half of a request's life: unseal the service's token into the upstream's head, relay,
// record. The opened token exists only inside the buffer that is sent, which is wiped when it goes
// back; the data key lives until the answer's head is written.

import Bytes
import Clocks
import EventLoop
import HTTPClient
import HTTPCodec
import HTTPServer
import Transport
import Vault

/// What is ready to be sent; the upstream's request head is in the connection's `onward`.
struct PreparedExchange {
  /// Whether the request's body goes up in chunks.
  let reframes: Bool
  let answers: MCPAnswerWriter

  /// Adds a body that was collected to the head in `up`, framed as the head says.
  func append(body: [UInt8], to up: Buffer) {
    guard reframes else { return up.append(body) }
    body.withUnsafeBytes { up.append(chunk: $0) }
    up.appendLastChunk()
  }
}

extension EdgeHandler {
  /// Unwraps the data key, opens the token and writes the upstream's head.
  func prepare(
    _ resolved: ResolvedCredential, _ secret: borrowing CredentialSecret, _ call: MCPCall,
    _ connection: ServerConnection
  ) throws(Refusal) -> PreparedExchange {
    let key: DataKey
    do throws(SealError) {
      key = try engine.unwrap(resolved.wrap, with: secret)
    } catch {
      // The right first half of a credential with a wrong second one.
      throw .credentialRefused
    }
    let head = connection.head
    let bytes = connection.input.readable
    let service = resolved.service
    let shown = try admitSession(head, in: bytes, key)
    let target = try upstreamTarget(call, head, in: bytes, service, key)
    let up = connection.onward
    target.withUnsafeBytes {
      UpstreamHead.writeMCP(head, in: bytes, target: $0, service: service, session: shown, to: up)
    }
    var sent = false
    try? engine.open(resolved.tokens, under: key) { (tokens) throws(SealError) in
      sent = UpstreamHead.writeCredential(tokens, service: service, to: up)
    }
    guard sent else {
      up.release()
      throw .connectionInError
    }
    up.append("\r\n")
    let answers = MCPAnswerWriter(
      engine: engine, key: key, service: service,
      endpointPrefix: call.part == .legacyStream ? endpointPrefix(call, head, in: bytes) : nil)
    return PreparedExchange(reframes: head.framing == .chunked, answers: answers)
  }

  /// The upstream's own session id, when the client shows one with this connection's tag.
  private func admitSession(
    _ head: RequestHead, in bytes: UnsafeRawBufferPointer, _ key: borrowing DataKey
  ) throws(Refusal) -> UnsafeRawBufferPointer? {
    guard let shown = head.value(.mcpSessionID, in: bytes) else { return nil }
    let tagBytes = SessionTag.textBytes
    guard shown.count > tagBytes + 1, shown[shown.count - tagBytes - 1] == UInt8(ascii: ".") else {
      throw .sessionUnknown
    }
    let session = UnsafeRawBufferPointer(rebasing: shown[..<(shown.count - tagBytes - 1)])
    let tag = UnsafeRawBufferPointer(rebasing: shown[(shown.count - tagBytes)...])
    guard engine.sessionTag(of: session, under: key).matches(tag) else { throw .sessionUnknown }
    return session
  }

  /// The target at the upstream: its MCP address, or the message address of a legacy session.
  private func upstreamTarget(
    _ call: MCPCall, _ head: RequestHead, in bytes: UnsafeRawBufferPointer,
    _ service: UpstreamService, _ key: borrowing DataKey
  ) throws(Refusal) -> [UInt8] {
    guard call.part == .legacyMessages else { return service.target }
    guard let query = head.rawQuery(in: bytes), query.starts(with: "sessionId=".utf8),
      let target = LegacyEndpoint.open(
        .init(rebasing: query[10...]), engine: engine, key: key)
    else { throw .sessionUnknown }
    return target
  }

  /// Our own path up to `/messages`, as the client wrote it.
  private func endpointPrefix(
    _ call: MCPCall, _ head: RequestHead, in bytes: UnsafeRawBufferPointer
  ) -> [UInt8] {
    let path = head.rawPath(in: bytes)
    let end = call.credential?.upperBound ?? call.service.upperBound
    return Array(path[..<end])
  }

  /// Relays a prepared request and answers what went wrong. True when the client's connection may
  /// carry another request.
  func exchange(
    _ prepared: PreparedExchange, _ resolved: ResolvedCredential, _ call: MCPCall,
    _ connection: ServerConnection, keepAlive: Bool, isModern: Bool
  ) async -> Bool {
    let upstream: UpstreamConnection
    do throws(ConnectError) {
      let deadline = loop.now.advanced(bySeconds: RelayLimits.connectSeconds)
      let lane = resolved.lane
      if let idle = pool.reuse(lane, parker: connection.parker) {
        upstream = idle
      } else {
        upstream = try await pool.open(lane, parker: connection.parker, deadline: deadline)
      }
    } catch {
      connection.onward.release()
      let refusal: Refusal = error == .timeout ? .upstreamTimeout : .upstreamUnreachable
      note(resolved, call, status: refusal.status(call.form))
      return await answer(refusal, form: call.form, service: resolved.service, to: connection)
    }
    let relay = Relay(
      client: connection, upstream: upstream, method: call.method,
      reframesRequest: prepared.reframes, clientIsModern: isModern, keepAlive: keepAlive,
      writer: prepared.answers, limits: world.relayLimits)
    let entry = streams.add(relay, resolved)
    let outcome = await relay.run(pool: pool)
    streams.remove(entry)
    switch outcome {
    case .complete:
      note(resolved, call, status: relay.status)
      return relay.clientPersists
    case .refused(let refusal):
      note(resolved, call, status: refusal.status(call.form))
      return await answer(
        refusal, form: call.form, service: resolved.service, keptBody: relay.takeKeptBody() ?? [],
        to: connection)
    case .clientGone:
      note(resolved, call, status: 499)
    case .cut(let end):
      note(resolved, call, status: relay.status)
      world.metrics.cut(end)
      if end == .draining || end == .revoked {
        await relay.endStream()
      } else {
        connection.stream.close(reset: true)
      }
    }
    return false
  }

  private func note(_ resolved: ResolvedCredential, _ call: MCPCall, status: Int) {
    let took = loop.now.nanoseconds(since: call.startedAt)
    record.note(
      resolved.use, status: status, method: call.rpcMethod, took: took, client: call.client)
    world.metrics.finished(service: resolved.service.row, status: status, took: took)
  }
}
