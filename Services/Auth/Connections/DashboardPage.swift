// Where a person's browser goes after a provider: a page of the dashboard's origins, never another.
// A page that the caller names is held against those origins before anybody leaves.

import HTTPCodec
import HTTPServer

/// The pages that people come back to.
struct DashboardPages: Sendable {
  private let origins: [String]

  /// - Parameter admin: ADMIN_URL; the first has the page that nobody has to name.
  init(admin: [WebURL]) {
    precondition(!admin.isEmpty)
    origins = admin.map(\.origin)
  }

  /// The page that is asked for, or the dashboard when none is; nil for one that is not ours.
  func admit(_ asked: String?) -> String? {
    guard let asked else { return "\(origins[0])/dashboard" }
    guard let url = WebURL(asked),
      origins.contains(where: { $0.utf8.elementsEqual(url.origin.utf8) })
    else { return nil }
    return url.description
  }

  /// Sends the browser to an admitted page with one parameter more.
  static func redirect(to page: String, _ name: StaticString, _ value: String) -> Response {
    let separator = page.utf8.contains(UInt8(ascii: "?")) ? "&" : "?"
    return Response(
      status: 302,
      fields: [
        (name: "location", value: "\(page)\(separator)\(name)=\(PercentCoding.encode(value))")
      ])
  }
}
