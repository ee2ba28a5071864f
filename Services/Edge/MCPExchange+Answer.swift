// Decides what of an upstream's answer a client sees. Only fields that mean something end to end in
// MCP pass; the upstream's session id gets this connection's tag; redirects and challenges, which
// would lead a client away from us, become answers of our own.

import Bytes
import HTTPCodec
import Vault

extension MCPExchange: AnswerWriter {
  var transforms: Bool { endpoint != nil }

  func writeHead(
    of head: ResponseHead, in bytes: UnsafeRawBufferPointer, to output: Buffer
  ) -> Refusal? {
    switch head.status {
    case 300..<400 where head.status != 304: return .upstreamBroken
    case 401: return .needsReauthorization
    case 407: return .upstreamBroken
    default: break
    }
    output.append(statusLine: head.status)
    let streams = head.isEventStream(in: bytes)
    for index in 0..<head.count {
      let field = head.field(at: index)
      switch field.known {
      case .contentType, .contentLanguage, .contentEncoding, .mcpProtocolVersion, .retryAfter,
        .cacheControl, .etag, .expires, .lastModified, .date, .allow, .rateLimitReset:
        if streams && field.known == .cacheControl { continue }
        output.append(field, of: bytes)
      case .mcpSessionID:
        guard writeSession(field.value(in: bytes), to: output) else { return .upstreamBroken }
      default: break
      }
    }
    if streams {
      output.append("cache-control: no-store\r\nx-accel-buffering: no\r\n")
    }
    if !transforms { key = nil }
    headAgain = nil
    return nil
  }

  private func writeSession(_ session: UnsafeRawBufferPointer, to output: Buffer) -> Bool {
    guard !session.isEmpty, session.count <= 1024,
      session.allSatisfy({ (0x21...0x7e).contains($0) })
    else { return false }
    guard let tag = tag(of: session) else { return false }
    output.append("mcp-session-id: ")
    output.append(session)
    output.append(byte: UInt8(ascii: "."))
    output.append(text: tag)
    output.append("\r\n")
    return true
  }

  private func tag(of text: UnsafeRawBufferPointer) -> String? {
    guard key != nil else { return nil }
    return handler.engine.sessionTag(of: text, under: key!).text
  }

  func transform(_ piece: UnsafeRawBufferPointer, into output: Buffer) -> Bool {
    guard endpoint != nil else {
      output.append(piece)
      return true
    }
    switch endpoint!.take(piece, into: output, tag: tag) {
    case .waiting: return true
    case .done:
      endpoint = nil
      key = nil
      return true
    case .refused: return false
    }
  }
}
