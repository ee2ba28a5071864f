// Text that strangers send: JSON,
// forms, cookies, URLs.

import HTTPCodec
import StrictJSON

func fuzzStrictJSON(_ bytes: UnsafeRawBufferPointer) {
  let text = Array(bytes)
  let isGood = isWellFormed(text)
  if isGood { promise(String(validating: text, as: UTF8.self) != nil, "JSON is UTF-8") }
  let peek = JSONRPCPeek(bytes)
  if let id = peek.id { promise(isWellFormed(id), "an id is a JSON value by itself") }
  if let method = peek.method { promise(!method.contains(UInt8(ascii: "\"")), "a plain method") }
  if isGood, case .value(let range) = peek.identity {
    // What a prefix says of the id is what the whole says.
    let prefix = UnsafeRawBufferPointer(rebasing: bytes[..<((range.upperBound + bytes.count) / 2)])
    let early = JSONRPCPeek(prefix).identity
    promise(early == peek.identity || early == .unknown, "an id is not guessed")
  }
}

func fuzzForms(_ bytes: UnsafeRawBufferPointer) {
  guard let form = try? Form(parsing: bytes) else { return }
  promise(form.pairs.count <= Form.pairsMax, "pairs are bounded")
  _ = form.repeatedName
  let again = try? Form(parsing: form.encoded)
  let isSame = again?.pairs.elementsEqual(form.pairs) { a, b in
    a.name.utf8.elementsEqual(b.name.utf8) && a.value.utf8.elementsEqual(b.value.utf8)
  }
  // An empty name with an empty value is written as `=`, which is read back.
  promise(isSame == true, "a form reads back as written")
}

/// The first line of an input is a Content-Type, the rest the body.
func fuzzMultipart(_ bytes: UnsafeRawBufferPointer) {
  let lines = bytes.split(
    separator: UInt8(ascii: "\n"), maxSplits: 1, omittingEmptySubsequences: false)
  guard lines.count == 2,
    let boundary = MultipartForm.boundary(inContentType: String(decoding: lines[0], as: UTF8.self))
  else { return }
  let body = Array(lines[1])
  guard let form = try? MultipartForm(parsing: body, boundary: boundary) else { return }
  promise((1...MultipartForm.partsMax).contains(form.parts.count), "parts are bounded")
  // Written again by the rules, a form is the same bytes but for the spelling of its heads.
  var again: [UInt8] = []
  for part in form.parts {
    promise(!part.name.isEmpty && !part.name.utf8.contains(0x22), "a part has a plain name")
    var head = "--\(String(decoding: boundary, as: UTF8.self))\r\n"
    head += "Content-Disposition: form-data; name=\"\(part.name)\""
    if let fileName = part.fileName { head += "; filename=\"\(fileName)\"" }
    if let type = part.mediaType { head += "\r\nContent-Type: \(type)" }
    again += Array((head + "\r\n\r\n").utf8) + part.content + [0x0d, 0x0a]
  }
  again += Array("--".utf8) + boundary + Array("--\r\n".utf8)
  guard let second = try? MultipartForm(parsing: again, boundary: boundary) else {
    // A head may have come shorter than we write it.
    return promise(again.count > body.count, "a form reads back as written")
  }
  promise(second.parts == form.parts, "a form reads back as written")
}

func fuzzCookies(_ bytes: UnsafeRawBufferPointer) {
  guard let value = try? Cookies.value("s", in: bytes) else { return }
  promise(value.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != 0x3b }, "a cookie value is plain")
}

func fuzzURLs(_ bytes: UnsafeRawBufferPointer) {
  let text = String(decoding: bytes, as: UTF8.self)
  if let url = WebURL(text) {
    promise(WebURL(url.description) == url, "a URL reads back as written")
    promise(url.description.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f }, "a URL is visible ASCII")
  }
  if let authority = Authority(bytes) {
    promise(Authority(authority.description.utf8) == authority, "an authority reads back")
  }
  if let path = Target.canonicalPath(bytes) {
    promise(!path.utf8.contains(0), "a path has no NUL")
    if Target.isPlain(bytes) {
      promise(path.utf8.elementsEqual(bytes), "a plain path is its own canonical form")
    }
  }
  _ = PercentCoding.decode(bytes)
}
