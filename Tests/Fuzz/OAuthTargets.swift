// What providers answer: challenges, metadata, registrations, tokens. Whatever they write, what is
// taken of it can be sent and stored, and leads nowhere but where a URL may lead.

import HTTPCodec
import OAuth
import Providers
import StrictJSON

func fuzzChallenges(_ bytes: UnsafeRawBufferPointer) {
  let line = Array(bytes)
  _ = BearerChallenge(lines: [line])
  guard let challenges = Challenge.parse(line) else { return }
  promise(challenges.count <= Challenge.countMax, "challenges are bounded")
  // Written in one form only, they read the same.
  let again = challenges.map { challenge -> [UInt8] in
    var text = Array(challenge.scheme.utf8)
    for (index, (name, value)) in challenge.parameters.enumerated() {
      text += Array((index == 0 ? " " : ", ").utf8) + Array(name.utf8) + Array("=\"".utf8)
      for byte in value.utf8 {
        if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { text.append(0x5c) }
        text.append(byte)
      }
      text.append(UInt8(ascii: "\""))
    }
    return text
  }
  promise(
    Challenge.parse(Array(again.joined(separator: Array(", ".utf8)))) == challenges,
    "challenges read back as written")
}

func fuzzMetadata(_ bytes: UnsafeRawBufferPointer) {
  let body = Array(bytes)
  if let resource = try? ResourceMetadata(reading: body) {
    promise(isWellFormed(body), "what metadata takes as JSON is JSON")
    promise(!resource.authorizationServers.isEmpty, "there is a server")
    for scope in resource.scopes { promise(isVisible(scope, blank: false), "a scope is a word") }
    for issuer in resource.authorizationServers { checkAddresses(of: issuer) }
    if let url = WebURL(resource.resource) {
      for address in WellKnown.resourceMetadata(of: url) {
        promise(address.origin == url.origin, "metadata is where the resource is")
      }
      promise(
        !url.isOrigin || resource.speaks(of: url, foundAt: url), "a resource speaks of itself")
    }
  }
  if let server = try? ServerMetadata(reading: body) {
    promise(isWellFormed(body), "what metadata takes as JSON is JSON")
    for url in [server.authorizationURL, server.tokenURL, server.registrationURL] {
      guard let url else { continue }
      promise(WebURL(url.description) == url, "an endpoint reads back as written")
    }
    checkAddresses(of: server.issuer)
  }
}

private func checkAddresses(of issuer: String) {
  guard let url = WebURL(issuer) else { return }
  let addresses = WellKnown.serverMetadata(of: url)
  promise((2...3).contains(addresses.count) || url.path.utf8.count > 1900, "each form is there")
  for address in addresses { promise(address.origin == url.origin, "metadata is at the issuer") }
}

/// The first byte chooses the status and what was asked for.
func fuzzRegistrations(_ bytes: UnsafeRawBufferPointer) {
  guard let first = bytes.first else { return }
  let statuses = [201, 200, 400, 403, 429, 500]
  let ways = OAuthRules.ClientAuthentication.allCases
  let status = statuses[Int(first) % statuses.count]
  let body = Array(bytes.dropFirst())
  guard
    let client = try? RegisteredClient(
      status: status, body: body, retryAfterSeconds: nil,
      asked: ways[Int(first) / statuses.count % ways.count])
  else { return }
  promise(status < 300 && isWellFormed(body), "a client comes of a good answer")
  promise(isVisible(client.clientID, blank: true), "an id can be sent")
  promise((client.clientSecret == nil) == (client.authentication == .none), "a proof has a secret")
  for text in [client.clientSecret, client.registrationAccessToken] {
    if let text { promise(isVisible(text, blank: true), "a secret can be sent") }
  }
  promise(client.expiresAt.map { $0 > 0 } ?? true, "an end is a time")
}

/// The first byte chooses the status and the media type.
func fuzzTokenAnswers(_ bytes: UnsafeRawBufferPointer) {
  guard let first = bytes.first else { return }
  let statuses = [200, 400, 401, 403, 429, 500, 302]
  let status = statuses[Int(first) % statuses.count]
  do throws(TokenFailure) {
    let answer = try TokenAnswer(
      status: status, isForm: first & 0x80 != 0, body: Array(bytes.dropFirst()),
      retryAfterSeconds: nil, deadErrors: ["bad_refresh_token"])
    promise((200..<300).contains(status), "tokens come with success")
    for token in [answer.accessToken, answer.refreshToken] {
      guard let token else { continue }
      promise(isVisible(token, blank: false), "a token can be sent")
      promise(token.utf8.count <= TokenAnswer.tokenBytesMax, "a token is bounded")
    }
    for seconds in [answer.lifetimeSeconds, answer.refreshLifetimeSeconds] {
      guard let seconds else { continue }
      promise((1...TokenAnswer.lifetimeSecondsMax).contains(seconds), "a life is bounded")
    }
  } catch {
    if case .refused(let code) = error {
      promise(isVisible(code, blank: false) && code.utf8.count <= 64, "a code is a word")
    }
    if case .invalidGrant = error { promise(status < 429, "trouble ends no grant") }
  }
}

private func isVisible(_ text: String, blank: Bool) -> Bool {
  !text.isEmpty && text.utf8.allSatisfy { $0 > (blank ? 0x1f : 0x20) && $0 < 0x7f }
}
