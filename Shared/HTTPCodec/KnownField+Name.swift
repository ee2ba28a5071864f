// Finds the KnownField of a name: by length, then by comparing eight bytes at a time in small
// letters. The compiler turns each expected name into constants, so no table is kept.

extension KnownField {
  /// The field named by the `count` bytes at `name`, none of which is a control, in any case.
  static func named(_ name: UnsafeRawPointer, count: Int) -> KnownField {
    @inline(__always) func isIt(_ text: StaticString) -> Bool { hasName(name, text) }
    switch count {
    case 2:
      if isIt("te") { return .te }
    case 3:
      if isIt("age") { return .age }
      if isIt("via") { return .via }
    case 4:
      if isIt("date") { return .date }
      if isIt("etag") { return .etag }
      if isIt("host") { return .host }
      if isIt("vary") { return .vary }
    case 5:
      if isIt("allow") { return .allow }
    case 6:
      if isIt("accept") { return .accept }
      if isIt("cookie") { return .cookie }
      if isIt("expect") { return .expect }
      if isIt("origin") { return .origin }
      if isIt("pragma") { return .pragma }
      if isIt("server") { return .server }
    case 7:
      if isIt("alt-svc") { return .altSvc }
      if isIt("baggage") { return .baggage }
      if isIt("expires") { return .expires }
      if isIt("referer") { return .referer }
      if isIt("trailer") { return .trailer }
      if isIt("upgrade") { return .upgrade }
    case 8:
      if isIt("if-match") { return .ifMatch }
      if isIt("location") { return .location }
      if isIt("mcp-name") { return .mcpName }
    case 9:
      if isIt("forwarded") { return .forwarded }
      if isIt("x-api-key") { return .xAPIKey }
      if isIt("x-real-ip") { return .xRealIP }
    case 10:
      if isIt("connection") { return .connection }
      if isIt("keep-alive") { return .keepAlive }
      if isIt("mcp-method") { return .mcpMethod }
      if isIt("set-cookie") { return .setCookie }
      if isIt("tracestate") { return .tracestate }
      if isIt("user-agent") { return .userAgent }
    case 11:
      if isIt("retry-after") { return .retryAfter }
      if isIt("traceparent") { return .traceparent }
    case 12:
      if isIt("content-type") { return .contentType }
      if isIt("x-request-id") { return .xRequestID }
    case 13:
      if isIt("authorization") { return .authorization }
      if isIt("cache-control") { return .cacheControl }
      if isIt("if-none-match") { return .ifNoneMatch }
      if isIt("last-event-id") { return .lastEventID }
      if isIt("last-modified") { return .lastModified }
    case 14:
      if isIt("accept-charset") { return .acceptCharset }
      if isIt("content-length") { return .contentLength }
      if isIt("http2-settings") { return .http2Settings }
      if isIt("mcp-session-id") { return .mcpSessionID }
    case 15:
      if isIt("accept-encoding") { return .acceptEncoding }
      if isIt("accept-language") { return .acceptLanguage }
      if isIt("ratelimit-reset") { return .rateLimitReset }
      if isIt("x-forwarded-for") { return .xForwardedFor }
    case 16:
      if isIt("content-encoding") { return .contentEncoding }
      if isIt("content-language") { return .contentLanguage }
      if isIt("stripe-signature") { return .stripeSignature }
      if isIt("www-authenticate") { return .wwwAuthenticate }
      if isIt("x-forwarded-host") { return .xForwardedHost }
    case 17:
      if isIt("if-modified-since") { return .ifModifiedSince }
      if isIt("transfer-encoding") { return .transferEncoding }
      if isIt("x-accel-buffering") { return .xAccelBuffering }
      if isIt("x-forwarded-proto") { return .xForwardedProto }
    case 18:
      if isIt("bindery-connection") { return .binderyConnection }
    case 19:
      if isIt("content-disposition") { return .contentDisposition }
      if isIt("if-unmodified-since") { return .ifUnmodifiedSince }
    case 20:
      if isIt("mcp-protocol-version") { return .mcpProtocolVersion }
    case 25:
      if isIt("strict-transport-security") { return .strictTransportSecurity }
    case 29:
      if isIt("access-control-request-method") { return .accessControlRequestMethod }
    case 30:
      if isIt("access-control-request-headers") { return .accessControlRequestHeaders }
    default: break
    }
    return family(of: name, count: count)
  }

  /// The families that are known by how their names begin.
  private static func family(of name: UnsafeRawPointer, count: Int) -> KnownField {
    if count > 6, hasName(name, "proxy-") { return .proxy }
    if count > 10, hasName(name, "mcp-param-") { return .mcpParameter }
    if count > 12, hasName(name, "x-forwarded-") { return .xForwarded }
    return .other
  }

  /// Whether the bytes at `name` begin with `text`, which is in small letters. Setting bit 5 makes
  /// letters small and leaves digits and hyphens; nothing but a control becomes one of those.
  @inline(__always)
  private static func hasName(_ name: UnsafeRawPointer, _ text: StaticString) -> Bool {
    let expected = UnsafeRawPointer(text.utf8Start)
    let count = text.utf8CodeUnitCount
    if count >= 8 {
      var offset = 0
      while offset + 8 <= count {
        if !equal(name, expected, offset, UInt64.self) { return false }
        offset += 8
      }
      return offset == count || equal(name, expected, count - 8, UInt64.self)
    }
    if count >= 4 {
      return equal(name, expected, 0, UInt32.self) && equal(name, expected, count - 4, UInt32.self)
    }
    return equal(name, expected, 0, UInt16.self)
      && equal(name, expected, count - 2, UInt16.self)
  }

  @inline(__always)
  private static func equal<Word: FixedWidthInteger & BitwiseCopyable>(
    _ a: UnsafeRawPointer, _ b: UnsafeRawPointer, _ offset: Int, _: Word.Type
  ) -> Bool {
    let blanks = Word(truncatingIfNeeded: 0x2020_2020_2020_2020 as UInt64)
    let word = a.loadUnaligned(fromByteOffset: offset, as: Word.self) | blanks
    return word == b.loadUnaligned(fromByteOffset: offset, as: Word.self)
  }
}
