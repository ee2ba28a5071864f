// Writes and reads the session cookie. Over https it carries the __Host- prefix, so that no other
// host of the same site can plant one; always HttpOnly and SameSite=Strict.

import Accounts
import HTTPCodec
import HTTPServer

/// The cookie of signed-in browsers.
struct SessionCookieField: Sendable {
  /// Its name.
  let name: String
  private let attributes: String

  /// The cookie of an installation that is reached at `publicURL`.
  init(publicURL: WebURL) {
    let isSecure = publicURL.scheme == .https
    name = isSecure ? "__Host-bindery_session" : "bindery_session"
    attributes = "; Path=/; HttpOnly; SameSite=Strict" + (isSecure ? "; Secure" : "")
  }

  /// The field that gives the cookie to the browser.
  func set(_ value: String) -> (name: String, value: String) {
    ("set-cookie", "\(name)=\(value)\(attributes); Max-Age=\(SessionLife.secondsMax)")
  }

  /// The field that takes it away.
  var clear: (name: String, value: String) { ("set-cookie", "\(name)=\(attributes); Max-Age=0") }

  /// The cookie's value in `request`; nil when it is not there exactly once.
  func value(in request: Request) -> String? {
    var found: [Substring.UTF8View] = []
    for field in request.fields where field.name.utf8.elementsEqual("cookie".utf8) {
      for pair in field.value.utf8.split(separator: UInt8(ascii: ";")) {
        let trimmed = pair.drop { $0 == 0x20 }
        guard let equals = trimmed.firstIndex(of: UInt8(ascii: "=")),
          trimmed[..<equals].elementsEqual(name.utf8)
        else { continue }
        found.append(trimmed[trimmed.index(after: equals)...])
      }
    }
    return found.count == 1 ? String(Substring(found[0])) : nil
  }
}
