// Writes and reads a cookie of ours. Over https it carries the __Host- prefix, so that no other host
// of the same site can plant one; always HttpOnly. Who may send it along decides SameSite: the
// session's cookie our own pages alone, the one of a connection under way also a provider's redirect.

import Accounts
import HTTPCodec
import HTTPServer

/// One cookie that auth gives to browsers.
struct CookieField: Sendable {
  /// Which requests of other sites carry it.
  enum SameSite: String {
    case strict = "Strict"
    /// Also a top-level GET that another site leads to.
    case lax = "Lax"
  }

  /// Its name.
  let name: String
  private let attributes: String
  private let secondsMax: Int64

  private init(_ name: StaticString, _ sameSite: SameSite, secondsMax: Int64, publicURL: WebURL) {
    let isSecure = publicURL.scheme == .https
    self.name = isSecure ? "__Host-\(name)" : "\(name)"
    attributes = "; Path=/; HttpOnly; SameSite=\(sameSite.rawValue)" + (isSecure ? "; Secure" : "")
    self.secondsMax = secondsMax
  }

  /// The cookie of signed-in browsers.
  static func session(publicURL: WebURL) -> CookieField {
    CookieField(
      "bindery_session", .strict, secondsMax: SessionLife.secondsMax, publicURL: publicURL)
  }

  /// The cookie of browsers in which a connection is under way.
  static func connect(publicURL: WebURL) -> CookieField {
    CookieField(
      "bindery_connect", .lax, secondsMax: ConnectLife.authorizationSecondsMax,
      publicURL: publicURL)
  }

  /// The cookie that binds a sign-in form of ours to the browser that was shown it.
  static func page(publicURL: WebURL) -> CookieField {
    CookieField("bindery_page", .strict, secondsMax: 3600, publicURL: publicURL)
  }

  /// The field that gives the cookie to the browser.
  /// - Parameter seconds: Its life where that is shorter than usual.
  func set(_ value: String, seconds: Int64? = nil) -> (name: String, value: String) {
    ("set-cookie", "\(name)=\(value)\(attributes); Max-Age=\(seconds ?? secondsMax)")
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
