// The ladder itself, one function for each rung, and a list of the steps taken. What each rung leads to
// is in Discovery.swift; what its documents must say, beside it in this folder.

import Clocks
import HTTPClient
import HTTPCodec
import Providers

/// One search under way.
struct DiscoveryWalk {
  let provider: Provider
  let fetch: any Fetching
  let deadline: Instant
  private(set) var steps: [DiscoveryStep] = []
  /// The first thing that looked wrong but did not end the search; it is told when nothing is found.
  private var noted: DiscoveryFailure?

  init(provider: Provider, fetch: any Fetching, deadline: Instant) {
    self.provider = provider
    self.fetch = fetch
    self.deadline = deadline
  }

  /// What is known of a resource before its authorization server is looked at.
  private struct Source {
    var issuer: String
    var resource: String?
    var challenged: [String] = []
    var listed: [String] = []
    /// Whether endpoints may be taken by the convention of 2025-03-26.
    var mayGuess = false
  }

  mutating func run() async throws(DiscoveryFailure) -> DiscoveredService {
    guard let oauth = provider.oauth else { throw failure(.endpoints, provider.mcpURL, .noOAuth) }
    if let server = Self.fixedServer(oauth) {
      note(.endpoints, server.tokenURL, .fromCatalogue)
      return service(server, Source(issuer: ""), oauth)
    }
    let source: Source
    if let issuer = oauth.issuer {
      note(.resourceMetadata, provider.mcpURL, .fromCatalogue)
      source = Source(issuer: issuer)
    } else {
      source = try await findSource()
    }
    let server = try await findServer(source, oauth)
    return service(server, source, oauth)
  }

  /// The server as the catalogue has it; the endpoints of one server are never mixed with another's.
  private static func fixedServer(_ oauth: OAuthRules) -> AuthorizationServer? {
    guard let authorizationURL = oauth.authorizationURL, let tokenURL = oauth.tokenURL else {
      return nil
    }
    return AuthorizationServer(
      issuer: oauth.issuer, authorizationURL: authorizationURL, tokenURL: tokenURL,
      registrationURL: oauth.registrationURL, revocationURL: oauth.revocationURL,
      clientAuthentication: [oauth.clientAuthentication], usesPKCE: oauth.pkce,
      takesMetadataDocuments: oauth.registration == .metadataDocument)
  }

  private func service(
    _ server: AuthorizationServer, _ source: Source, _ oauth: OAuthRules
  ) -> DiscoveredService {
    DiscoveredService(
      server: server,
      resource: oauth.resource ? source.resource ?? provider.mcpURL.resourceName : nil,
      scopes: ScopeText.choice(
        catalogue: oauth.scopes, challenged: source.challenged, listed: source.listed))
  }

  // MARK: The resource

  private mutating func findSource() async throws(DiscoveryFailure) -> Source {
    let mcpURL = provider.mcpURL
    let answer: UnauthorizedAnswer
    do throws(ClientError) {
      answer = try await MCPKnock.send(to: provider, fetch: fetch, deadline: stepDeadline)
    } catch { throw end(.request, mcpURL, .unreachable(error)) }
    guard answer.status < 500, answer.status != 429 else {
      throw end(.request, mcpURL, .busy(status: answer.status))
    }
    note(.request, mcpURL, .good)
    let addresses = addresses(of: answer)
    let found = try await first(of: addresses, .resourceMetadata) {
      (body, url) throws(DiscoveryProblem) in
      let metadata: ResourceMetadata
      do throws(DocumentFault) { metadata = try ResourceMetadata(reading: body) } catch {
        throw .document(error)
      }
      guard metadata.speaks(of: mcpURL, foundAt: url) else { throw .resourceDiffers }
      return metadata
    }
    let challenged = answer.challenge?.scopes ?? []
    // Without a document the MCP server's own host gives out the tokens (2025-03-26).
    guard let found, let issuer = found.authorizationServers.first else {
      return Source(
        issuer: mcpURL.origin, challenged: challenged, mayGuess: answer.status == 401)
    }
    return Source(
      issuer: issuer, resource: found.resource, challenged: challenged, listed: found.scopes)
  }

  /// The address that the server named comes first, then the well-known ones.
  private mutating func addresses(of answer: UnauthorizedAnswer) -> [WebURL] {
    let known = WellKnown.resourceMetadata(of: provider.mcpURL)
    guard let text = answer.challenge?.resourceMetadata else {
      if answer.hasChallenge && answer.challenge == nil {
        note(.challenge, provider.mcpURL, .failed(.document(.malformed("WWW-Authenticate"))))
      }
      return known
    }
    guard let named = WebURL(text) else {
      note(.challenge, provider.mcpURL, .failed(.address("resource_metadata", nil)))
      return known
    }
    note(.challenge, named, .good)
    return [named] + known.filter { $0 != named }
  }

  // MARK: The authorization server

  private mutating func findServer(
    _ source: Source, _ oauth: OAuthRules
  ) async throws(DiscoveryFailure) -> AuthorizationServer {
    guard let issuerURL = WebURL(source.issuer), issuerURL.query == nil else {
      throw end(.serverMetadata, provider.mcpURL, .address("authorization_servers", nil))
    }
    let issuer = source.issuer
    let addresses = WellKnown.serverMetadata(of: issuerURL)
    let found = try await first(of: addresses, .serverMetadata) {
      (body, _) throws(DiscoveryProblem) in
      let metadata: ServerMetadata
      do throws(DocumentFault) { metadata = try ServerMetadata(reading: body) } catch {
        throw .document(error)
      }
      guard metadata.issuer.utf8.elementsEqual(issuer.utf8) else { throw .issuerDiffers }
      return metadata
    }
    if let found { return try check(found, oauth, addresses.first ?? issuerURL) }
    if let noted { throw noted }
    guard source.mayGuess, let guess = Self.conventionalServer(issuerURL, oauth) else {
      throw end(.serverMetadata, addresses.first ?? issuerURL, .nothingFound)
    }
    note(.endpoints, guess.tokenURL, .byConvention)
    return guess
  }

  /// The endpoints of 2025-03-26, for servers that publish nothing.
  private static func conventionalServer(
    _ origin: WebURL, _ oauth: OAuthRules
  ) -> AuthorizationServer? {
    guard let authorizationURL = WebURL("\(origin.origin)/authorize"),
      let tokenURL = WebURL("\(origin.origin)/token")
    else { return nil }
    return AuthorizationServer(
      issuer: nil, authorizationURL: authorizationURL, tokenURL: tokenURL,
      registrationURL: oauth.registrationURL ?? WebURL("\(origin.origin)/register"),
      revocationURL: oauth.revocationURL, clientAuthentication: [oauth.clientAuthentication],
      usesPKCE: oauth.pkce)
  }

  /// What a server says of itself, if we can work with it.
  private mutating func check(
    _ metadata: ServerMetadata, _ oauth: OAuthRules, _ address: WebURL
  ) throws(DiscoveryFailure) -> AuthorizationServer {
    if oauth.pkce {
      guard metadata.takesS256 else { throw end(.pkce, address, .noS256) }
      note(.pkce, address, .good)
    }
    for (name, url) in metadata.endpoints {
      if let refusal = provider.policy(for: url).refusal(of: Origin(url)) {
        throw end(.endpoints, url, .address(name, refusal))
      }
    }
    let ways = metadata.clientAuthentication(preferring: oauth.clientAuthentication)
    guard !ways.isEmpty else { throw end(.endpoints, metadata.tokenURL, .noAuthentication) }
    note(.endpoints, metadata.tokenURL, .good)
    return AuthorizationServer(
      issuer: metadata.issuer, authorizationURL: metadata.authorizationURL,
      tokenURL: metadata.tokenURL,
      registrationURL: oauth.registrationURL ?? metadata.registrationURL,
      revocationURL: oauth.revocationURL ?? metadata.revocationURL, clientAuthentication: ways,
      usesPKCE: oauth.pkce, namesItself: metadata.namesItself,
      takesMetadataDocuments: metadata.takesMetadataDocuments
        || oauth.registration == .metadataDocument)
  }

  // MARK: Documents

  /// What `read` makes of the first document there is; nil when there is none.
  private mutating func first<Metadata>(
    of addresses: [WebURL], _ rung: DiscoveryRung,
    _ read: ([UInt8], WebURL) throws(DiscoveryProblem) -> Metadata
  ) async throws(DiscoveryFailure) -> Metadata? {
    for address in addresses {
      do throws(DiscoveryProblem) {
        let metadata = try read(try await document(at: address), address)
        note(rung, address, .good)
        return metadata
      } catch {
        if error.endsSearch { throw end(rung, address, error) }
        note(rung, address, .failed(error))
        if case .absent = error { continue }
        noted = noted ?? failure(rung, address, error)
      }
    }
    return nil
  }

  private func document(at url: WebURL) async throws(DiscoveryProblem) -> [UInt8] {
    let request = ClientRequest(
      method: .get, origin: Origin(url), target: url.target,
      fields: [("accept", Array("application/json".utf8))])
    let answer: ClientResponse
    do throws(ClientError) {
      answer = try await fetch.fetch(
        request, policy: provider.policy(for: url), deadline: stepDeadline,
        bodyBytesMax: AddressPolicy.documentBytesMax)
    } catch { throw .unreachable(error) }
    switch answer.status {
    case 200 where answer.isPartial: throw .tooLarge
    case 200: return answer.body
    case 300..<400: throw .redirected
    case 408, 429, 500...: throw .busy(status: answer.status)
    default: throw .absent(status: answer.status)
    }
  }

  private var stepDeadline: Instant {
    min(deadline, .now.advanced(by: AddressPolicy.documentPatience))
  }

  // MARK: The record

  private mutating func note(
    _ rung: DiscoveryRung, _ url: WebURL, _ outcome: DiscoveryStep.Outcome
  ) {
    steps.append(DiscoveryStep(rung: rung, url: url, outcome: outcome))
  }

  private func failure(
    _ rung: DiscoveryRung, _ url: WebURL, _ problem: DiscoveryProblem
  ) -> DiscoveryFailure {
    DiscoveryFailure(rung: rung, url: url, problem: problem)
  }

  /// The failure with which the search ends, written down.
  private mutating func end(
    _ rung: DiscoveryRung, _ url: WebURL, _ problem: DiscoveryProblem
  ) -> DiscoveryFailure {
    note(rung, url, .failed(problem))
    return failure(rung, url, problem)
  }
}

extension DiscoveryProblem {
  /// Whether nothing may be tried in its place. What merely is not there, or is some page of a site
  /// that answers everything, does not keep us from the next well-known address.
  fileprivate var endsSearch: Bool {
    switch self {
    case .absent, .redirected, .document(.notJSON): false
    default: true
    }
  }
}
