// Decides what a browser's Origin may do: which pages read our answers (CORS), and which may send a
// request that changes something while the browser adds the session cookie (CSRF). Origins are
// compared byte for byte with the configured ones.

import HTTPCodec
import HTTPServer

/// The origins of the dashboard and of ourselves.
struct OriginPolicy: Sendable {
  private let readers: [String]
  private let writers: [String]
  private let own: String

  /// `admin` may read and write, `own` needs no CORS and may write.
  init(admin: [WebURL], own: WebURL) {
    readers = admin.map(\.origin)
    writers = readers + [own.origin]
    self.own = own.origin
  }

  private static func contains(_ list: [String], _ origin: String) -> Bool {
    list.contains { $0.utf8.elementsEqual(origin.utf8) }
  }

  /// Whether a request with the session cookie may change something.
  func admitsChange(_ request: Request) -> Bool {
    guard request.fieldCount("origin") == 1, let origin = request.field("origin") else {
      return false
    }
    return Self.contains(writers, origin)
  }

  /// Whether a request that brings no cookie may set one: without an Origin it is no page's.
  func admitsSignIn(_ request: Request) -> Bool {
    request.fieldCount("origin") == 0 || admitsChange(request)
  }

  /// Whether a form of our own pages may have sent this. Under our policy of no referrer browsers
  /// write `null`, which others can, too: the token in the form is what proves it.
  func admitsOwn(_ request: Request) -> Bool {
    guard request.fieldCount("origin") > 0 else { return true }
    guard request.fieldCount("origin") == 1, let origin = request.field("origin") else {
      return false
    }
    return origin.utf8.elementsEqual(own.utf8) || origin.utf8.elementsEqual("null".utf8)
  }

  /// The fields that let the page at the request's origin read the answer.
  func fields(for request: Request) -> [(name: String, value: String)] {
    let vary = (name: "vary", value: "Origin")
    guard request.fieldCount("origin") == 1, let origin = request.field("origin"),
      Self.contains(readers, origin)
    else { return [vary] }
    return [
      (name: "access-control-allow-origin", value: origin),
      (name: "access-control-allow-credentials", value: "true"), vary,
    ]
  }

  /// The answer to a preflight.
  func preflight(_ request: Request) -> Response {
    guard request.fieldCount("origin") == 1, let origin = request.field("origin"),
      Self.contains(readers, origin)
    else { return Response(status: 403, fields: [(name: "vary", value: "Origin")]) }
    return Response(
      status: 204,
      fields: fields(for: request) + [
        (name: "access-control-allow-methods", value: "GET, POST, PATCH, DELETE, OPTIONS"),
        (name: "access-control-allow-headers", value: "Authorization, Content-Type"),
        (name: "access-control-max-age", value: "600"),
      ])
  }
}
