// Reads where a request wants to go from its path, as bytes, before anything is decoded: routes of
// ours hold no percent sign, so a path that needs decoding is no MCP path. Pure.

import Bytes
import HTTPCodec

/// Where a request goes.
enum Route {
  /// An MCP endpoint of `service`; `credential` is the range of the 86 characters in URL form.
  case mcp(service: Range<Int>, credential: Range<Int>?, part: Part)
  /// Our auth service.
  case auth
  /// Our billing service.
  case billing
  /// The page at `/`.
  case home
  /// Nothing here.
  case unknown

  /// Which part of an MCP endpoint.
  enum Part {
    case endpoint
    /// The event stream of the 2024-11-05 transport.
    case legacyStream
    /// Where that transport's messages go.
    case legacyMessages
  }

  /// The route of a request's path as written; ranges count from its start.
  init(path: UnsafeRawBufferPointer) {
    if path.starts(with: "/mcp/".utf8) {
      self = Route.mcp(path) ?? .unknown
    } else if Route.isUnder("/webhooks", path) || Route.isUnder("/api/webhooks", path) {
      self = .billing
    } else if ["/api", "/oauth", "/.well-known", "/dashboard"].contains(where: {
      Route.isUnder($0, path)
    }) {
      self = .auth
    } else if ["/authorize", "/token", "/register"].contains(where: {
      path.elementsEqual($0.utf8)
    }) {
      // Where clients look that have no metadata at hand (MCP 2025-03-26): those of that time, and
      // the official ones when they refresh a token that an earlier process of theirs stored.
      self = .auth
    } else if path.count == 1 {
      self = .home
    } else {
      self = .unknown
    }
  }

  private static func isUnder(_ prefix: StaticString, _ path: UnsafeRawBufferPointer) -> Bool {
    let count = prefix.utf8CodeUnitCount
    guard path.count >= count,
      path.starts(with: UnsafeRawBufferPointer(start: prefix.utf8Start, count: count))
    else { return false }
    return path.count == count || path[count] == UInt8(ascii: "/")
  }

  private static func mcp(_ path: UnsafeRawBufferPointer) -> Route? {
    let start = 5
    let serviceEnd = path[start...].firstIndex(of: UInt8(ascii: "/")) ?? path.count
    let service = start..<serviceEnd
    guard (1...32).contains(service.count), path[service].allSatisfy(isServiceCharacter) else {
      return nil
    }
    guard serviceEnd < path.count else {
      return .mcp(service: service, credential: nil, part: .endpoint)
    }
    if let part = part(path, from: serviceEnd + 1) {
      return .mcp(service: service, credential: nil, part: part)
    }
    // Whatever stands here was meant as a credential; how it is wrong is nobody's business.
    let next = path[(serviceEnd + 1)...].firstIndex(of: UInt8(ascii: "/")) ?? path.count
    let credential = serviceEnd + 1..<next
    guard next < path.count else {
      return .mcp(service: service, credential: credential, part: .endpoint)
    }
    guard let part = part(path, from: next + 1) else {
      return .mcp(service: service, credential: 0..<0, part: .endpoint)
    }
    return .mcp(service: service, credential: credential, part: part)
  }

  private static func part(_ path: UnsafeRawBufferPointer, from index: Int) -> Part? {
    let rest = path[index...]
    if rest.elementsEqual("sse".utf8) { return .legacyStream }
    if rest.elementsEqual("messages".utf8) { return .legacyMessages }
    return nil
  }

  private static func isServiceCharacter(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
      UInt8(ascii: "-"):
      true
    default: false
    }
  }
}
