// The page at `/`: says what this host is,
// to people who typed its name.

import HTTPCodec
import HTTPServer

enum HomePage {
  private static let page: StaticString = """
    <!doctype html><html lang="en"><meta charset="utf-8"><title>Bindery</title>
    <style>body{font:16px/1.5 system-ui;max-width:36rem;margin:4rem auto;padding:0 1rem}</style>
    <h1>Bindery</h1><p>MCP authentication proxy. Connect a service once; your assistants reach it
    through here.</p><p><a href="/dashboard">Dashboard</a></p></html>
    """

  /// Answers GET and HEAD with the page. True when the connection may go on.
  static func serve(_ connection: ServerConnection) async -> Bool {
    let method = connection.head.method
    let keepAlive = connection.head.keepAlive
    connection.consumeHead()
    guard (try? await connection.collectBody()) != nil else { return false }
    let persists = keepAlive && connection.mayContinue
    let output = connection.output
    let serves = method == .get || method == .head
    output.append(statusLine: serves ? 200 : 405)
    output.append(
      """
      content-type: text/html; charset=utf-8\r
      content-security-policy: default-src 'none'; style-src 'unsafe-inline'; \
      frame-ancestors 'none'\r
      x-content-type-options: nosniff\r
      x-frame-options: DENY\r
      referrer-policy: no-referrer\r

      """)
    let bytes = serves ? page.utf8CodeUnitCount : 0
    output.append(field: "content-length", decimal: UInt64(bytes))
    if !serves { output.append("allow: GET, HEAD\r\n") }
    output.append(persists ? "\r\n" : "connection: close\r\n\r\n")
    if method == .get { output.append(page) }
    return await connection.flush() && persists
  }
}
