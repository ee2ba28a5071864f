// Writes the head that an upstream sees: rebuilt field by field from a short list, never copied.
// The client's credentials, cookies, addresses and the secret URL are not on that list; the one
// Authorization is ours.

import Accounts
import Bytes
import HTTPClient
import HTTPCodec
import Posix
import Providers
import Vault

/// Writers of request heads.
enum UpstreamHead {
  /// Everything of an MCP request's head but the service's own credential and the empty line.
  static func writeMCP(
    _ head: RequestHead, in bytes: UnsafeRawBufferPointer, target: UnsafeRawBufferPointer,
    service: UpstreamService, session: UnsafeRawBufferPointer?, to buffer: Buffer
  ) {
    service.authority.withUnsafeBytes {
      writeStart(head.methodText(in: bytes), target: target, host: $0, to: buffer)
    }
    for index in 0..<head.count {
      let field = head.field(at: index)
      switch field.known {
      case .accept, .contentType, .mcpProtocolVersion, .lastEventID, .mcpMethod, .mcpName,
        .mcpParameter, .traceparent, .userAgent:
        buffer.append(field, of: bytes)
      default: break
      }
    }
    if let session {
      buffer.append("mcp-session-id: ")
      buffer.append(session)
      buffer.append("\r\n")
    }
    buffer.append("accept-encoding: identity\r\n")
    writeFraming(head, to: buffer)
  }

  /// The service's credential, from the opened token set; false when the set holds none to send.
  static func writeCredential(
    _ tokens: UnsafeRawBufferPointer, service: UpstreamService, to buffer: Buffer
  ) -> Bool {
    if let key = TokenSetReader.value(of: .apiKey, in: tokens) {
      guard let line = service.keyLine else { return false }
      return line.write(key, to: buffer)
    }
    guard let token = TokenSetReader.value(of: .accessToken, in: tokens) else { return false }
    buffer.append("authorization: Bearer ")
    buffer.append(token)
    buffer.append("\r\n")
    return true
  }

  /// The head of a request that goes to a service of ours as it is, with the client's address.
  static func writeOwn(
    _ head: RequestHead, in bytes: UnsafeRawBufferPointer, client: IPAddress?, secure: Bool,
    to buffer: Buffer
  ) {
    writeStart(
      head.methodText(in: bytes), target: head.originForm(in: bytes), host: head.host(in: bytes),
      to: buffer)
    for field in head.fields where !head.isHopByHop(field, in: bytes) {
      switch field.known {
      case .host, .contentLength, .expect, .forwarded, .xForwardedFor, .xForwardedHost,
        .xForwardedProto, .xForwarded, .xRealIP:
        break
      default: buffer.append(field, of: bytes)
      }
    }
    buffer.append(secure ? "x-forwarded-proto: https\r\n" : "x-forwarded-proto: http\r\n")
    if let client {
      buffer.append("x-forwarded-for: ")
      buffer.append(text: client.description)
      buffer.append("\r\n")
    }
    writeFraming(head, to: buffer)
  }

  private static func writeStart(
    _ method: UnsafeRawBufferPointer, target: UnsafeRawBufferPointer,
    host: UnsafeRawBufferPointer, to buffer: Buffer
  ) {
    buffer.append(method)
    buffer.append(byte: UInt8(ascii: " "))
    buffer.append(target)
    buffer.append(" HTTP/1.1\r\nhost: ")
    buffer.append(host)
    buffer.append("\r\n")
  }

  private static func writeFraming(_ head: RequestHead, to buffer: Buffer) {
    switch head.framing {
    case .none:
      if head.method == .post { buffer.append("content-length: 0\r\n") }
    case .length(let length):
      buffer.append("content-length: ")
      buffer.append(decimal: length)
      buffer.append("\r\n")
    default: buffer.append("transfer-encoding: chunked\r\n")
    }
  }
}
