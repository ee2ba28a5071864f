// One spelling for each path; numbers,
// forms and cookies with one reading.

import Bytes
import HTTPCodec
import Testing

@Suite("Targets, forms, cookies") struct TargetTests {
  static let paths: [(String, String?)] = [
    ("/", "/"), ("/mcp/linear/abc", "/mcp/linear/abc"), ("/a/", "/a/"), ("/a%20b", "/a b"),
    ("/%C3%A9", "/é"), ("/a+b", "/a+b"), ("/a.b/.well-known/x", "/a.b/.well-known/x"),
    ("/...", "/..."), ("/a:b@c", "/a:b@c"),
    ("", nil), ("a", nil), ("//", nil), ("//a", nil), ("/a//b", nil), ("/a//", nil),
    ("/.", nil), ("/..", nil), ("/a/../b", nil), ("/a/./b", nil), ("/a/..", nil),
    ("/%2e", nil), ("/%2E%2e/x", nil), ("/a%2eb", nil), ("/.%2e/", nil), ("/a%2fb", nil),
    ("/a%2Fb", nil), ("/a%5cb", nil), ("/a\\b", nil), ("/a;b", nil), ("/a%3bb", nil),
    ("/%252e", nil), ("/%25", nil), ("/a%00", nil), ("/a%0d%0a", nil), ("/a%7f", nil),
    ("/%c0%af", nil), ("/%e0%80%af", nil), ("/%ff", nil), ("/%c3", nil), ("/%", nil), ("/%4", nil),
    ("/%zz", nil), ("/%+1", nil), ("/%3f", nil), ("/%23", nil),
  ]

  @Test("paths have one spelling", arguments: paths)
  func path(raw: String, expected: String?) {
    let bytes = Array(raw.utf8)
    let path = bytes.withUnsafeBytes { Target.canonicalPath($0) }
    #expect(path == expected)
    if bytes.withUnsafeBytes({ Target.isPlain($0) }) { #expect(path == raw) }
  }

  @Test("numbers are digits")
  func decimals() {
    let rows: [(String, UInt64?)] = [
      ("0", 0), ("42", 42), ("9223372036854775807", 9_223_372_036_854_775_807),
      ("9223372036854775808", nil), ("18446744073709551616", nil), ("99999999999999999999", nil),
      ("", nil), ("+5", nil), ("-5", nil), (" 5", nil), ("5 ", nil), ("05", nil), ("00", nil),
      ("5_0", nil), ("0x5", nil), ("5.0", nil), ("٥", nil), ("5\u{0}", nil), ("1e3", nil),
    ]
    for (text, expected) in rows { #expect(Decimal.parse(text) == expected, "\(text)") }
  }

  @Test("forms keep order and duplicates, and decode once")
  func forms() throws {
    let form = try Form(parsing: "a=1&b=x+y%2B%20&&a=2&c&=d&%61=%25%32%35&e=f=g")
    #expect(
      form.pairs.map { "\($0.name)|\($0.value)" }
        == ["a|1", "b|x y+ ", "a|2", "c|", "|d", "a|%25", "e|f=g"])
    #expect(form.only("a") == nil)
    #expect(form.all("a") == ["1", "2", "%25"])
    #expect(form.only("b") == "x y+ ")
    #expect(form.repeatedName == "a")
    #expect(try Form(parsing: form.encoded) == form)
    #expect(try Form(parsing: "").pairs.isEmpty)
    #expect(try Form(parsing: "e\u{301}=1&\u{e9}=2").repeatedName == nil)  // bytes, not letters
    for bad in ["a=%", "a=%4", "a=%zz", "a=%00", "a=%ff", "%c0%af=1", "a=%ed%a0%80"] {
      #expect(throws: Form.Failure.malformed, "\(bad)") { try Form(parsing: bad) }
    }
    let many = String(repeating: "a&", count: 256)
    #expect(try Form(parsing: many).pairs.count == 256)
    #expect(throws: Form.Failure.tooManyPairs) { try Form(parsing: many + "a") }
  }

  @Test("cookies stand once or not at all")
  func cookies() throws {
    let rows: [(String, Result<String?, Cookies.Failure>)] = [
      ("s=abc", .success("abc")), ("a=b; s=abc; c=d", .success("abc")), ("s=", .success("")),
      ("a=b;s=abc;c=d", .success("abc")), ("; ;s=a=b", .success("a=b")), ("", .success(nil)),
      ("ss=a; xs=b; S=c", .success(nil)), ("a=b", .success(nil)), ("x; \"s=1", .success(nil)),
      ("s=a; s=a", .failure(.repeated)), ("s=a; s=b", .failure(.repeated)),
      ("s", .failure(.malformed)), ("s=\"a\"", .failure(.malformed)),
      ("s=a b", .failure(.malformed)), ("s=a,b", .failure(.malformed)),
      ("s=é", .failure(.malformed)), ("s =a", .success(nil)), ("s=a\u{0}", .failure(.malformed)),
    ]
    for (field, expected) in rows {
      let found = Result { () throws(Cookies.Failure) in try Cookies.value("s", in: field) }
      #expect(found == expected, "\(field)")
    }
  }

  @Test("dates are written as RFC 9110 has them")
  func dates() {
    let rows: [(Int64, String)] = [
      (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
      (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
      (1_709_164_799, "Wed, 28 Feb 2024 23:59:59 GMT"),
      (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
      (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
      (-1, "Wed, 31 Dec 1969 23:59:59 GMT"), (.max, "Fri, 31 Dec 9999 23:59:59 GMT"),
      (.min, "Mon, 01 Jan 0001 00:00:00 GMT"),
    ]
    for (seconds, expected) in rows {
      let buffer = Buffer(capacity: 8)
      buffer.append(httpDate: seconds)
      #expect(String(decoding: buffer.readable, as: UTF8.self) == expected)
    }
  }

  @Test("heads are written with clean values")
  func written() {
    let buffer = Buffer(capacity: 8)
    buffer.append(statusLine: 404)
    buffer.append(field: "x-a", "b")
    buffer.append(field: "x-c", text: "d\te")
    buffer.append(field: "content-length", decimal: 42)
    #expect(
      String(decoding: buffer.readable, as: UTF8.self)
        == "HTTP/1.1 404 Not Found\r\nx-a: b\r\nx-c: d\te\r\ncontent-length: 42\r\n")
    for (text, isClean) in [
      ("ab", true), ("", true), ("a\tb", true), ("a\r\nb", false), ("a\u{7f}", false),
    ] {
      #expect(Array(text.utf8).withUnsafeBytes { FieldValue.isClean($0) } == isClean)
    }
  }
}
