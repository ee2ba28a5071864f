// Finds a service's authorization server: what the catalogue says, else what the MCP server and its
// documents say, rung by rung (MCP authorization; RFC 9728, RFC 8414). A document that is there but
// wrong ends the search, and so does a server in trouble: only where nothing is there may the next
// rung be tried, or an outage would lead us to another server than the right one.

import Clocks
import HTTPClient
import HTTPCodec
import Providers

/// One thing that discovery did, for those who watch.
public struct DiscoveryStep: Sendable, Equatable {
  /// How a step ended.
  public enum Outcome: Sendable, Equatable {
    case good
    /// It is wrong, or not there; the search may have gone on.
    case failed(DiscoveryProblem)
    /// The catalogue says it already.
    case fromCatalogue
    /// Endpoints of 2025-03-26 were taken, because nothing is published.
    case byConvention
  }

  public let rung: DiscoveryRung
  public let url: WebURL
  public let outcome: Outcome
}

/// What an MCP server answered to a request without a token.
public struct UnauthorizedAnswer: Sendable, Equatable {
  public let status: Int
  /// Whether there was a WWW-Authenticate at all.
  public let hasChallenge: Bool
  /// What it says in Bearer; nil when it cannot be read or is of other schemes.
  public let challenge: BearerChallenge?
}

/// Looks for authorization servers.
public struct Discovery: Sendable {
  /// How long all of it may take.
  public static let patience = Duration.seconds(30)

  private let fetch: any Fetching

  /// Discovery over `fetch`.
  public init(fetch: any Fetching) { self.fetch = fetch }

  /// What is known or found of `provider`'s authorization server.
  /// - Throws: `DiscoveryFailure`.
  public func find(_ provider: Provider) async throws(DiscoveryFailure) -> DiscoveredService {
    try await walk(provider).result.get()
  }

  /// As `find`, with all that was tried on the way.
  public func walk(
    _ provider: Provider
  ) async -> (steps: [DiscoveryStep], result: Result<DiscoveredService, DiscoveryFailure>) {
    var walk = DiscoveryWalk(
      provider: provider, fetch: fetch, deadline: .now.advanced(by: Self.patience))
    do throws(DiscoveryFailure) {
      let service = try await walk.run()
      return (walk.steps, .success(service))
    } catch { return (walk.steps, .failure(error)) }
  }

  /// Sends an MCP server the first request of a session, without a token.
  /// - Throws: `ClientError`.
  public func knock(_ provider: Provider) async throws(ClientError) -> UnauthorizedAnswer {
    try await MCPKnock.send(
      to: provider, fetch: fetch, deadline: .now.advanced(by: AddressPolicy.documentPatience))
  }
}

/// The request without a token.
enum MCPKnock {
  private static let initialize = """
    {"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25",\
    "capabilities":{},"clientInfo":{"name":"Bindery","version":"1"}}}
    """

  static func send(
    to provider: Provider, fetch: any Fetching, deadline: Instant
  ) async throws(ClientError) -> UnauthorizedAnswer {
    let listens = provider.transport == .legacySSE
    let accept = listens ? "text/event-stream" : "application/json, text/event-stream"
    var request = ClientRequest(
      method: listens ? .get : .post, origin: Origin(provider.mcpURL),
      target: provider.mcpURL.target, fields: [("accept", Array(accept.utf8))])
    if !listens {
      request.fields.append(("content-type", Array("application/json".utf8)))
      request.body = Array(initialize.utf8)
    }
    // The head says all; a stream would never end.
    let answer = try await fetch.fetch(
      request, policy: .operatorNamed, deadline: deadline, bodyBytesMax: 0)
    let lines = answer.fields.filter { $0.name.utf8.elementsEqual("www-authenticate".utf8) }
    return UnauthorizedAnswer(
      status: answer.status, hasChallenge: !lines.isEmpty,
      challenge: BearerChallenge(lines: lines.map(\.value)))
  }
}
