// Unseals the service's token into the upstream's head. The opened token exists only inside the
// buffer that is sent, which is wiped when it goes back; the data key lives until the answer's head
// is written.

import Bytes
import HTTPCodec
import HTTPServer
import Transport
import Vault

extension EdgeHandler {
  /// Unwraps the data key, opens the token and writes the upstream's head into the connection's
  /// `onward`; gives the exchange that sends it.
  func prepare(
    _ resolved: ResolvedCredential, _ secret: borrowing CredentialSecret, _ call: MCPCall,
    _ connection: ServerConnection
  ) throws(Refusal) -> MCPExchange {
    let key = try unwrap(resolved, secret)
    let head = connection.head
    let bytes = connection.input.readable
    let service = resolved.service
    let shown = try admitSession(head, in: bytes, key)
    let target = try upstreamTarget(call, head, in: bytes, service, key)
    let up = connection.onward
    target.withUnsafeBytes {
      UpstreamHead.writeMCP(head, in: bytes, target: $0, service: service, session: shown, to: up)
    }
    // Kept in case the service refuses the token: then it is sent once more with the next one.
    let headAgain = resolved.credential.isOAuth ? [UInt8](up.readable) : nil
    try writeCredential(of: resolved, key, to: up)
    let endpoint =
      call.part == .legacyStream
      ? LegacyEndpoint(prefix: endpointPrefix(call, head, in: bytes), service: service) : nil
    return MCPExchange(
      call, resolved, key: key, head: headAgain, endpoint: endpoint, on: connection,
      handler: self)
  }

  /// The connection's data key.
  /// - Throws: `credentialRefused` for the right first half of a credential with a wrong second one.
  func unwrap(
    _ resolved: ResolvedCredential, _ secret: borrowing CredentialSecret
  ) throws(Refusal) -> DataKey {
    do throws(SealError) {
      return try engine.unwrap(resolved.wrap, with: secret)
    } catch { throw .credentialRefused }
  }

  /// Writes the service's credential and the end of the head; releases `up` when there is none.
  func writeCredential(
    of resolved: ResolvedCredential, _ key: borrowing DataKey, to up: Buffer
  ) throws(Refusal) {
    var sent = false
    try? engine.open(resolved.tokens, under: key) { (tokens) throws(SealError) in
      sent = UpstreamHead.writeCredential(tokens, service: resolved.service, to: up)
    }
    guard sent else {
      up.release()
      throw .connectionInError
    }
    up.append("\r\n")
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
}
