// What providers really answer at token endpoints, and what we take it for. Only their own word that
// a grant is dead may end one.

import OAuth
import Testing

@Suite("Token answers") struct TokenAnswerTests {
  private func read(
    _ body: String, status: Int = 200, form: Bool = false, after: Int? = nil, dead: [String] = []
  ) throws(TokenFailure) -> TokenAnswer {
    try TokenAnswer(
      status: status, isForm: form, body: Array(body.utf8), retryAfterSeconds: after,
      deadErrors: dead)
  }

  @Test("reads JSON and forms") func bothShapes() throws {
    let json = try read(
      #"""
      {"access_token":"a","refresh_token":"r","expires_in":3600,"token_type":"Bearer","scope":"x y"}
      """#)
    #expect(json.accessToken == "a" && json.refreshToken == "r" && json.lifetimeSeconds == 3600)
    #expect(json.scope == "x y")
    let form = try read("access_token=a&scope=repo%2Cuser&token_type=bearer", form: true)
    #expect(form.accessToken == "a" && form.refreshToken == nil && form.scope == "repo,user")
  }

  @Test(
    "takes a lifetime as a number and as text, and nothing that is no life",
    arguments: [
      ("3600", 3600), (#""3600""#, 3600), ("3600.0", 3600), ("0", nil), ("-1", nil),
      (#""""#, nil), (#""1h""#, nil), (#""+5""#, nil), ("null", nil), ("true", nil),
      ("1e300", nil), ("999999999999", TokenAnswer.lifetimeSecondsMax),
    ])
  func lifetimes(_ written: String, _ seconds: Int?) throws {
    #expect(
      try read(#"{"access_token":"a","expires_in":\#(written)}"#).lifetimeSeconds == seconds)
  }

  @Test(
    "only the provider's own word ends a grant",
    arguments: [
      (#"{"error":"invalid_grant"}"#, 400, TokenFailure.invalidGrant),
      (#"{"error":"invalid_grant"}"#, 403, .invalidGrant),
      (#"{"error":"invalid_grant"}"#, 200, .invalidGrant),
      (#"{"error":"invalid_grant"}"#, 503, .unavailable(retryAfterSeconds: 7)),
      (#"{"error":"invalid_grant"}"#, 429, .throttled(retryAfterSeconds: 7)),
      (#"{"error":"bad_refresh_token"}"#, 200, .invalidGrant),
      ("error=bad_refresh_token&error_description=x", 200, .invalidGrant),
      (#"{"error":"invalid_client"}"#, 401, .invalidClient),
      (#"{"error":"unauthorized_client"}"#, 400, .invalidClient),
      (#"{"message":"who are you"}"#, 401, .invalidClient),
      ("<html>blocked</html>", 401, .unavailable(retryAfterSeconds: 7)),
      ("<html>blocked</html>", 403, .unavailable(retryAfterSeconds: 7)),
      ("<html>ok</html>", 200, .unavailable(retryAfterSeconds: 7)),
      ("", 400, .unavailable(retryAfterSeconds: 7)),
      ("", 429, .throttled(retryAfterSeconds: 7)),
      (#"{"error":"slow_down"}"#, 400, .throttled(retryAfterSeconds: 7)),
      (#"{"error":"temporarily_unavailable"}"#, 400, .unavailable(retryAfterSeconds: 7)),
      (#"{"error":"invalid_scope"}"#, 400, .refused("invalid_scope")),
      (#"{"error":"Bearer secret"}"#, 400, .refused("unknown")),
      (#"{"error":"a","error":"invalid_grant"}"#, 400, .unavailable(retryAfterSeconds: 7)),
      (#"{"token_type":"Bearer"}"#, 200, .broken),
      (#"{"access_token":""}"#, 200, .broken),
      (#"{"access_token":"a b"}"#, 200, .broken),
      (#"{"access_token":"a","token_type":"mac"}"#, 200, .broken),
    ])
  func failures(_ body: String, _ status: Int, _ expected: TokenFailure) {
    #expect(throws: expected) {
      try read(
        body, status: status, form: body.hasPrefix("error="), after: 7, dead: ["bad_refresh_token"])
    }
  }

  @Test(
    "survives names that are one text and two byte strings",
    arguments: [
      ("access_token=a&%C3%A9=1&e%CC%81=2", true),
      ("{\"access_token\":\"a\",\"\u{e9}\":1,\"e\u{301}\":2}", false),
      ("{\"access_token\":\"a\",\"\\u00e9\":1,\"e\\u0301\":2}", false),
    ])
  func canonicalTwins(_ body: String, _ isForm: Bool) {
    // Either answer will do; what counts is that there is one.
    let answer = try? read(body, form: isForm)
    #expect(answer == nil || answer?.accessToken == "a")
  }
}
