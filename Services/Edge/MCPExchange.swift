// The second half of an MCP request's life: the upstream's head is ready; find a connection, relay,
// record, and answer what went wrong.

import Bytes
import Clocks
import HTTPClient
import HTTPCodec
import HTTPServer
import Transport
import Vault

/// One MCP request on its way.
final class MCPExchange: Exchange {
  let handler: EdgeHandler
  private let connection: ServerConnection
  private var resolved: ResolvedCredential
  private let call: MCPCall
  /// Until the answer's head is written; a legacy stream needs it for longer.
  var key: DataKey?
  /// What a legacy stream begins with, until it went out.
  var endpoint: LegacyEndpoint?
  /// The upstream's head without the credential, while the request may be sent once more.
  var headAgain: [UInt8]?
  /// Whether a token of the store was tried already.
  private var isLastTry = false
  private let keepAlive: Bool
  private let isModern: Bool
  private let reframes: Bool
  /// The body is looked at before anything is sent.
  private let isScreened: Bool
  private let awaitsContinue: Bool
  private var relay: Relay?
  private var entry: StreamRegistry.Entry?
  private var outcome: RelayOutcome?

  /// An exchange whose upstream head stands in the connection's `onward`.
  init(
    _ call: MCPCall, _ resolved: ResolvedCredential, key: consuming DataKey,
    head headAgain: [UInt8]?, endpoint: LegacyEndpoint?, on connection: ServerConnection,
    handler: EdgeHandler
  ) {
    self.handler = handler
    self.connection = connection
    self.resolved = resolved
    self.call = call
    self.key = consume key
    self.endpoint = endpoint
    self.headAgain = headAgain
    let head = connection.head
    keepAlive = head.keepAlive
    isModern = head.minorVersion == 1
    reframes = head.framing == .chunked
    isScreened = resolved.credential.tools != nil && call.method == .post
    awaitsContinue = head.expectsContinue && connection.input.count == connection.headBytes
    connection.consumeHead()
  }

  func advance() -> Progress {
    guard let relay = relay ?? startOverIdle() else { return .needsTask }
    guard let outcome = relay.advance(self) else { return .waits }
    handler.finish(relay, entry, outcome)
    return end(relay, outcome)
  }

  func work() async -> Progress {
    if let outcome {
      if outcome == .refused(.needsReauthorization), headAgain != nil { return await retry() }
      return .done(persists: await settle(outcome))
    }
    if awaitsContinue {
      connection.output.append("HTTP/1.1 100 Continue\r\n\r\n")
      guard await connection.flush() else {
        connection.onward.release()
        return .done(persists: false)
      }
    }
    if isScreened {
      guard let body = try? await connection.collectBody(), let tools = resolved.credential.tools,
        ToolPolicy.permits(body, tools: tools)
      else {
        connection.onward.release()
        return .done(persists: await answer(.networkForbidden))
      }
      append(body)
    }
    return await send()
  }

  /// Opens a connection and begins to send what stands in `onward`.
  private func send(keptBody: [UInt8]? = nil) async -> Progress {
    let refusal: Refusal
    do throws(ConnectError) {
      let upstream = try await connect()
      do throws(Refusal) {
        // It may have been revoked while we waited, and nothing of the request went out yet.
        try handler.check(resolved)
        let relay = start(over: upstream)
        if let keptBody { relay.kept = keptBody }
        return .waits
      } catch {
        handler.pool.discard(upstream)
        refusal = error
      }
    } catch {
      refusal = error == .timeout ? .upstreamTimeout : .upstreamUnreachable
    }
    connection.onward.release()
    note(status: refusal.status(call.form))
    return .done(persists: await answer(refusal, keptBody: keptBody))
  }

  /// The service refused the access token: has it renewed and sends the request once more, if its
  /// body is still whole.
  private func retry() async -> Progress {
    let head = headAgain ?? []
    let body = relay?.takeKeptBody()
    outcome = nil
    relay = nil
    do throws(Refusal) {
      guard let text = key?.base64URL else { throw .needsReauthorization }
      // Another loop may have had it renewed: then the stored token comes first, and only when that
      // is refused, too, is the scheduler asked.
      var renewed = try handler.reread(resolved)
      if renewed.blob.generation <= resolved.blob.generation || isLastTry {
        headAgain = nil
        renewed = try await handler.renew(renewed, key: text, wasRefused: true)
      }
      isLastTry = true
      guard renewed.blob.generation > resolved.blob.generation else {
        throw .needsReauthorization
      }
      guard let body else { throw .refreshLater(retryAfterSeconds: 1) }
      resolved = renewed
      connection.onward.append(head)
      try handler.writeCredential(of: renewed, key!, to: connection.onward)
      if connection.body.isComplete, !body.isEmpty || reframes { append(body) }
      return await send(keptBody: body)
    } catch {
      note(status: error.status(call.form))
      return .done(persists: await answer(error, keptBody: body ?? []))
    }
  }

  /// Adds a body that was collected, framed as the head says.
  private func append(_ body: [UInt8]) {
    guard reframes else { return connection.onward.append(body) }
    body.withUnsafeBytes { connection.onward.append(chunk: $0) }
    connection.onward.appendLastChunk()
  }

  private func connect() async throws(ConnectError) -> UpstreamConnection {
    if let idle = handler.idleUpstream(for: resolved, connection) { return idle }
    let deadline = Instant.now.advanced(bySeconds: RelayLimits.connectSeconds)
    return try await handler.pool.open(
      resolved.lane, parker: connection.parker, deadline: deadline)
  }

  private func startOverIdle() -> Relay? {
    guard !awaitsContinue, !isScreened else { return nil }
    return handler.idleUpstream(for: resolved, connection).map { start(over: $0) }
  }

  @discardableResult
  private func start(over upstream: UpstreamConnection) -> Relay {
    let relay = Relay(
      client: connection, upstream: upstream, method: call.method, reframesRequest: reframes,
      clientIsModern: isModern, keepAlive: keepAlive,
      limits: handler.world.relayLimits)
    self.relay = relay
    entry = handler.note(relay, resolved)
    return relay
  }

  private func end(_ relay: Relay, _ outcome: RelayOutcome) -> Progress {
    switch outcome {
    case .complete:
      note(status: relay.status)
      return .done(persists: relay.clientPersists)
    case .refused(.needsReauthorization) where headAgain != nil: break  // it is tried once more
    case .refused(let refusal): note(status: refusal.status(call.form))
    case .clientGone:
      note(status: 499)
      return .done(persists: false)
    case .cut(let end):
      note(status: relay.status)
      handler.metrics.cut(end)
      guard end == .draining || end == .revoked else {
        connection.stream.close(reset: true)
        return .done(persists: false)
      }
    }
    self.outcome = outcome
    return .needsTask
  }

  /// Answers or ends what did not complete. True when the connection may carry another request.
  private func settle(_ outcome: RelayOutcome) async -> Bool {
    if case .refused(let refusal) = outcome {
      return await answer(refusal, keptBody: relay?.takeKeptBody() ?? [])
    }
    await relay?.endStream()
    return false
  }

  private func answer(_ refusal: Refusal, keptBody: [UInt8]? = nil) async -> Bool {
    await handler.answer(
      refusal, form: call.form, service: resolved.service, keptBody: keptBody, to: connection)
  }

  private func note(status: Int) { handler.note(resolved, call, status: status) }
}

// What an exchange asks of its handler: there, the handler's parts are reached without counting.
extension EdgeHandler {
  fileprivate func idleUpstream(
    for resolved: ResolvedCredential, _ connection: ServerConnection
  ) -> UpstreamConnection? {
    pool.reuse(resolved.lane, parker: connection.parker)
  }

  /// - Throws: `Refusal` when the credential does not stand any more.
  fileprivate func check(_ resolved: ResolvedCredential) throws(Refusal) {
    guard !stores.epochs.isCurrent(resolved.credential.mark) else { return }
    _ = try resolver.markIfStanding(resolved)
  }

  fileprivate func note(
    _ relay: Relay, _ resolved: ResolvedCredential
  ) -> StreamRegistry.Entry {
    streams.add(relay, resolved)
  }

  fileprivate func finish(
    _ relay: Relay, _ entry: StreamRegistry.Entry?, _ outcome: RelayOutcome
  ) {
    relay.finish(outcome, pool: pool)
    if let entry { streams.remove(entry) }
  }

  fileprivate func note(_ resolved: ResolvedCredential, _ call: MCPCall, status: Int) {
    let took = loop.now.nanoseconds(since: call.startedAt)
    record.note(
      resolved.use, status: status, method: call.rpcMethod, took: took, client: call.client)
    metrics.finished(service: resolved.service.row, status: status, took: took)
  }
}
