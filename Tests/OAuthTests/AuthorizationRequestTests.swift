// What clients ask for is read in one way only, and redirects match byte for byte but for the port of a
// loopback one.

import HTTPCodec
import OAuth
import Testing

@Suite("Authorization requests") struct AuthorizationRequestTests {
  static let challenge = String(repeating: "A", count: 43)
  static let good = [
    ("response_type", "code"), ("client_id", "c"), ("redirect_uri", "http://127.0.0.1/cb"),
    ("code_challenge", challenge), ("code_challenge_method", "S256"), ("resource", "r"),
  ]

  private func form(_ change: (inout [(String, String)]) -> Void) -> Form {
    var pairs = Self.good
    change(&pairs)
    return Form(pairs.map { Form.Pair(name: $0.0, value: $0.1) })
  }

  private func fault(_ change: (inout [(String, String)]) -> Void) -> AuthorizationFault? {
    do throws(AuthorizationFault) {
      _ = try AuthorizationRequest(form(change))
      return nil
    } catch { return error }
  }

  @Test("takes the good one, also with what it does not know") func good() throws {
    let asked = try AuthorizationRequest(
      form { $0 += [("unknown", "x"), ("scope", "openid mcp")] })
    #expect(asked.challenge == [UInt8](repeating: 0, count: 32))
    #expect(asked.resource == "r" && !asked.isSilent)
    #expect(fault { $0.append(("resource", "r")) } == nil)
    #expect(fault { $0.append(("response_mode", "query")) } == nil)
    #expect(fault { $0.append(("state", "")) } == nil)
    #expect(try AuthorizationRequest(form { $0.append(("prompt", "login none")) }).isSilent)
  }

  @Test("a parameter that is missing or wrong has its error") func wrong() {
    let rows: [(String, String?, AuthorizationFault)] = [
      ("response_type", nil, .unsupportedResponseType),
      ("response_type", "token", .unsupportedResponseType),
      ("code_challenge", nil, .invalidRequest), ("code_challenge", "", .invalidRequest),
      ("code_challenge", Self.challenge + "A", .invalidRequest),
      ("code_challenge", String(Self.challenge.dropLast()) + "B", .invalidRequest),
      ("code_challenge_method", nil, .invalidRequest),
      ("code_challenge_method", "plain", .invalidRequest),
      ("resource", nil, .invalidTarget), ("resource", "", .invalidTarget),
    ]
    for (name, value, expected) in rows {
      let found = fault { pairs in
        pairs.removeAll { $0.0 == name }
        if let value { pairs.append((name, value)) }
      }
      #expect(found == expected, "\(name)=\(value ?? "nothing")")
    }
    #expect(fault { $0.append(("client_id", "c")) } == .invalidRequest)
    #expect(
      fault {
        $0.append(("x", "1")); $0.append(("x", "2"))
      } == .invalidRequest)
    #expect(fault { $0.append(("resource", "other")) } == .invalidTarget)
    #expect(fault { $0.append(("scope", "admin")) } == .invalidScope)
    #expect(fault { $0.append(("response_mode", "form_post")) } == .invalidRequest)
  }

  @Test("nobody is answered who is not named once, with a redirect") func sender() {
    #expect(AuthorizationSender(form { _ in })?.state == nil)
    #expect(AuthorizationSender(form { $0.append(("state", "a b")) })?.state == "a b")
    for name in ["client_id", "redirect_uri"] {
      #expect(AuthorizationSender(form { $0.removeAll { $0.0 == name } }) == nil)
      #expect(AuthorizationSender(form { $0.append((name, "http://127.0.0.1/cb")) }) == nil)
    }
  }

  static let redirects: [(String, String, Bool)] = [
    ("http://127.0.0.1/cb", "http://127.0.0.1:80/cb", true),
    ("http://127.0.0.1:1/cb", "http://127.0.0.1:65535/cb", true),
    ("http://127.0.0.1", "http://127.0.0.1:9", true),
    ("http://127.0.0.1", "http://127.0.0.1/", false),
    ("http://127.0.0.1/cb", "http://127.0.0.2/cb", false),
    ("http://localhost/cb", "http://127.0.0.1/cb", false),
    ("http://127.0.0.1/cb", "http://127.0.0.1/cb?", false),
    ("http://127.0.0.1/%63b", "http://127.0.0.1/cb", false),
    ("https://localhost:1/cb", "https://localhost:2/cb", false),
    ("https://c.example/cb", "https://c.example:443/cb", false),
  ]

  @Test("redirects match as written, but for a loopback port", arguments: redirects)
  func redirect(registered: String, shown: String, matches: Bool) throws {
    let (one, other) = try (#require(RedirectURI(registered)), #require(RedirectURI(shown)))
    #expect(other.matches(one) == matches && one.matches(other) == matches)
    #expect(one.matches(one))
  }

  @Test(
    "no redirect",
    arguments: [
      "", "c.example", "HTTP://127.0.0.1/", "http://c.example/", "https://c.example/#",
      "https://u@c.example/", "https://*.example/", "javascript:alert(1)", "app:/cb",
      "http://127.1/", "http://0x7f000001/", "http://127.0.0.1\\@evil/", "https://c.example/\n",
      "http://[::2]/", "https://c.example/../x",
    ])
  func noRedirect(text: String) { #expect(RedirectURI(text) == nil) }

  @Test("an answer is added to the query that is there") func answers() throws {
    let pairs = [Form.Pair(name: "code", value: "a+b")]
    let rows = [
      ("https://c.example/cb", "https://c.example/cb?code=a%2Bb"),
      ("https://c.example/cb?", "https://c.example/cb?code=a%2Bb"),
      ("https://c.example/cb?x=1", "https://c.example/cb?x=1&code=a%2Bb"),
    ]
    for (uri, expected) in rows {
      #expect(try #require(RedirectURI(uri)).adding(pairs) == expected)
    }
  }
}
