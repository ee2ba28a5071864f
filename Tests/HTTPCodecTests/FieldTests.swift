// Which field is it, where is it,
// and may it be passed on?

import HTTPCodec
import Testing

@Suite("Fields") struct FieldTests {
  /// Parses a head with `lines` and asks it.
  func with<Answer>(
    _ lines: [String], _ ask: (RequestHead, UnsafeRawBufferPointer) -> Answer
  ) throws -> Answer {
    let text = (["GET /a%20b?c=d HTTP/1.1", "Host: a.example"] + lines + ["", ""])
    let bytes = Array(text.joined(separator: "\r\n").utf8)
    return try bytes.withUnsafeBytes { bytes in
      let head = RequestHead()
      _ = try #require(try head.parse(bytes, limits: HeadLimits()))
      return ask(head, bytes)
    }
  }

  static let names: [(String, KnownField)] = [
    ("accept", .accept), ("authorization", .authorization), ("mcp-session-id", .mcpSessionID),
    ("mcp-protocol-version", .mcpProtocolVersion), ("last-event-id", .lastEventID),
    ("mcp-method", .mcpMethod), ("mcp-name", .mcpName), ("mcp-param-x", .mcpParameter),
    ("mcp-param-", .other), ("mcp-params", .other), ("te", .te), ("via", .via), ("age", .age),
    ("proxy-authorization", .proxy), ("proxy-connection", .proxy), ("proxy-", .other),
    ("x-forwarded-for", .xForwardedFor), ("x-forwarded-ssl", .xForwarded), ("x-api-key", .xAPIKey),
    ("strict-transport-security", .strictTransportSecurity), ("x-other", .other), ("x", .other),
    ("access-control-request-headers", .accessControlRequestHeaders), ("cookies", .other),
    ("cookie", .cookie), ("set-cookie", .setCookie), ("traceparent", .traceparent),
    ("bindery-connection", .binderyConnection), ("stripe-signature", .stripeSignature),
    ("user-agent", .userAgent), ("user-agenT", .userAgent), ("origin", .origin),
    ("x-real-ip", .xRealIP), ("upgrade", .upgrade), ("keep-alive", .keepAlive),
  ]

  @Test("are known in any letter case, and others are not mistaken for them", arguments: names)
  func known(name: String, expected: KnownField) throws {
    for name in [name, name.uppercased()] {
      let found = try with(["\(name): v"]) { head, bytes in
        let field = head.fields[1]
        #expect(field.name(in: bytes).elementsEqual(name.utf8))
        #expect(field.value(in: bytes).elementsEqual("v".utf8))
        return field.known
      }
      #expect(found == expected)
    }
    // One byte off at either end is another field.
    for other in ["x\(name)", "\(name)x", String(name.dropLast()) + "!"] {
      let found = try with(["\(other): v"]) { head, _ in head.fields[1].known }
      let isFamily = found == .proxy || found == .mcpParameter || found == .xForwarded
      #expect(found == .other || isFamily, "\(other)")
    }
  }

  @Test("are found first to last, and forgotten by the next head")
  func lookup() throws {
    let lines = ["Accept: a", "Cookie: b", "accept: c"]
    try with(lines) { head, bytes in
      #expect(head.count == 4)
      #expect(head.value(.accept, in: bytes)?.elementsEqual("a".utf8) == true)
      #expect(head.first(.origin) == nil)
      #expect(head.fields.filter { $0.known == .accept }.count == 2)
      #expect(head.fields.first(named: "cookie", in: bytes) != nil)
      #expect(head.rawPath(in: bytes).elementsEqual("/a%20b".utf8))
      #expect(head.rawQuery(in: bytes)?.elementsEqual("c=d".utf8) == true)
      #expect(head.host(in: bytes).elementsEqual("a.example".utf8))
      #expect(head.originTarget(in: bytes)?.path == "/a b")
      let next = Array("GET / HTTP/1.1\r\nHost: b\r\n\r\n".utf8)
      next.withUnsafeBytes { next in
        #expect((try? head.parse(next, limits: HeadLimits())) == next.count)
        #expect(head.count == 1)
        #expect(head.first(.accept) == nil)
        #expect(head.rawQuery(in: next) == nil)
      }
    }
  }

  @Test("that Connection names end here, but not those that carry meaning")
  func hopByHop() throws {
    let lines = [
      "Connection: x-custom, authorization, host, close", "Connection: content-length",
      "X-Custom: a", "Authorization: b", "Content-Length: 0", "X-Other: c", "TE: trailers",
      "Keep-Alive: 5", "Proxy-Connection: x",
    ]
    let names = try with(lines) { head, bytes in
      head.fields.filter { !head.isHopByHop($0, in: bytes) }
        .map { String(decoding: $0.name(in: bytes), as: UTF8.self) }
    }
    #expect(names == ["Host", "Authorization", "Content-Length", "X-Other"])
  }

  @Test("in their known kinds stay below the table's size")
  func tableSize() { #expect(KnownField.allCases.count <= 80) }
}
