// Every way in which the edge says no to an MCP request, and what the client then reads. Reasons are
// exact for logs and metrics; the wire forms are few, constant, and echo nothing but the request's id.

import Bytes
import HTTPCodec
import HTTPServer

/// How a client named its credential; some answers depend on it.
enum CredentialForm {
  case url
  case header
}

/// Why a request went nowhere, or came back with nothing to pass on.
enum Refusal: Error, Equatable {
  case credentialMissing
  /// Unknown, malformed, revoked, expired, or of another service: one answer for all.
  case credentialRefused
  case connectionSuspended
  /// The plan of the connection's owner has ended.
  case planEnded
  case connectionInError
  case upstreamUnreachable
  case upstreamTimeout
  case upstreamBroken
  case networkForbidden
  case needsReauthorization
  case serviceUnknown
  /// A program's key whose holder has no such connection.
  case connectionAbsent
  /// A program's key where there are zero-knowledge connections alone.
  case zeroKnowledgeOnly
  /// A space's key without `connections:use`.
  case useForbidden
  /// A session id that this connection was not given.
  case sessionUnknown
  case dependencyDown
  /// The tokens ended and can not be renewed just now.
  case refreshLater(retryAfterSeconds: Int)
  case methodNotAllowed
  case wrongTransport
  case pathUnknown
  case rateLimited(retryAfterSeconds: Int)
  case originForbidden
  case misdirected
  case malformed(status: Int)

  /// The HTTP status for a credential in `form`.
  func status(_ form: CredentialForm) -> Int {
    switch self {
    case .credentialMissing: 401
    case .credentialRefused: form == .url ? 404 : 401
    case .connectionSuspended: 402
    case .connectionInError, .upstreamUnreachable, .upstreamBroken: 502
    case .upstreamTimeout: 504
    case .planEnded, .networkForbidden, .originForbidden, .zeroKnowledgeOnly, .useForbidden: 403
    case .needsReauthorization: form == .url ? 403 : 401
    case .serviceUnknown, .connectionAbsent, .sessionUnknown, .pathUnknown: 404
    case .dependencyDown, .refreshLater: 503
    case .methodNotAllowed: 405
    case .wrongTransport: 400
    case .rateLimited: 429
    case .misdirected: 421
    case .malformed(let status): status
    }
  }

  /// The JSON-RPC error code, or nil where the body is not JSON-RPC.
  var code: Int? {
    switch self {
    case .credentialMissing, .credentialRefused, .sessionUnknown: -32001
    case .connectionSuspended: -32002
    case .connectionInError, .upstreamUnreachable, .upstreamTimeout, .upstreamBroken: -32003
    case .planEnded, .networkForbidden, .zeroKnowledgeOnly, .useForbidden: -32004
    case .needsReauthorization: -32005
    case .serviceUnknown, .connectionAbsent: -32006
    case .dependencyDown, .refreshLater: -32007
    case .methodNotAllowed, .wrongTransport: -32600
    case .pathUnknown, .rateLimited, .originForbidden, .misdirected, .malformed: nil
    }
  }

  /// What a person reads; for plain bodies the part before the colon is the error code.
  var message: StaticString {
    switch self {
    case .credentialMissing: "No credential: use the secret URL or send an API key"
    case .credentialRefused: "Unknown or revoked credential"
    case .connectionSuspended: "The connection is suspended: see the plan in the dashboard"
    case .planEnded: "The plan has ended: renew it in the dashboard"
    case .connectionInError: "The connection is in error: see the dashboard"
    case .upstreamUnreachable: "The service can not be reached: try again later"
    case .upstreamTimeout: "The service did not answer in time"
    case .upstreamBroken: "The service gave no valid answer"
    case .networkForbidden: "Not allowed from this network"
    case .needsReauthorization: "The service wants the connection to be authorized anew"
    case .serviceUnknown: "Unknown service"
    case .connectionAbsent: "This key reaches no such connection of this service"
    case .zeroKnowledgeOnly:
      "This key reaches managed connections alone: use the connection's secret URL or API key"
    case .useForbidden: "This key does not have the permission connections:use"
    case .sessionUnknown: "Unknown session: initialize again"
    case .dependencyDown: "Temporarily not available: try again shortly"
    case .refreshLater: "The service does not renew its tokens just now: try again shortly"
    case .methodNotAllowed: "Method not allowed: use POST, GET or DELETE"
    case .wrongTransport:
      "This service uses Streamable HTTP: use the base URL without /sse or /messages"
    case .pathUnknown: "not_found:Unknown path"
    case .rateLimited: "rate_limited:Too many requests"
    case .originForbidden: "forbidden_origin:The Origin is not allowed"
    case .misdirected: "misdirected_request:The Host is not served here"
    case .malformed(413): "payload_too_large:The request body is too large"
    case .malformed(408): "request_timeout:The request did not arrive in time"
    case .malformed(414): "uri_too_long:The request line is too long"
    case .malformed(417): "expectation_failed:The expectation can not be met"
    case .malformed(431): "headers_too_large:The request head is too large"
    case .malformed(501): "not_implemented:The method or framing is not supported"
    case .malformed(505): "http_version_not_supported:Only HTTP/1.0 and HTTP/1.1 are spoken"
    case .malformed: "bad_request:The request is malformed"
    }
  }

  /// The reason as a metric label.
  var label: StaticString {
    switch self {
    case .credentialMissing: "credential_missing"
    case .credentialRefused: "credential_refused"
    case .connectionSuspended: "connection_suspended"
    case .planEnded: "plan_ended"
    case .connectionInError: "connection_in_error"
    case .upstreamUnreachable: "upstream_unreachable"
    case .upstreamTimeout: "upstream_timeout"
    case .upstreamBroken: "upstream_broken"
    case .networkForbidden: "network_forbidden"
    case .needsReauthorization: "needs_reauthorization"
    case .serviceUnknown: "service_unknown"
    case .connectionAbsent: "connection_absent"
    case .zeroKnowledgeOnly: "zero_knowledge_only"
    case .useForbidden: "use_forbidden"
    case .sessionUnknown: "session_unknown"
    case .dependencyDown: "dependency_down"
    case .refreshLater: "refresh_later"
    case .methodNotAllowed: "method_not_allowed"
    case .wrongTransport: "wrong_transport"
    case .pathUnknown: "path_unknown"
    case .rateLimited: "rate_limited"
    case .originForbidden: "origin_forbidden"
    case .misdirected: "misdirected"
    case .malformed: "malformed"
    }
  }
}
