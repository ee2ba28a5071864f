// Forms with files are read as browsers and libraries write them, and what two readers could read
// differently is refused.

import Testing

@testable import HTTPCodec

@Suite("Multipart form") struct MultipartFormTests {
  private static let boundary = Array("B".utf8)

  private func parse(_ text: String) throws -> MultipartForm {
    try MultipartForm(parsing: Array(text.utf8), boundary: Self.boundary)
  }

  private static func part(_ head: String, _ content: String = "x") -> String {
    "--B\r\n\(head)\r\n\r\n\(content)\r\n"
  }

  private static let plain = part(#"Content-Disposition: form-data; name="a""#)

  @Test("fields and files, with whatever is in them") func good() throws {
    let form = try parse(
      Self.part(#"Content-Disposition: form-data; name="a""#, "one\r\ntwo\r\n--C")
        + Self.part(
          "content-disposition:form-data; name=\"f\"; filename=\"é.png\"\r\nContent-Type: image/png",
          "\r\n--C-\r\n")
        + Self.part(#"Content-Disposition: form-data; name="e""#, "") + "--B--\r\n")
    #expect(
      form.parts == [
        .init(
          name: "a", fileName: nil, mediaType: nil, content: Array("one\r\ntwo\r\n--C".utf8)),
        .init(
          name: "f", fileName: "é.png", mediaType: "image/png",
          content: Array("\r\n--C-\r\n".utf8)),
        .init(name: "e", fileName: nil, mediaType: nil, content: []),
      ])
    #expect(form.text("e") == "")
    #expect(form.text("a") == "one\r\ntwo\r\n--C")
    #expect(form.text("f") == nil)
  }

  @Test("a boundary inside a line is content, at the start of one it is the boundary")
  func inside() throws {
    let form = try parse(
      Self.part(#"Content-Disposition: form-data; name="a""#, "x--B--\n--B--") + "--B--")
    #expect(form.text("a") == "x--B--\n--B--")
    #expect(throws: MultipartForm.Failure.framing) {
      try parse(Self.part(#"Content-Disposition: form-data; name="a""#, "x\r\n--Bx") + "--B--")
    }
  }

  @Test("a name that stands twice is none") func twice() throws {
    let form = try parse(Self.plain + Self.plain + "--B--\r\n")
    #expect(form.parts.count == 2)
    #expect(form.only("a") == nil)
    #expect(form.text("a") == nil)
  }

  static let bad: [(String, MultipartForm.Failure)] = [
    ("", .framing), ("--B", .framing), ("--B--", .framing), ("--B--\r\n", .framing),
    ("\r\n" + plain + "--B--", .framing), (plain, .framing), (plain + "--B", .framing),
    (plain + "--B-", .framing), (plain + "--B--\n", .framing), (plain + "--B--\r\n\r\n", .framing),
    (plain + "--B \r\n", .framing), (plain + "--Bx--", .framing),
    (part("") + "--B--", .partHead), (part("Content-Type: text/plain") + "--B--", .partHead),
    (part("Content-Disposition: form-data") + "--B--", .partHead),
    (part("Content-Disposition: form-data; name=a") + "--B--", .partHead),
    (part(#"Content-Disposition: form-data; name="""#) + "--B--", .partHead),
    (part(#"Content-Disposition: form-data; name="a"; name="b""#) + "--B--", .partHead),
    (part(#"Content-Disposition: form-data; name="a"; filename*=utf-8''x"#) + "--B--", .partHead),
    (part(#"Content-Disposition: form-data; filename="x"; name="a""#) + "--B--", .partHead),
    (part(#"Content-Disposition: attachment; name="a""#) + "--B--", .partHead),
    (part(#"Content-Disposition: form-data; name="a\"b""#) + "--B--", .partHead),
    (part("Content-Disposition: form-data; name=\"a\"\r\n folded") + "--B--", .partHead),
    (part("Content-Disposition : form-data; name=\"a\"") + "--B--", .partHead),
    (part("Content-Disposition: form-data; name=\"a\u{1}\"") + "--B--", .partHead),
    ("--B\r\nContent-Disposition: form-data; name=\"a\"\n\nx\r\n--B--", .partHead),
    (String(repeating: plain, count: 17) + "--B--", .tooManyParts),
  ]

  @Test("what two readers could read differently is refused", arguments: bad)
  func refused(text: String, failure: MultipartForm.Failure) {
    #expect(throws: failure) { try parse(text) }
  }

  @Test("sixteen parts are read") func most() throws {
    #expect(try parse(String(repeating: Self.plain, count: 16) + "--B--").parts.count == 16)
  }

  static let types: [(String, String?)] = [
    ("multipart/form-data; boundary=B", "B"), ("Multipart/Form-Data;Boundary=\"B\"", "B"),
    ("multipart/form-data; boundary=----WebKitFormBoundaryAbC123", "----WebKitFormBoundaryAbC123"),
    (
      "multipart/form-data; boundary=" + String(repeating: "x", count: 70),
      String(repeating: "x", count: 70)
    ),
    ("multipart/form-data; boundary=" + String(repeating: "x", count: 71), nil),
    ("multipart/form-data", nil), ("multipart/form-data; boundary=", nil),
    ("multipart/form-data; boundary=\"\"", nil), ("multipart/form-data; boundary=\"B", nil),
    ("multipart/form-data; boundary=a b", nil), ("multipart/form-data; boundary=B; x=y", nil),
    ("multipart/mixed; boundary=B", nil), ("multipart/form-data; charset=B", nil), ("", nil),
  ]

  @Test("the boundary stands in the media type, once and plainly", arguments: types)
  func boundaries(text: String, expected: String?) {
    #expect(MultipartForm.boundary(inContentType: text) == expected.map { Array($0.utf8) })
  }
}
