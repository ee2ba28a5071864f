// A web of a few documents, for tests: each address answers what the script says, and what was asked,
// under which policy, is written down.

import Clocks
import HTTPClient
import HTTPCodec
import OAuth
import Providers
import Synchronization
import Testing

/// Answers from a table; an unknown address is 404.
final class ScriptedWeb: Fetching {
  struct Asked: Sendable {
    let url: String
    let policy: AddressPolicy
    let request: ClientRequest
  }

  private let answers: Mutex<[String: Result<ClientResponse, ClientError>]>
  private let log = Mutex<[Asked]>([])

  init(_ answers: [String: Result<ClientResponse, ClientError>] = [:]) {
    self.answers = Mutex(answers)
  }

  var asked: [Asked] { log.withLock { $0 } }
  var urls: [String] { asked.map(\.url) }

  func set(_ url: String, _ answer: Result<ClientResponse, ClientError>) {
    answers.withLock { $0[url] = answer }
  }

  func set(_ url: String, json: String) { set(url, .json(json)) }

  func fetch(
    _ request: ClientRequest, policy: AddressPolicy, deadline: Instant, bodyBytesMax: Int
  ) async throws(ClientError) -> ClientResponse {
    let scheme = request.origin.isSecure ? "https" : "http"
    let url = "\(scheme)://\(request.origin.authority)\(request.target)"
    log.withLock { $0.append(Asked(url: url, policy: policy, request: request)) }
    if let refusal = policy.refusal(of: request.origin) { throw .addressRefused(refusal) }
    let answer = answers.withLock { $0[url] } ?? .success(ClientResponse(status: 404))
    return try answer.get()
  }
}

extension Result<ClientResponse, ClientError> {
  static func json(_ text: String, status: Int = 200) -> Self {
    .success(
      ClientResponse(
        status: status, fields: [("content-type", Array("application/json".utf8))],
        body: Array(text.utf8)))
  }

  /// A 401 with this challenge.
  static func challenge(_ text: String) -> Self {
    .success(ClientResponse(status: 401, fields: [("www-authenticate", Array(text.utf8))]))
  }
}

/// A service with these OAuth members, read as an operator's file is.
func makeProvider(
  _ oauth: String = #""registration":"dynamic""#, mcpURL: String = "https://mcp.example/mcp",
  transport: String = "streamable-http"
) throws -> Provider {
  let json = """
    {"services":[{"id":"x","name":"X","mcp_url":"\(mcpURL)","transport":"\(transport)",
    "oauth":{\(oauth)}}]}
    """
  return try #require(try Catalogue.builtIn.merging(json: Array(json.utf8))["x"])
}
