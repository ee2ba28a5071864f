// Sends the trial of an API key to its service: one or two bounded requests within one deadline.
// Redirects are answers, bodies are read up to a bound and forgotten, nothing of them is logged.

import Accounts
import Bytes
import Clocks
import HTTPClient
import HTTPCodec
import Logging
import Providers
import Synchronization

/// Tries API keys over the network.
final class UpstreamAPIKeyCheck: APIKeyCheck {
  private static let patience = Duration.seconds(15)
  private static let bodyBytesMax = 256 * 1024
  private static let trialsMax = 64
  private static let looksMax = 64

  private let client: OneShotClient
  private let log: Log
  private let trials = Mutex(0)

  init(client: OneShotClient, log: Log) {
    self.client = client
    self.log = log
  }

  func check(
    _ provider: Provider, rules: APIKeyRules, header: APIKeyHeader
  ) async throws(Refusal) {
    // A slow service must not make us hold connections without end.
    let isAdmitted = trials.withLock { count in
      guard count < Self.trialsMax else { return false }
      count += 1
      return true
    }
    guard isAdmitted else { throw .overloaded }
    defer { trials.withLock { $0 -= 1 } }
    let deadline = Instant.now.advanced(by: Self.patience)
    let key = (name: rules.header, value: Array(header.value.utf8))
    let verdict: TrialVerdict
    switch rules.validation {
    case .none: return
    case .http(let url):
      let answer = try await send(provider, .get, url, [key], [], deadline)
      verdict = .ofFetch(status: answer.status)
    case .mcp:
      switch provider.transport {
      case .legacySSE: verdict = try await listen(provider, key, deadline)
      case .streamableHTTP: verdict = try await speak(provider, key, deadline)
      }
    }
    switch verdict {
    case .accepted: return
    case .refused: throw .apiKeyRefused
    case .otherEra, .unusable:
      log.warning("api_key_trial_unusable", ["provider": .service(provider.id)])
      throw .serviceUnreachable
    }
  }

  /// The legacy transport begins with a stream that names where to send.
  private func listen(
    _ provider: Provider, _ key: (name: String, value: [UInt8]), _ deadline: Instant
  ) async throws(Refusal) -> TrialVerdict {
    let accept = (name: "accept", value: Array("text/event-stream".utf8))
    let answer = try await send(provider, .get, provider.mcpURL, [key, accept], [], deadline)
    return .ofFetch(status: answer.status)
  }

  /// `initialize` first, which most servers know; a server of the stateless era alone names its
  /// versions in an error, and is then asked in its own way.
  private func speak(
    _ provider: Provider, _ key: (name: String, value: [UInt8]), _ deadline: Instant
  ) async throws(Refusal) -> TrialVerdict {
    let fields = [
      key, (name: "content-type", value: Array("application/json".utf8)),
      (name: "accept", value: Array("application/json, text/event-stream".utf8)),
    ]
    let first = try await send(
      provider, .post, provider.mcpURL, fields, TrialRequest.initialize, deadline)
    let verdict = judge(first)
    if verdict == .accepted, let session = first.field("mcp-session-id") {
      await end(session, provider, key, deadline)
    }
    guard verdict == .otherEra else { return verdict }
    let modern =
      fields + [
        (name: "mcp-protocol-version", value: Array(TrialRequest.statelessEraVersion.utf8)),
        (name: "mcp-method", value: Array("server/discover".utf8)),
      ]
    return judge(
      try await send(provider, .post, provider.mcpURL, modern, TrialRequest.discover, deadline))
  }

  private func judge(_ answer: ClientResponse) -> TrialVerdict {
    let type = answer.field("content-type").map { String(decoding: $0, as: UTF8.self) }
    return .ofMCP(
      status: answer.status,
      messages: TrialRequest.messages(contentType: type, body: answer.body))
  }

  /// Leaves no session behind at the service; whether it minds is its own affair.
  private func end(
    _ session: [UInt8], _ provider: Provider, _ key: (name: String, value: [UInt8]),
    _ deadline: Instant
  ) async {
    let fields = [
      key, (name: "mcp-session-id", value: session),
      (name: "mcp-protocol-version", value: Array(TrialRequest.sessionEraVersion.utf8)),
    ]
    _ = try? await send(provider, .delete, provider.mcpURL, fields, [], deadline)
  }

  private func send(
    _ provider: Provider, _ method: Method, _ url: WebURL,
    _ fields: [(name: String, value: [UInt8])], _ body: [UInt8], _ deadline: Instant
  ) async throws(Refusal) -> ClientResponse {
    let request = ClientRequest(
      method: method, origin: Origin(url), target: url.target, fields: fields, body: body)
    do throws(ClientError) {
      // A stream is read as far as the answer in it; one that we only listen to, to its first event.
      let listens = method == .get
      let looks = LookCount()
      return try await client.send(
        request, deadline: deadline, bodyBytesMax: Self.bodyBytesMax,
        isEnough: { body in
          // Each look reads from the start: a service that dribbles is given up.
          guard looks.next() <= Self.looksMax else { return true }
          let events = TrialRequest.events(in: body)
          return listens ? !events.isEmpty : TrialVerdict.isAnswered(by: events)
        })
    } catch {
      log.warning(
        "api_key_trial_failed",
        ["provider": .service(provider.id), "reason": .literal(error.label)])
      throw .serviceUnreachable
    }
  }
}

/// Counts how often a stream was looked at.
private final class LookCount: Sendable {
  private let count = Mutex(0)

  func next() -> Int {
    count.withLock { count in
      count += 1
      return count
    }
  }
}

extension ClientError {
  fileprivate var label: StaticString {
    switch self {
    case .connect: "connect"
    case .timeout: "timeout"
    case .brokenAnswer: "broken_answer"
    case .requestUnclean: "request_unclean"
    case .addressRefused: "address_refused"
    }
  }
}
