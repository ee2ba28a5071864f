// The header fields that some part of the system knows by name. A field's name is looked up once,
// while its line is read; afterwards everybody compares one byte.

/// A field name that means something here.
public enum KnownField: UInt8, CaseIterable, Sendable {
  case other
  case accept, acceptCharset, acceptEncoding, acceptLanguage
  case accessControlRequestHeaders, accessControlRequestMethod
  case age, allow, altSvc, authorization, baggage, binderyConnection, cacheControl, connection
  case contentDisposition, contentEncoding, contentLanguage, contentLength, contentType
  case cookie, date, etag, expect, expires, forwarded, host, http2Settings
  case ifMatch, ifModifiedSince, ifNoneMatch, ifUnmodifiedSince, keepAlive
  case lastEventID, lastModified, location
  case mcpMethod, mcpName, mcpProtocolVersion, mcpSessionID
  /// Any `Mcp-Param-…`.
  case mcpParameter
  case origin, pragma
  /// Any `Proxy-…`.
  case proxy
  case rateLimitReset, referer, retryAfter, server, setCookie, strictTransportSecurity
  case stripeSignature, te, traceparent, tracestate, trailer, transferEncoding
  case upgrade, userAgent, vary, via, wwwAuthenticate, xAccelBuffering, xAPIKey
  case xForwardedFor, xForwardedHost, xForwardedProto
  /// Any further `X-Forwarded-…`.
  case xForwarded
  case xRealIP, xRequestID

  /// Whether two lines of it contradict each other, so that a message with two is refused.
  var isSingle: Bool {
    switch self {
    case .authorization, .binderyConnection, .contentLength, .contentType, .expect, .host,
      .lastEventID, .location, .mcpMethod, .mcpName, .mcpProtocolVersion, .mcpSessionID, .origin,
      .referer, .stripeSignature, .traceparent, .transferEncoding:
      true
    default: false
    }
  }

  /// Whether only the beginning of the name is known.
  @inline(__always)
  var isFamily: Bool { self == .proxy || self == .mcpParameter || self == .xForwarded }

  /// Fields that belong to one connection and are never passed on.
  public var isHopByHop: Bool {
    switch self {
    case .connection, .http2Settings, .keepAlive, .proxy, .te, .trailer, .transferEncoding,
      .upgrade:
      true
    default: false
    }
  }

  /// Fields that must not stand behind a body: framing, routing, credentials, session.
  var isForbiddenInTrailers: Bool {
    switch self {
    case .authorization, .binderyConnection, .connection, .contentLength, .cookie, .expect,
      .forwarded, .host, .http2Settings, .keepAlive, .lastEventID, .location, .mcpMethod, .mcpName,
      .mcpParameter, .mcpProtocolVersion, .mcpSessionID, .origin, .proxy, .setCookie,
      .stripeSignature, .te, .trailer, .transferEncoding, .upgrade, .wwwAuthenticate, .xAPIKey,
      .xForwarded, .xForwardedFor, .xForwardedHost, .xForwardedProto, .xRealIP:
      true
    default: false
    }
  }
}
