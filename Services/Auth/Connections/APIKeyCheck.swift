// Tries a new API key at its service before anything is stored. How is the catalogue's rule: speak
// MCP, fetch an address, or not at all. The judgement over answers is here and pure; the requests
// are UpstreamAPIKeyCheck's.

import FoundationEssentials
import Providers

/// The value of the header that carries an API key, in one place.
final class APIKeyHeader: Sendable {
  let value: String
  init(_ bytes: [UInt8]) { value = String(decoding: bytes, as: UTF8.self) }
}

/// Tries API keys.
protocol APIKeyCheck: Sendable {
  /// Returns when the service accepted the key.
  /// - Throws: `apiKeyRefused`, `serviceUnreachable`.
  func check(
    _ provider: Provider, rules: APIKeyRules, header: APIKeyHeader
  ) async throws(Refusal)
}

/// What an answer to a trial says.
enum TrialVerdict: Equatable {
  case accepted
  case refused
  /// It is no answer to this era of MCP; the other may be asked.
  case otherEra
  case unusable

  /// The verdict over a plain fetch.
  static func ofFetch(status: Int) -> TrialVerdict {
    switch status {
    case 200..<300: .accepted
    case 401, 403: .refused
    default: .unusable
    }
  }

  /// The verdict over the answer to `initialize` or `server/discover`.
  /// - Parameter messages: the JSON-RPC messages of the answer.
  static func ofMCP(status: Int, messages: [[UInt8]]) -> TrialVerdict {
    switch status {
    case 401, 403: .refused
    case 200..<300:
      switch messages.lazy.compactMap({ Answer(message: $0) }).first?.hasResult {
      case true?: .accepted
      case false?: .otherEra
      case nil: .unusable
      }
    case 400, 404, 405, 406, 415: .otherEra
    default: .unusable
    }
  }

  /// Whether one of these messages is the answer that was waited for.
  static func isAnswered(by messages: [[UInt8]]) -> Bool {
    messages.contains { Answer(message: $0) != nil }
  }

  private struct Answer: Decodable {
    struct Failure: Decodable { let code: Int }
    let jsonrpc: String
    let hasResult: Bool
    let error: Failure?

    /// The answer in `message`; nil for requests and notifications.
    init?(message: [UInt8]) {
      guard let answer = try? JSONDecoder().decode(Answer.self, from: Data(message)),
        answer.jsonrpc.utf8.elementsEqual("2.0".utf8), answer.hasResult || answer.error != nil
      else { return nil }
      self = answer
    }

    private enum CodingKeys: String, CodingKey { case jsonrpc, result, error }

    init(from decoder: any Decoder) throws {
      let members = try decoder.container(keyedBy: CodingKeys.self)
      jsonrpc = try members.decode(String.self, forKey: .jsonrpc)
      hasResult = members.contains(.result)
      error = try members.decodeIfPresent(Failure.self, forKey: .error)
    }
  }
}

/// The requests of a trial.
enum TrialRequest {
  static let sessionEraVersion = "2025-11-25"
  static let statelessEraVersion = "2026-07-28"

  /// `initialize` of the eras with sessions.
  static let initialize: [UInt8] = Array(
    """
    {"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"\(sessionEraVersion)",\
    "capabilities":{},"clientInfo":{"name":"bindery","version":"1"}}}
    """.utf8)

  /// `server/discover` of the stateless era.
  static let discover: [UInt8] = Array(
    """
    {"jsonrpc":"2.0","id":1,"method":"server/discover","params":{"_meta":{\
    "io.modelcontextprotocol/protocolVersion":"\(statelessEraVersion)",\
    "io.modelcontextprotocol/clientCapabilities":{},\
    "io.modelcontextprotocol/clientInfo":{"name":"bindery","version":"1"}}}}
    """.utf8)

  /// The messages of an answer: the body itself, or the data of its events.
  static func messages(contentType: String?, body: [UInt8]) -> [[UInt8]] {
    let type = contentType?.utf8.prefix { $0 != UInt8(ascii: ";") } ?? "".utf8[...]
    let lower = type.filter { $0 != 0x20 }.map { (0x41...0x5a).contains($0) ? $0 + 32 : $0 }
    if lower.elementsEqual("application/json".utf8) { return [body] }
    return lower.elementsEqual("text/event-stream".utf8) ? events(in: body) : []
  }

  /// The data of the events that are whole; events without data are left out.
  static func events(in body: [UInt8]) -> [[UInt8]] {
    var events: [[UInt8]] = []
    var data: [UInt8] = []
    for line in body.split(separator: 0x0a, omittingEmptySubsequences: false).dropLast() {
      let line = line.last == 0x0d ? line.dropLast() : line
      if line.isEmpty {
        if !data.isEmpty { events.append(data) }
        data = []
      } else if line.starts(with: "data:".utf8) {
        let value = line.dropFirst(5)
        if !data.isEmpty { data.append(0x0a) }
        data += value.first == 0x20 ? value.dropFirst() : value
      }
    }
    return events
  }
}
