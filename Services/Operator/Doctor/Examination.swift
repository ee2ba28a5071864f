// Climbs from a service's name to its tokens and writes down each rung. Sends what a stranger without
// an account may send: no token, no key, no secret of ours. Registers nothing unless it is asked to.

import Clocks
import Configuration
import HTTPClient
import HTTPCodec
import OAuth
import Posix
import Providers
import Transport

/// One service under examination.
struct Examination {
  /// What the doctor may use and must know.
  struct Tools: Sendable {
    let fetch: any Fetching
    /// The number of addresses that a host has.
    let resolve: @Sendable (String) async -> Int
    let clients: [String: OAuthClientPresence]
    let publicURL: WebURL
    /// Whether to register where that is the way.
    let registers: Bool
  }

  private let provider: Provider
  private let tools: Tools
  private var findings: [Finding] = []

  private init(_ provider: Provider, _ tools: Tools) {
    self.provider = provider
    self.tools = tools
  }

  /// Examines `provider`.
  static func run(_ provider: Provider, _ tools: Tools) async -> Diagnosis {
    var examination = Examination(provider, tools)
    if let status = await examination.reach() {
      if let oauth = provider.oauth { await examination.authorize(oauth) }
      await examination.tryKey(withoutTokenStatus: status)
    }
    return Diagnosis(service: provider.id, findings: examination.findings)
  }

  // MARK: The MCP server

  /// The status of a request without a token; nil when there is no way to the server.
  private mutating func reach() async -> Int? {
    let url = provider.mcpURL
    let count = await tools.resolve(Origin(url).host)
    guard count > 0 else {
      findings.append(
        .failed(.nameResolution, url, .unreachable(.connect(.unresolvable))))
      return nil
    }
    findings.append(.good(.nameResolution, url, count == 1 ? nil : "\(count) addresses"))
    let answer: UnauthorizedAnswer
    do throws(ClientError) {
      answer = try await Discovery(fetch: tools.fetch).knock(provider)
    } catch {
      findings.append(.failed(error.doctorRung, url, .unreachable(error)))
      return nil
    }
    findings.append(.good(.connection, url))
    switch answer.status {
    case 200..<300:
      findings.append(.good(.request, url, "answers \(answer.status) without a token"))
    case 401, 403: findings.append(.good(.request, url, "answers \(answer.status)"))
    case 300..<400: findings.append(.failed(.request, url, .redirected))
    case 429, 500...:
      findings.append(.failed(.request, url, .busy(status: answer.status)))
    default:
      findings.append(
        .failed(
          .request, url, "the MCP server answered \(answer.status)",
          "correct mcp_url or transport in PROVIDERS_FILE"))
    }
    if provider.oauth != nil { findings.append(challenge(answer)) }
    return answer.status
  }

  private func challenge(_ answer: UnauthorizedAnswer) -> Finding {
    let url = provider.mcpURL
    if answer.challenge != nil { return .good(.challenge, url) }
    if answer.hasChallenge {
      return .failed(
        .challenge, url, "RFC 9110 section 11.6.1: WWW-Authenticate has no Bearer challenge",
        "tell the service; well-known addresses are tried instead")
    }
    return .skipped(.challenge, url, "none; well-known addresses are tried instead")
  }

  // MARK: OAuth

  private mutating func authorize(_ oauth: OAuthRules) async {
    let (steps, result) = await Discovery(fetch: tools.fetch).walk(provider)
    let failure: DiscoveryFailure?
    if case .failure(let found) = result { failure = found } else { failure = nil }
    for step in steps where step.rung != .request && step.rung != .challenge {
      findings.append(Self.finding(step, failure))
    }
    if let failure, failure.rung == .request, findings.allSatisfy({ $0.state != .failed }) {
      findings.append(.failed(.request, failure.url, failure.problem))
    }
    guard case .success(let service) = result else { return }
    await register(oauth, service)
    await speakToken(service.server.tokenURL)
  }

  /// What a step of discovery means; one that went wrong matters only when it ended the search.
  private static func finding(_ step: DiscoveryStep, _ failure: DiscoveryFailure?) -> Finding {
    let rung = DoctorRung(step.rung)
    switch step.outcome {
    case .good: return .good(rung, step.url)
    case .fromCatalogue: return .skipped(rung, step.url, "the catalogue says it")
    case .byConvention:
      return .skipped(rung, step.url, "nothing is published; the endpoints of MCP 2025-03-26")
    case .failed(let problem):
      let isEnd =
        failure.map { $0.rung == step.rung && $0.url == step.url && $0.problem == problem } ?? false
      return isEnd
        ? .failed(rung, step.url, problem) : .skipped(rung, step.url, problem.rule)
    }
  }

  private mutating func register(_ oauth: OAuthRules, _ service: DiscoveredService) async {
    if oauth.registration == .static {
      findings.append(staticClient(oauth))
      return
    }
    let document = WebURL(tools.publicURL.origin + "/oauth/client.json")
    let way = Registration.way(
      for: provider, at: service.server, operatorClient: nil, documentURL: document)
    switch way {
    case .known: findings.append(.good(.registration, document, "by metadata document"))
    case .impossible:
      findings.append(
        .failed(
          .registration, service.server.tokenURL,
          "RFC 7591: the server offers no registration that we can use",
          "register an application by hand and set oauth.registration to static"))
    case .dynamic(let url) where !tools.registers:
      findings.append(.good(.registration, url, "dynamic; not tried without --register"))
    case .dynamic(let url): await registerNow(url, service)
    }
  }

  private func staticClient(_ oauth: OAuthRules) -> Finding {
    let id = provider.clientIDSetting
    let secret = provider.clientSecretSetting
    let set = tools.clients[provider.id] ?? OAuthClientPresence(hasID: false, hasSecret: false)
    let needsSecret = oauth.clientAuthentication != .none
    switch (set.hasID, set.hasSecret) {
    case (true, true): return .good(.registration, nil, "static; \(id) and \(secret) are set")
    case (true, false) where !needsSecret: return .good(.registration, nil, "static; \(id) is set")
    case (false, false):
      return .skipped(
        .registration, nil, "static; not set up", "set \(id) and \(secret) to offer OAuth")
    default:
      let missing = set.hasID ? secret : id
      return .failed(.registration, nil, "static; \(missing) is not set", "set \(missing)")
    }
  }

  private mutating func registerNow(_ url: WebURL, _ service: DiscoveredService) async {
    guard let redirect = WebURL(tools.publicURL.origin + "/api/connections/callback") else {
      return
    }
    do throws(RegistrationFailure) {
      _ = try await Registration.register(
        at: url, policy: provider.policy(for: url), redirectURI: redirect, scopes: service.scopes,
        authentication: service.server.clientAuthentication, fetch: tools.fetch)
      findings.append(.good(.registration, url, "dynamic; registered a client that nobody uses"))
    } catch {
      findings.append(.failed(.registration, url, error.rule, error.mend))
    }
  }

  /// Asks for tokens with a refresh token of nobody: a server that speaks OAuth says no in its words.
  private mutating func speakToken(_ url: WebURL) async {
    let nobody = ClientIdentity(id: "bindery-doctor", secret: nil, authentication: .none)
    let request = TokenEndpoint.request(
      to: url,
      [
        Form.Pair(name: "grant_type", value: "refresh_token"),
        Form.Pair(name: "refresh_token", value: "made-up-by-bindery-doctor"),
      ], nobody)
    let answer: ClientResponse
    do throws(ClientError) {
      answer = try await tools.fetch.fetch(
        request, policy: provider.policy(for: url),
        deadline: .now.advanced(by: AddressPolicy.documentPatience), bodyBytesMax: 256 * 1024)
    } catch {
      findings.append(.failed(.tokenEndpoint, url, .unreachable(error)))
      return
    }
    findings.append(Self.judge(answer, url))
  }

  private static func judge(_ answer: ClientResponse, _ url: WebURL) -> Finding {
    do throws(TokenFailure) {
      _ = try TokenAnswer(
        status: answer.status, isForm: false, body: answer.body, retryAfterSeconds: nil)
    } catch {
      switch error {
      case .invalidGrant, .invalidClient, .refused: return .good(.tokenEndpoint, url)
      case .throttled: return .skipped(.tokenEndpoint, url, "too many requests; try again")
      case .unavailable, .broken:
        return .failed(
          .tokenEndpoint, url,
          "RFC 6749 section 5.2: a refusal is JSON with error; the answer was \(answer.status)",
          "tell the service, or correct token_url in PROVIDERS_FILE")
      }
    }
    return .failed(
      .tokenEndpoint, url, "RFC 6749 section 6: tokens for a refresh token of nobody",
      "do not connect this service; tell it")
  }

  // MARK: API keys

  /// Whether the trial of a key can tell a good key from none.
  private mutating func tryKey(withoutTokenStatus status: Int) async {
    guard let rules = provider.apiKey else { return }
    let mend = "set api_key.validate to an address that wants the key"
    switch rules.validation {
    case .none: findings.append(.skipped(.apiKey, nil, "keys are not tried"))
    case .mcp where (200..<300).contains(status):
      findings.append(
        .failed(.apiKey, provider.mcpURL, "the MCP server answers without a key", mend))
    case .mcp: findings.append(.good(.apiKey, provider.mcpURL))
    case .http(let url):
      let request = ClientRequest(method: .get, origin: Origin(url), target: url.target)
      do throws(ClientError) {
        let answer = try await tools.fetch.fetch(
          request, policy: .operatorNamed,
          deadline: .now.advanced(by: AddressPolicy.documentPatience), bodyBytesMax: 0)
        findings.append(
          (200..<300).contains(answer.status)
            ? .failed(.apiKey, url, "the address answers \(answer.status) without a key", mend)
            : .good(.apiKey, url, "answers \(answer.status) without a key"))
      } catch { findings.append(.failed(.apiKey, url, .unreachable(error))) }
    }
  }
}

extension ClientError {
  /// How far the way to the server was open.
  fileprivate var doctorRung: DoctorRung {
    switch self {
    case .connect(.unresolvable): .nameResolution
    case .connect, .addressRefused: .connection
    case .timeout, .brokenAnswer, .requestUnclean: .request
    }
  }
}

extension RegistrationFailure {
  fileprivate var rule: String {
    switch self {
    case .unreachable(let error): error.rule
    case .refused(let status, let code):
      "RFC 7591 section 3.2.2: refused with \(status)" + (code.map { " \($0)" } ?? "")
    case .throttled: "too many requests"
    case .broken(let fault): DiscoveryProblem.document(fault).rule
    }
  }

  fileprivate var mend: String {
    switch self {
    case .unreachable, .throttled: "try again"
    case .refused, .broken:
      "register an application by hand and set oauth.registration to static"
    }
  }
}
