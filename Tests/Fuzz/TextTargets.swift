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
