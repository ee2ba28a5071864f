// The request methods that mean something here. CONNECT and TRACE are refused while the request
// line is read and have no case, so that nothing further down can serve them.

/// A request method; names are compared with their letter case.
public enum Method: UInt8, Sendable {
  case get, head, post, put, patch, delete, options
  /// Any other token.
  case other

  /// The name as it stands in a request line; a dash for `other`.
  public var text: StaticString {
    switch self {
    case .get: "GET"
    case .head: "HEAD"
    case .post: "POST"
    case .put: "PUT"
    case .patch: "PATCH"
    case .delete: "DELETE"
    case .options: "OPTIONS"
    case .other: "-"
    }
  }

  /// The method that the `count` token bytes at `base` name.
  /// - Throws: `HeadError.methodRefused` for CONNECT and TRACE.
  static func named(_ base: UnsafeRawPointer, count: Int) throws(HeadError) -> Method {
    @inline(__always) func isIt(_ text: StaticString) -> Bool {
      for index in 0..<text.utf8CodeUnitCount
      where base.load(fromByteOffset: index, as: UInt8.self) != text.utf8Start[index] {
        return false
      }
      return true
    }
    switch count {
    case 3:
      if isIt("GET") { return .get }
      if isIt("PUT") { return .put }
    case 4:
      if isIt("POST") { return .post }
      if isIt("HEAD") { return .head }
    case 5:
      if isIt("PATCH") { return .patch }
      if isIt("TRACE") { throw .methodRefused }
    case 6: if isIt("DELETE") { return .delete }
    case 7:
      if isIt("OPTIONS") { return .options }
      if isIt("CONNECT") { throw .methodRefused }
    default: break
    }
    return .other
  }
}
