// Writes the few HTML pages that people see when an MCP client sends them here. Plain forms, no script,
// nothing from elsewhere; every text of a stranger is escaped, and no page may be framed.

import Bytes
import HTTPServer
import JOSE

/// Text as it stands in HTML, also inside quoted attributes.
struct HTMLText: ExpressibleByStringInterpolation, Sendable {
  private(set) var html: String

  init(stringLiteral value: String) { html = value }
  init(stringInterpolation: Interpolation) { html = stringInterpolation.html }

  /// Several, one after the other.
  init(_ parts: [HTMLText]) { html = parts.map(\.html).joined() }

  /// Literals are markup, what is interpolated is text: only another `HTMLText` goes in as it is.
  struct Interpolation: StringInterpolationProtocol {
    fileprivate var html = ""
    init(literalCapacity: Int, interpolationCount: Int) {}
    mutating func appendLiteral(_ literal: String) { html += literal }
    mutating func appendInterpolation(_ text: HTMLText) { html += text.html }
    mutating func appendInterpolation(_ text: String) { html += HTMLText.escaped(text) }
  }

  private static func escaped(_ text: String) -> String {
    var out = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": out += "&amp;"
      case "<": out += "&lt;"
      case ">": out += "&gt;"
      case "\"": out += "&quot;"
      case "'": out += "&#39;"
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out
  }
}

/// One page.
enum Page {
  private static let style = """
    body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem;\
    color:#1c1c1c;background:#fff}h1{font-size:1.4rem}dt{font-weight:600}dd{margin:0 0 .6rem}\
    label{display:block;margin:.6rem 0}input[type=email],input[type=password],input[type=text]\
    {width:100%;padding:.5rem;font:inherit;box-sizing:border-box}button{font:inherit;\
    padding:.5rem 1.2rem;margin:.8rem .6rem 0 0}.warning{border-left:4px solid #b00020;\
    padding:.2rem .8rem;background:#fdecee}small{color:#555}
    """
  private static let styleHash = Base64URL.encode(SHA256Digest.of(style))

  /// The policy's own spelling of base64.
  private static let styleSource: String = {
    let text = styleHash.utf8.map { byte in
      byte == UInt8(ascii: "-")
        ? UInt8(ascii: "+") : byte == UInt8(ascii: "_") ? UInt8(ascii: "/") : byte
    }
    return String(decoding: text, as: UTF8.self) + "="
  }()

  /// - Parameter formsStay: Whether forms lead to this origin alone. Not where a form ends in a
  ///   redirect to a client: browsers hold the policy against that, too.
  static func response(
    status: Int, title: String, _ body: HTMLText, formsStay: Bool = true
  ) -> Response {
    let page: HTMLText = """
      <!doctype html>
      <html lang="en"><head><meta charset="utf-8"><title>\(title)</title>
      <meta name="viewport" content="width=device-width,initial-scale=1">
      <style>\(HTMLText(stringLiteral: style))</style></head>
      <body><main>
      <h1>\(title)</h1>
      \(body)
      </main></body></html>

      """
    let policy =
      "default-src 'none'; style-src 'sha256-\(styleSource)'; frame-ancestors 'none'; "
      + "base-uri 'none'" + (formsStay ? "; form-action 'self'" : "")
    return Response(
      status: status,
      fields: [
        ("content-type", "text/html; charset=utf-8"), ("content-security-policy", policy),
        ("x-frame-options", "DENY"), ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"), ("cache-control", "no-store"),
      ], body: Array(page.html.utf8))
  }

  /// A page that says why nothing comes of it.
  static func failure(status: Int, _ why: String) -> Response {
    response(status: status, title: "This does not work", "<p>\(why)</p>")
  }
}
