// A provider of OAuth for tests, without a socket: an MCP server, its documents, a registration and
// a token endpoint. Each address may be given another answer; what was asked is written down.

import Bytes
import Clocks
import HTTPClient
import HTTPCodec
import JOSE
import OAuth
import Synchronization

/// Answers like a good provider until it is told otherwise.
final class ScriptedProvider: Fetching {
  typealias Answer = Result<ClientResponse, ClientError>

  static let mcp = "https://mcp.example/mcp"
  static let resource = "https://mcp.example/.well-known/oauth-protected-resource/mcp"
  static let metadata = "https://as.example/.well-known/oauth-authorization-server"
  static let register = "https://as.example/register"
  static let token = "https://as.example/token"
  static let tokens =
    #"{"access_token":"canary-at","refresh_token":"canary-rt","#
    + #""token_type":"Bearer","expires_in":3600}"#

  private struct State {
    var answers: [String: Answer] = [:]
    var asked: [(url: String, body: String)] = []
  }

  private let state = Mutex(State())

  init() {
    set(
      Self.mcp,
      .success(
        ClientResponse(
          status: 401,
          fields: [
            (
              "www-authenticate",
              Array(#"Bearer resource_metadata="\#(Self.resource)""#.utf8)
            )
          ])))
    set(
      Self.resource,
      json:
        #"{"resource":"https://mcp.example/mcp","authorization_servers":["https://as.example"]}"#)
    setMetadata()
    set(Self.register, json: #"{"client_id":"client-1"}"#, status: 201)
    set(Self.token, json: Self.tokens)
  }

  func set(_ url: String, _ answer: Answer) {
    state.withLock { $0.answers[url] = answer }
  }

  func set(_ url: String, json: String, status: Int = 200) {
    set(
      url,
      .success(
        ClientResponse(
          status: status, fields: [("content-type", Array("application/json".utf8))],
          body: Array(json.utf8))))
  }

  /// The server's document, with members of its own before the usual ones.
  func setMetadata(
    _ more: String = "", issuer: String = "https://as.example",
    authorize: String = "https://as.example/authorize?tenant=7&state=planted"
  ) {
    set(
      Self.metadata,
      json: """
        {\(more)"issuer":"\(issuer)","authorization_endpoint":"\(authorize)",
        "token_endpoint":"\(Self.token)","registration_endpoint":"\(Self.register)",
        "revocation_endpoint":"https://as.example/revoke",
        "code_challenge_methods_supported":["S256"],"response_types_supported":["code"],
        "token_endpoint_auth_methods_supported":["none","client_secret_post"]}
        """)
  }

  /// What was sent to `url`, in order.
  func asked(_ url: String) -> [String] {
    state.withLock { $0.asked.filter { $0.url == url }.map(\.body) }
  }

  func fetch(
    _ request: ClientRequest, policy: AddressPolicy, deadline: Instant, bodyBytesMax: Int
  ) async throws(ClientError) -> ClientResponse {
    let scheme = request.origin.isSecure ? "https" : "http"
    let url = "\(scheme)://\(request.origin.authority)\(request.target)"
    if let refusal = policy.refusal(of: request.origin) { throw .addressRefused(refusal) }
    let answer = state.withLock { state in
      state.asked.append((url, String(decoding: request.body, as: UTF8.self)))
      return state.answers[url] ?? .success(ClientResponse(status: 404))
    }
    return try answer.get()
  }
}
