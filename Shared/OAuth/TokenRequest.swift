// Asks a token endpoint: for a code, a refresh, a revocation. One request each, never repeated here:
// whether an exchange may be made again is for the caller, who keeps the journal, to know.

import Clocks
import FoundationEssentials
import HTTPClient
import HTTPCodec
import Providers

/// Who we are at a provider, and how we prove it.
public struct ClientIdentity: Sendable, Equatable {
  public let id: String
  public let secret: String?
  public let authentication: OAuthRules.ClientAuthentication

  /// A client; without a secret it names itself only.
  public init(id: String, secret: String?, authentication: OAuthRules.ClientAuthentication) {
    self.id = id
    self.secret = secret
    self.authentication = secret == nil ? .none : authentication
  }
}

/// Sends requests to token endpoints.
public struct TokenEndpoint: Sendable {
  /// How long an exchange may take.
  public static let patience = Duration.seconds(20)
  private static let bodyBytesMax = 256 * 1024

  private let fetch: any Fetching
  private let url: WebURL
  private let policy: AddressPolicy
  private let client: ClientIdentity
  private let deadErrors: [String]

  /// The endpoint at `url`, which `policy` knows the origin of (`Provider.policy`), for `client`.
  public init(
    _ url: WebURL, policy: AddressPolicy, client: ClientIdentity, deadErrors: [String] = [],
    fetch: any Fetching
  ) {
    self.url = url
    self.policy = policy
    self.client = client
    self.deadErrors = deadErrors
    self.fetch = fetch
  }

  /// Exchanges an authorization code (RFC 6749 section 4.1.3, RFC 7636, RFC 8707).
  public func exchange(
    code: String, redirectURI: String, verifier: String?, resource: String?
  ) async throws(TokenFailure) -> TokenAnswer {
    var pairs: [Form.Pair] = [
      .init(name: "grant_type", value: "authorization_code"), .init(name: "code", value: code),
      .init(name: "redirect_uri", value: redirectURI),
    ]
    if let verifier { pairs.append(.init(name: "code_verifier", value: verifier)) }
    if let resource { pairs.append(.init(name: "resource", value: resource)) }
    return try await send(pairs)
  }

  /// Exchanges a refresh token (RFC 6749 section 6).
  public func refresh(
    _ refreshToken: String, resource: String?
  ) async throws(TokenFailure) -> TokenAnswer {
    var pairs: [Form.Pair] = [
      .init(name: "grant_type", value: "refresh_token"),
      .init(name: "refresh_token", value: refreshToken),
    ]
    if let resource { pairs.append(.init(name: "resource", value: resource)) }
    return try await send(pairs)
  }

  private func send(_ pairs: [Form.Pair]) async throws(TokenFailure) -> TokenAnswer {
    let answer: ClientResponse
    do throws(ClientError) {
      answer = try await fetch.fetch(
        Self.request(to: url, pairs, client), policy: policy,
        deadline: .now.advanced(by: Self.patience), bodyBytesMax: Self.bodyBytesMax)
    } catch { throw .unavailable(retryAfterSeconds: nil) }
    return try TokenAnswer(
      status: answer.status, isForm: answer.isForm, body: answer.isPartial ? [] : answer.body,
      retryAfterSeconds: answer.retryAfterSeconds, deadErrors: deadErrors)
  }

  /// A form with the client's proof, as token and revocation endpoints take it.
  public static func request(
    to url: WebURL, _ pairs: [Form.Pair], _ client: ClientIdentity
  ) -> ClientRequest {
    var pairs = pairs
    var fields: [(name: String, value: [UInt8])] = [
      ("accept", Array("application/json".utf8)),
      ("content-type", Array("application/x-www-form-urlencoded".utf8)),
    ]
    switch client.authentication {
    case .basic:
      // Both halves are form-encoded before they are joined (RFC 6749 section 2.3.1).
      let pair = [client.id, client.secret ?? ""].map { PercentCoding.encode($0) }
      let text = Data(pair.joined(separator: ":").utf8).base64EncodedString()
      fields.append(("authorization", Array("Basic \(text)".utf8)))
      // Some servers look for the client in the form in any case; it proves nothing there.
      pairs.append(.init(name: "client_id", value: client.id))
    case .post:
      pairs.append(.init(name: "client_id", value: client.id))
      pairs.append(.init(name: "client_secret", value: client.secret ?? ""))
    case .none:
      pairs.append(.init(name: "client_id", value: client.id))
    }
    return ClientRequest(
      method: .post, origin: Origin(url), target: url.target, fields: fields,
      body: Array(Form(pairs).encoded.utf8))
  }
}

/// What sends a request and collects the answer: the network, or a test's script.
public protocol Fetching: Sendable {
  /// Sends `request` once, to an address that `policy` admits.
  func fetch(
    _ request: ClientRequest, policy: AddressPolicy, deadline: Instant, bodyBytesMax: Int
  ) async throws(ClientError) -> ClientResponse
}

extension OneShotClient: Fetching {
  /// Over a connection of its own; nothing is sent twice.
  public func fetch(
    _ request: ClientRequest, policy: AddressPolicy, deadline: Instant, bodyBytesMax: Int
  ) async throws(ClientError) -> ClientResponse {
    try await send(request, policy: policy, deadline: deadline, bodyBytesMax: bodyBytesMax)
  }
}

extension ClientResponse {
  /// Whether the body is a form.
  var isForm: Bool {
    guard let type = field("content-type") else { return false }
    return type.prefix { $0 != UInt8(ascii: ";") && $0 != 0x20 }
      .map { (0x41...0x5a).contains($0) ? $0 | 0x20 : $0 }
      .elementsEqual("application/x-www-form-urlencoded".utf8)
  }

  /// `Retry-After` in seconds, at most a day; nil for a date.
  var retryAfterSeconds: Int? {
    guard let value = field("retry-after"), (1...6).contains(value.count),
      value.allSatisfy({ (48...57).contains($0) })
    else { return nil }
    return min(value.reduce(0) { $0 * 10 + Int($1 - 48) }, 86_400)
  }
}
