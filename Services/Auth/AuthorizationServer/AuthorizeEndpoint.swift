// The page that an MCP client sends a person to (OAuth 2.1 section 4.1.1), from the query to the answer:
// who asks and where the answer goes, then who the person is, then what is asked, then what the person
// decides. A request that names no redirect of its client is answered here and goes nowhere; every
// other fault goes back to the client, but only once the person signed in, so that this address
// redirects no stranger (RFC 9700 section 4.11.2).

import Accounts
import Bytes
import Clocks
import HTTPCodec
import HTTPServer
import JOSE
import OAuth
import Providers
import Vault

/// GET and POST /oauth/authorize
struct AuthorizeEndpoint: Sendable {
  static let path = "/oauth/authorize"
  private static let queryBytesMax = 8192

  let registry: ClientRegistry
  let documents: ServerDocuments
  let signIn: SignIn
  let authentication: Authentication
  let page: CookieField
  let consent: Consent
  /// The dashboard, where people of Clerk sign in; nil without Clerk.
  let dashboard: String?

  /// A request whose sender is known.
  struct Asked: Sendable {
    let form: Form
    let sender: AuthorizationSender
    let client: KnownClient
    /// The query as it came.
    let query: String
  }

  func respond(_ request: Request, now: UnixTime) async -> Response {
    do throws(Refusal) {
      switch request.method {
      case .get, .head, .post: break
      default: throw .methodUnknown(allowed: "GET, POST")
      }
      guard let asked = try await read(request, now: now) else {
        return Page.failure(
          status: 400,
          "The program that sent you here is not known, or did not say where its answer goes. "
            + "Nothing was sent to it.")
      }
      let cookie = authentication.cookie.value(in: request)
      let body = request.method == .post ? try Self.body(request) : nil
      if let body, body.only("decision") == nil {
        return try await enter(request, asked, body, now: now)
      }
      guard let cookie, let user = try await self.user(cookie, now: now) else {
        return signInPage(request, asked)
      }
      return try await decide(request, asked, user, cookie: cookie, body: body, now: now)
    } catch { return Self.failure(error) }
  }

  /// Who asks; nil when there is nobody to answer to.
  private func read(_ request: Request, now: UnixTime) async throws(Refusal) -> Asked? {
    let query = request.query ?? ""
    guard query.utf8.count <= Self.queryBytesMax, let form = try? Form(parsing: query),
      let sender = AuthorizationSender(form)
    else { return nil }
    let client = try await registry.find(
      sender.clientID, for: ClientNetwork(address: request.client), now: now)
    guard let client, client.admits(sender.redirectURI) else { return nil }
    return Asked(form: form, sender: sender, client: client, query: query)
  }

  private static func body(_ request: Request) throws(Refusal) -> Form {
    do throws(OAuthRefusal) { return try OAuthForm.read(request) } catch { throw .bodyMalformed }
  }

  private func user(_ cookie: String, now: UnixTime) async throws(Refusal) -> User? {
    do throws(AccountError) {
      return try await authentication.sessions.session(cookie: cookie, now: now)?.user
    } catch { throw Refusal(error) }
  }

  // MARK: Signing in

  private func signInPage(
    _ request: Request, _ asked: Asked, status: Int = 200, problem: String? = nil
  ) -> Response {
    var (status, problem) = (status, problem)
    var service: String?
    do throws(AuthorizationFault) {
      let wanted = try AuthorizationRequest(Self.withoutOurs(asked.form))
      if wanted.isSilent {
        return answer(asked, .loginRequired, status: 302)
      }
      guard let id = documents.service(of: wanted.resource) else { throw .invalidTarget }
      service = documents.catalogue.value[id]?.name
    } catch {
      // The client learns it when somebody stands behind the request.
      status = max(status, 400)
      problem = problem ?? "This request is not in order. Sign in to go back to where it came from."
    }
    let shown = page.value(in: request).flatMap { Ticket($0) }
    let ticket = shown ?? Ticket()
    let here = "\(Self.path)?\(asked.query)"
    let form = SignInPage(
      client: asked.client.name, service: service,
      formToken: Self.formToken(ticket.makeText(), asked.sender), isOn: signIn.isOn, here: here,
      dashboard: dashboard.map {
        "\($0)?return_to=\(PercentCoding.encode(documents.issuer + here))"
      }, problem: problem)
    var response = form.response(status: status)
    if shown == nil { response.fields.append(page.set(ticket.makeText())) }
    return response
  }

  private func enter(
    _ request: Request, _ asked: Asked, _ body: Form, now: UnixTime
  ) async throws(Refusal) -> Response {
    // A form of a foreign page would sign this browser in as somebody else.
    guard authentication.origins.admitsOwn(request),
      let shown = page.value(in: request),
      Self.isToken(body.only("form_token"), for: shown, asked.sender)
    else {
      return signInPage(request, asked, status: 403, problem: "Please try once more.")
    }
    let tokens: SessionTokens
    do throws(Refusal) {
      tokens = try await signIn.enter(
        email: body.only("email") ?? "", password: body.only("password") ?? "", for: request,
        now: now)
    } catch {
      switch error {
      case .signInRefused:
        return signInPage(
          request, asked, status: 403, problem: "The e-mail address or password is wrong.")
      case .tooManyAttempts(let seconds):
        var response = signInPage(
          request, asked, status: 429, problem: "Too many attempts. Try again later.")
        response.fields.append(("retry-after", String(seconds)))
        return response
      default: throw error
      }
    }
    var response = Response(
      status: 303, fields: [("location", "\(Self.path)?\(asked.query)")])
    response.fields.append(authentication.cookie.set(tokens.cookie))
    response.fields.append(page.clear)
    return response
  }

  // MARK: Deciding

  private func decide(
    _ request: Request, _ asked: Asked, _ user: User, cookie: String, body: Form?, now: UnixTime
  ) async throws(Refusal) -> Response {
    let status = request.method == .post ? 303 : 302
    let wanted: AuthorizationRequest
    let provider: Provider
    do throws(AuthorizationFault) {
      wanted = try AuthorizationRequest(Self.withoutOurs(asked.form))
      guard let service = documents.service(of: wanted.resource),
        let found = documents.catalogue.value[service]
      else { throw .invalidTarget }
      provider = found
      guard !wanted.isSilent else { throw .consentRequired }
    } catch { return answer(asked, error, status: status) }
    let token = Self.formToken(cookie, asked.sender)
    let question = Consent.Question(
      asked: asked, wanted: wanted, provider: provider, user: user, formToken: token)
    guard let body else { return try await consent.page(question) }
    guard authentication.origins.admitsOwn(request),
      Self.isToken(body.only("form_token"), for: cookie, asked.sender)
    else { return try await consent.page(question, status: 403, problem: "Please try once more.") }
    guard body.only("decision").map({ $0.utf8.elementsEqual("allow".utf8) }) == true else {
      return answer(asked, .accessDenied, status: 303)
    }
    switch try await consent.allow(question, body, request, now: now) {
    case .page(let response): return response
    case .code(let code): return answer(asked, [("code", code)], status: 303)
    }
  }

  // MARK: Answers

  private func answer(_ asked: Asked, _ fault: AuthorizationFault, status: Int) -> Response {
    answer(asked, [("error", fault.rawValue)], status: status)
  }

  /// Sends the browser back to the client, with `state` as it came and our name (RFC 9207).
  private func answer(
    _ asked: Asked, _ values: [(String, String)], status: Int
  ) -> Response {
    var pairs = values.map { Form.Pair(name: $0.0, value: $0.1) }
    if let state = asked.sender.state { pairs.append(.init(name: "state", value: state)) }
    pairs.append(.init(name: "iss", value: documents.issuer))
    return Response(
      status: status,
      fields: [
        ("location", asked.sender.redirectURI.adding(pairs)), ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
      ])
  }

  private static func failure(_ refusal: Refusal) -> Response {
    let wire = refusal.wire
    var response = Page.failure(status: wire.status, wire.message)
    if let seconds = refusal.retryAfterSeconds {
      response.fields.append(("retry-after", String(seconds)))
    }
    if case .methodUnknown(let allowed) = refusal { response.fields.append(("allow", allowed)) }
    return response
  }

  // MARK: Forms of ours

  /// The query without what a way through a provider adds to it.
  private static func withoutOurs(_ form: Form) -> Form {
    Form(
      form.pairs.filter { pair in
        !["claim", "error"].contains { $0.utf8.elementsEqual(pair.name.utf8) }
      })
  }

  /// What only a page of ours in this browser knows: a hash of its cookie and of the request.
  private static func formToken(_ cookie: String, _ sender: AuthorizationSender) -> String {
    var text = Array("bindery form\0".utf8)
    for part in [cookie, sender.clientID, sender.redirectURI.text] {
      text += Array(String(part.utf8.count).utf8) + [0] + Array(part.utf8)
    }
    return Base64URL.encode(SHA256Digest.of(text))
  }

  private static func isToken(
    _ shown: String?, for cookie: String, _ sender: AuthorizationSender
  ) -> Bool {
    shown.map {
      constantTimeEqual(Array($0.utf8), Array(formToken(cookie, sender).utf8))
    } ?? false
  }
}
