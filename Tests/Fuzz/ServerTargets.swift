// What MCP clients write: redirect addresses, what they say of themselves, what they ask for, and the
// tokens that they show. Whatever it is, people are sent nowhere but where a redirect may lead, and one
// token has one text.

import HTTPCodec
import OAuth
import StrictJSON
import Vault

func fuzzRedirectURIs(_ bytes: UnsafeRawBufferPointer) {
  let lines = bytes.split(separator: 0x0a).prefix(2).map { String(decoding: $0, as: UTF8.self) }
  let read = lines.compactMap { RedirectURI($0) }
  for uri in read {
    promise(uri.matches(uri), "an address is itself")
    promise(uri.url.scheme == .https || uri.isLoopback, "http leads to loopback alone")
    promise(!uri.text.utf8.contains { $0 <= 0x20 || $0 == 0x23 || $0 >= 0x7f }, "it is a field")
    let sent = uri.adding([.init(name: "code", value: "a b"), .init(name: "state", value: "\n&=")])
    promise(sent.utf8.starts(with: uri.text.utf8), "what was registered stays")
    promise(!sent.utf8.contains { $0 <= 0x20 }, "an answer is a field")
    promise(WebURL(sent).map { $0.origin == uri.url.origin } ?? true, "it goes where it said")
  }
  if read.count == 2 {
    promise(read[0].matches(read[1]) == read[1].matches(read[0]), "either way round")
    if read[0].matches(read[1]) {
      promise(read[0].url.authority.host == read[1].url.authority.host, "hosts never differ")
      promise(read[0].url.path == read[1].url.path, "paths never differ")
    }
  }
}

func fuzzClientMetadata(_ bytes: UnsafeRawBufferPointer) {
  let body = Array(bytes)
  for read in [try? ClientMetadata(registration: body), try? ClientMetadata(document: body)] {
    guard let read else { continue }
    promise(isWellFormed(body), "what is taken as JSON is JSON")
    promise(
      (1...ClientMetadata.redirectURIsMax).contains(read.redirectURIs.count),
      "redirects are bounded")
    promise((read.name ?? "").utf8.count <= ClientMetadata.nameBytesMax, "a name is bounded")
  }
  if let document = try? ClientMetadata(document: body) {
    promise(document.authentication == .none && document.clientID != nil, "no secret by document")
  }
}

func fuzzAuthorizationRequests(_ bytes: UnsafeRawBufferPointer) {
  guard let form = try? Form(parsing: Array(bytes)) else { return }
  if let sender = AuthorizationSender(form) {
    promise(!sender.clientID.isEmpty, "somebody asks")
    promise(sender.state.map { !$0.isEmpty } ?? true, "a state says something")
  }
  guard let asked = try? AuthorizationRequest(form) else { return }
  promise(asked.challenge.count == 32, "a challenge is a hash")
  promise(form.all("resource").allSatisfy { $0.isEmpty || $0 == asked.resource }, "one resource")
  promise(form.only("code_challenge_method") == "S256", "no plain challenge")
  promise(form.only("response_type") == "code", "codes alone")
}

func fuzzGrantTokens(_ bytes: UnsafeRawBufferPointer) {
  let text = String(decoding: bytes, as: UTF8.self)
  if let token = GrantRefreshToken(text) {
    promise(token.makeText().utf8.elementsEqual(text.utf8), "one token has one text")
    let salt = [UInt8](repeating: 7, count: 32)
    let next = token.successor(salt: salt)
    promise(next.familyHash == token.familyHash, "a family stays")
    promise(next.secret.lookup != token.secret.lookup, "a token changes")
    promise(next.secret.lookup == token.successor(salt: salt).secret.lookup, "always the same")
  }
  if let code = CredentialSecret(text: text) {
    promise(code.makeText().utf8.elementsEqual(text.utf8), "one code has one text")
  }
  let hashing = HashContext()
  let once = CredentialSecret(accessToken: bytes, hashing: hashing).lookup
  promise(
    once == CredentialSecret(accessToken: bytes, hashing: hashing).lookup, "by its text alone")
}
