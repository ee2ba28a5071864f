// Which URLs may receive a token, and which texts are no URL at all: the traps are spellings that
// two readers understand differently.

import Testing

@testable import HTTPCodec

@Suite("Web URLs") struct WebURLTests {
  static let good: [(String, String, Bool)] = [
    ("https://mcp.linear.app/mcp", "https://mcp.linear.app/mcp", true),
    ("https://mcp.stripe.com", "https://mcp.stripe.com/", true),
    ("HTTPS://API.Example.COM:443/A%20b?q=/?", "https://api.example.com/A%20b?q=/?", true),
    ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/", true),
    ("http://LOCALHOST/x", "http://localhost/x", true),
    ("http://[::1]:80/", "http://[::1]/", true),
    ("http://127.1.2.3", "http://127.1.2.3/", true),
    ("http://127.0.0.1.evil.com/", "http://127.0.0.1.evil.com/", false),
    ("http://localhost.evil.com/", "http://localhost.evil.com/", false),
    ("http://10.0.0.1/", "http://10.0.0.1/", false),
    ("https://10.0.0.1:8443/?", "https://10.0.0.1:8443/?", true),
    ("https://app.asana.com/-/oauth_authorize", "https://app.asana.com/-/oauth_authorize", true),
  ]

  @Test("are read into one normal form; tokens go to https or loopback only", arguments: good)
  func accepted(text: String, normal: String, secure: Bool) throws {
    let url = try #require(WebURL(text))
    #expect(url.description == normal)
    #expect(url.isSecure == secure)
    #expect(WebURL(normal) == url)
  }

  static let bad = [
    "", "https://", "https:/a", "//a", "a.b", "ftp://a/", "file:///etc/passwd", "javascript:1",
    "https://user@a/", "https://user:pass@a/", "http://127.0.0.1\\@evil/", "https://a\\b/",
    "http://127.1/", "http://2130706433/", "http://0x7f.0.0.1/", "http://0177.0.0.1/",
    "http://127.0.0.1./", "https://a.b./", "https://a..b/", "https://.a/", "https://-a/",
    "https://a%2eb/", "https://a\u{3002}b/", "https://\u{e9}.com/", "https://a b/", "https://a/ b",
    "https://a/\u{e9}", "https://a/#x", "https://a/%", "https://a/%4", "https://a/%zz",
    "https://a/%00", "https://a/%0d%0a", "https://a/../b", "https://a/%2E%2e/b", "https://a/.",
    "https://a:0/", "https://a:/", "https://a:65536/", "https://a:+80/", "https://a:8 0/",
    "https://[::1/", "https://[::1%eth0]/", "https://[127.0.0.1]/", "https://::1/",
    "https://[fe80::1%25lo]/", "https://a/\"", "https://a/<", "https://a/x\ty", " https://a/",
    "https://a/\n", "https://a/|",
  ]

  @Test("that two readers could read differently are refused", arguments: bad)
  func refused(text: String) {
    #expect(WebURL(text) == nil)
  }

  @Test("longer than the limit are refused")
  func long() {
    let path = String(repeating: "a", count: WebURL.bytesMax)
    #expect(WebURL("https://a/\(path)") == nil)
    #expect(WebURL("https://a/\(path.dropLast(10))") != nil)
    // The slash of the normal form counts.
    #expect(WebURL("https://a?\(path.dropLast(10))") == nil)
    #expect(WebURL("https://a?\(path.dropLast(11))") != nil)
  }

  @Test("target and origin are what a request line and a Host need")
  func parts() throws {
    let url = try #require(WebURL("https://a.example:8443/x/y?z=1"))
    #expect(url.origin == "https://a.example:8443" && url.target == "/x/y?z=1")
    #expect(url.port == 8443 && !url.isOrigin)
    #expect(WebURL("https://a.example")?.isOrigin == true)
  }
}
