// One row for each way in which two servers could read a request head differently. All rows run
// through one check, whole and a byte at a time.

import HTTPCodec
import Testing

@Suite("Request heads") struct RequestHeadTests {
  /// Lines between the request line and the Host, and the verdict.
  static let lines: [(String, HeadError?)] = [
    // Content-Length: where the body ends.
    ("Content-Length: 42", nil), ("content-LENGTH:42", nil), ("Content-Length:\t42 \t", nil),
    ("Content-Length: 0", nil), ("Content-Length: 9223372036854775807", nil),
    ("Content-Length: 9223372036854775808", .contentLength),  // negative for some
    ("Content-Length: 18446744073709551616", .contentLength),  // zero for some
    ("Content-Length: 99999999999999999999", .contentLength),
    ("Content-Length: +5", .contentLength), ("Content-Length: -0", .contentLength),
    ("Content-Length: 0x5", .contentLength), ("Content-Length: 5 5", .contentLength),
    ("Content-Length: 5_5", .contentLength), ("Content-Length: 5.0", .contentLength),
    ("Content-Length: 5,5", .contentLength), ("Content-Length: 5;", .contentLength),
    ("Content-Length: 05", .contentLength),  // octal for some
    ("Content-Length:", .contentLength), ("Content-Length: \u{665}", .contentLength),
    ("Content-Length: 5\r\nContent-Length: 5", .fieldRepeated(.contentLength)),
    ("Content-Length: 5\r\nContent-Length: 6", .fieldRepeated(.contentLength)),
    ("Content-Length: 5\r\ncontent-length: 5", .fieldRepeated(.contentLength)),
    // Transfer-Encoding: exactly one final chunked.
    ("Transfer-Encoding: chunked", nil), ("transfer-encoding:CHUNKED", nil),
    ("Transfer-Encoding: gzip", .transferEncoding),
    ("Transfer-Encoding: gzip, chunked", .transferEncoding),
    ("Transfer-Encoding: chunked, gzip", .transferEncoding),
    ("Transfer-Encoding: chunked, chunked", .transferEncoding),
    ("Transfer-Encoding: identity", .transferEncoding),
    ("Transfer-Encoding: xchunked", .transferEncoding),
    ("Transfer-Encoding: chunked;q=1", .transferEncoding),
    ("Transfer-Encoding: \"chunked\"", .transferEncoding),
    ("Transfer-Encoding: chunked,", .transferEncoding),
    ("Transfer-Encoding: ,chunked", .transferEncoding), ("Transfer-Encoding:", .transferEncoding),
    ("Transfer-Encoding: chun\u{212a}ed", .transferEncoding),  // the Kelvin sign folds to k
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", .fieldRepeated(.transferEncoding)),
    ("Transfer-Encoding: chunked\r\nContent-Length: 5", .framingConflict),
    ("Content-Length: 5\r\nTransfer-Encoding: chunked", .framingConflict),
    ("Content-Length: 0\r\nTransfer-Encoding: chunked", .framingConflict),
    // Names and lines: which field is it, and is it one?
    ("X-A : b", .fieldName), ("X-A\t: b", .fieldName), (" X-A: b", .fieldName),
    ("\tX-A: b", .fieldName), ("X-A", .fieldName), (": b", .fieldName), ("X-(A): b", .fieldName),
    ("X/A: b", .fieldName), ("X-Ä: b", .fieldName), ("X_A: b", .fieldName),
    ("Content_Length: 5", .fieldName), ("X-A: b\r\n c", .fieldName), ("X-A: b\r\n\tc", .fieldName),
    ("X-A;b: c", .fieldName), ("X-A\"b\": c", .fieldName), ("X A: b", .fieldName),
    ("X-A: b\rc", .controlByte(13)), ("X-A: b\nc", .controlByte(10)),
    ("X-A: b\u{0}c", .controlByte(0)), ("X-A: b\u{7f}", .controlByte(127)),
    ("X-A: \u{b}b", .controlByte(11)), ("X-A: \u{1b}[0m", .controlByte(27)),
    ("X\u{0}A: b", .controlByte(0)), ("X-A:\u{8}b", .controlByte(8)),
    ("X-A:", nil), ("X-A: \t ", nil), ("X-A: b\tc", nil), ("X-A: caf\u{e9}", nil),
    ("!#$%&'*+-.^`|~9aZ: b", nil), ("X-A: :b:", nil), ("X-A:b", nil),
    // Fields that mean something once.
    ("Host: b.example", .fieldRepeated(.host)), ("host: a.example", .fieldRepeated(.host)),
    ("Authorization: a\r\nAuthorization: b", .fieldRepeated(.authorization)),
    ("Content-Type: a/b\r\nContent-Type: a/b", .fieldRepeated(.contentType)),
    ("Origin: a\r\nORIGIN: b", .fieldRepeated(.origin)),
    ("Mcp-Session-Id: a\r\nMcp-Session-Id: b", .fieldRepeated(.mcpSessionID)),
    ("Accept: a/b\r\nAccept: c/d", nil), ("Cookie: a=b\r\nCookie: c=d", nil),
    ("X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2", nil),
    // Expect: nothing but 100-continue.
    ("Expect: 100-continue", nil), ("Expect: 100-Continue", nil), ("Expect:", .expectation),
    ("Expect: 100-continue, 100-continue", .expectation), ("Expect: 200-ok", .expectation),
    ("Expect: 100-continue;x", .expectation), ("Expect: y 100-continue", .expectation),
    ("Expect: 100-continue\r\nExpect: 100-continue", .fieldRepeated(.expect)),
  ]

  @Test("have one reading or none", arguments: lines)
  func fieldLines(text: String, expected: HeadError?) {
    check("POST / HTTP/1.1\r\nHost: a.example\r\n\(text)\r\n\r\n", expected)
  }

  static let requestLines: [(String, HeadError?)] = [
    ("GET / HTTP/1.1", nil), ("BREW /pot HTTP/1.1", nil), ("get / HTTP/1.1", nil),
    ("OPTIONS * HTTP/1.1", nil), ("GET /a?b=c/?:@!$&'()*+,;=[]{}|^` HTTP/1.1", nil),
    ("GET http://a.example/x?y HTTP/1.1", nil), ("GET HTTPS://A.Example/ HTTP/1.1", nil),
    ("GET  / HTTP/1.1", .requestLine), ("GET /  HTTP/1.1", .requestLine),
    ("GET / HTTP/1.1 ", .requestLine), (" GET / HTTP/1.1", .requestLine),
    ("GET / x HTTP/1.1", .requestLine), ("GET /", .requestLine), ("GET", .requestLine),
    ("GET /\tHTTP/1.1", .requestLine), ("GET\t/ HTTP/1.1", .requestLine),
    ("GET: / HTTP/1.1", .requestLine), ("GET / http/1.1", .requestLine),
    ("GET / HTTP/1.", .requestLine), ("GET / HTTP/1.10", .requestLine),
    ("GET / HTTP/01.1", .requestLine), ("GET / HTTP/1,1", .requestLine),
    ("GET / HTTPS/1.1", .requestLine), ("GET / ", .requestLine),
    ("GET / HTTP/0.9", .version), ("GET / HTTP/1.2", .version), ("GET / HTTP/2.0", .version),
    ("PRI * HTTP/2.0", .version), ("GET / HTTP/3.0", .version),
    ("CONNECT a.example:443 HTTP/1.1", .methodRefused), ("CONNECT / HTTP/1.1", .methodRefused),
    ("TRACE / HTTP/1.1", .methodRefused), ("connect / HTTP/1.1", nil),
    ("GET * HTTP/1.1", .target), ("OPTIONS ** HTTP/1.1", .target), ("GET a HTTP/1.1", .target),
    ("GET a.example:80 HTTP/1.1", .target), ("GET ?a HTTP/1.1", .target),
    ("GET /#a HTTP/1.1", .target), ("GET /?a#b HTTP/1.1", .target),
    ("GET /\\a HTTP/1.1", .target), ("GET /\" HTTP/1.1", .target), ("GET /< HTTP/1.1", .target),
    ("GET /?<script> HTTP/1.1", .target), ("GET /é HTTP/1.1", .target),
    ("GET ftp://a.example/ HTTP/1.1", .target), ("GET http:/a.example/ HTTP/1.1", .target),
    ("GET http://a.example HTTP/1.1", .target), ("GET http:///x HTTP/1.1", .host),
    ("GET http://b.example/ HTTP/1.1", .host), ("GET http://a.example:80/ HTTP/1.1", .host),
    ("GET http://me@a.example/ HTTP/1.1", .host), ("GET http://a.example\\@b/ HTTP/1.1", .host),
    ("GET /\u{0} HTTP/1.1", .controlByte(0)), ("GET /\r HTTP/1.1", .controlByte(13)),
    ("GET /\n HTTP/1.1", .controlByte(10)), ("\u{16}\u{3}\u{1}", .controlByte(22)),
    ("\u{7f}GET / HTTP/1.1", .controlByte(127)),
  ]

  @Test("say one thing in their first line", arguments: requestLines)
  func requestLine(text: String, expected: HeadError?) {
    check("\(text)\r\nHost: a.example\r\n\r\n", expected)
  }

  static let hosts: [(String, Bool)] = [
    ("a.example", true), ("A.Example:8080", true), ("127.0.0.1:1", true), ("[::1]", true),
    ("[::1]:65535", true), ("my_service:80", true), ("localhost", true), ("", false), (":", false),
    (":80", false), ("a:", false), ("a:0", false), ("a:65536", false), ("a:+80", false),
    ("a:080", false), ("a:80:80", false), ("a,b", false), ("a b", false), ("a/b", false),
    ("me@a", false), ("a%2eb", false), ("é", false), ("[::1", false), ("[::1]x", false),
    ("::1", false), ("[fe80::1%25eth0]", false), ("[v1.x]", false), ("0.0.0.0=5000", false),
    (String(repeating: "a", count: 263), false),
  ]

  @Test("name one host", arguments: hosts)
  func host(text: String, isGood: Bool) {
    check("GET / HTTP/1.1\r\nHost: \(text)\r\n\r\n", isGood ? nil : .host)
  }

  @Test("of HTTP/1.1 need a Host; of HTTP/1.0 they do not, and cannot be chunked")
  func versions() {
    check("GET / HTTP/1.1\r\n\r\n", .host)
    check("GET / HTTP/1.0\r\n\r\n", nil)
    check("GET http://a.example/ HTTP/1.0\r\n\r\n", .host)
    check("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", .transferEncoding)
  }

  static let connections: [(String, Bool)] = [
    ("1.1\r\nX: y", true), ("1.1\r\nConnection: close", false), ("1.1\r\nConnection: CLOSE", false),
    ("1.1\r\nConnection: x, close", false), ("1.1\r\nConnection: ,close,", false),
    ("1.1\r\nConnection: closed", true), ("1.1\r\nConnection: keep-alive", true),
    ("1.1\r\nConnection: keep-alive\r\nConnection: close", false),
    ("1.1\r\nConnection: Upgrade\r\nUpgrade: websocket", false),
    ("1.1\r\nUpgrade: h2c", false), ("1.1\r\nConnection: upgrade", false),
    ("1.0\r\nX: y", false), ("1.0\r\nConnection: keep-alive", true),
    ("1.0\r\nConnection: keep-alive, close", false),
  ]

  @Test("say whether another request may follow", arguments: connections)
  func keepAlive(text: String, expected: Bool) {
    let reading = Reading(Array("GET / HTTP/\(text)\r\nHost: a\r\n\r\n".utf8))
    #expect(reading.messages.first?.keepAlive == expected)
  }

  static let upgrades: [(String, Bool)] = [
    ("X: y", false), ("Upgrade: h2c", false), ("Upgrade: H2C", false),
    ("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk", false),
    ("Upgrade: websocket", true), ("Upgrade: h2c, websocket", true), ("Upgrade: h2", true),
    ("Upgrade:", true), ("Connection: upgrade", true), ("HTTP2-Settings: AAMAAABk", true),
  ]  // whoever offers h2c goes on in HTTP/1.1; whoever wants a tunnel does not

  @Test("say whether they insist on another protocol", arguments: upgrades)
  func upgrade(line: String, insists: Bool) throws {
    let head = RequestHead()
    let bytes = Array("POST / HTTP/1.1\r\nHost: a\r\n\(line)\r\nContent-Length: 0\r\n\r\n".utf8)
    let length = try bytes.withUnsafeBytes { try head.parse($0, limits: HeadLimits()) }
    #expect(length == bytes.count && head.wantsUpgrade == insists)
    #expect(head.keepAlive == (line == "X: y"))
  }

  @Test("keep to their limits exactly")
  func limits() {
    var limits = HeadLimits()
    limits.requestLineBytesMax = 20
    limits.headBytesMax = 60
    limits.fieldsMax = 3
    func path(_ count: Int) -> String { "/" + String(repeating: "a", count: count - 1) }
    check("GET \(path(7)) HTTP/1.1\r\nHost: a\r\n\r\n", nil, limits)
    check("GET \(path(8)) HTTP/1.1\r\nHost: a\r\n\r\n", .requestLineTooLong, limits)
    check("GET \(path(200)) HTTP/1.1\r\nHost: a\r\n\r\n", .requestLineTooLong, limits)
    // "GET / HTTP/1.1" CRLF "Host: a" CRLF is 25 bytes; the field and two CRLF make it 60.
    let field = { (count: Int) in "X: " + String(repeating: "y", count: count) }
    check("GET / HTTP/1.1\r\nHost: a\r\n\(field(28))\r\n\r\n", nil, limits)
    check("GET / HTTP/1.1\r\nHost: a\r\n\(field(29))\r\n\r\n", .headTooLong, limits)
    check("GET / HTTP/1.1\r\nHost: a\r\n\(field(900))\r\n\r\n", .headTooLong, limits)
    check("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nA: b\r\n\r\n", nil, limits)
    check("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nA: b\r\nA: b\r\n\r\n", .fieldsTooMany, limits)
  }

  @Test("may have one empty line before them")
  func emptyLines() {
    check("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", nil)
    check("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", .requestLine)
    check("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", .controlByte(10))
  }

  @Test("have a status for every error")
  func statuses() {
    let expected: [(HeadError, Int)] = [
      (.requestLineTooLong, 414), (.headTooLong, 431), (.fieldsTooMany, 431), (.target, 400),
      (.expectation, 417), (.methodRefused, 501), (.version, 505), (.framingConflict, 400),
    ]
    for (error, status) in expected { #expect(error.status == status) }
  }

  private func check(
    _ text: String, _ expected: HeadError?, _ limits: HeadLimits = HeadLimits()
  ) {
    let bytes = Array(text.utf8)
    let whole = Reading(bytes, limits: limits)
    let byteByByte = Reading(bytes, cuts: Array(0...bytes.count), limits: limits)
    if let expected {
      #expect(whole.end == .head(expected))
    } else {
      #expect(whole.messages.count == 1, "\(whole.end)")
    }
    #expect(byteByByte == whole)
  }
}
