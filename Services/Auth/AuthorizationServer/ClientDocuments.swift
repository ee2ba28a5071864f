// Fetches the documents of clients that are known by their URL (Client ID Metadata Documents), under
// the rules of AddressPolicy: https to public addresses, no redirect, 200 alone, 5 KB, in 5 seconds. A
// good document is remembered for as long as its server says, a bad one never. Whoever makes us fetch
// is counted.

import Clocks
import HTTPClient
import HTTPCodec
import Logging
import OAuth
import Posix
import Synchronization

/// Whom attempts are counted for.
struct ClientNetwork: Sendable {
  let address: IPAddress?
}

/// Documents of clients.
final class ClientDocuments: Sendable {
  private static let bytesMax = 5 * 1024
  private static let patience = Duration.seconds(5)
  private static let rememberedMax = 1000
  private static let rememberedSecondsMax = 86_400
  private static let secondsWithoutWord = 300
  private static let fetchesMax = 8

  private struct State {
    var remembered: [String: (client: KnownClient, until: Instant)] = [:]
    var throttle = SignInThrottle(
      .init(perAccountAndNetwork: 60, perAccount: 600, perNetwork: 120, windowSeconds: 900))
    var fetches = 0
  }

  private let fetch: any Fetching
  private let policy: AddressPolicy
  private let log: Log
  private let state = Mutex(State())

  /// - Parameter allowsLoopback: Whether we are on loopback ourselves: then clients may be, too.
  init(fetch: any Fetching, allowsLoopback: Bool, log: Log) {
    self.fetch = fetch
    self.log = log
    policy = .strangerNamed(allowsLoopback: allowsLoopback)
  }

  /// Whether `id` is of this kind; no other client's is.
  static func isURL(_ id: String) -> Bool { id.utf8.starts(with: "https://".utf8) }

  /// The client whose document is at `id`; nil when there is none that we take.
  /// - Throws: `tooManyAttempts`, `overloaded`.
  func find(_ id: String, for client: ClientNetwork) async throws(Refusal) -> KnownClient? {
    // One client has one URL: the form that we would write ourselves.
    guard let url = WebURL(id), url.description.utf8.elementsEqual(id.utf8), url.scheme == .https,
      url.path != "/", policy.refusal(of: Origin(url)) == nil
    else { return nil }
    if let known = state.withLock({ $0.remembered[id] }), known.until > .now {
      return known.client
    }
    try enter(url, client)
    defer { state.withLock { $0.fetches -= 1 } }
    let answer: ClientResponse
    do throws(ClientError) {
      answer = try await fetch.fetch(
        ClientRequest(
          method: .get, origin: Origin(url), target: url.target,
          fields: [("accept", Array("application/json".utf8))]),
        policy: policy, deadline: .now.advanced(by: Self.patience), bodyBytesMax: Self.bytesMax)
    } catch {
      log.warning("client_document_not_fetched", ["host": .text(.host(Origin(url).host))])
      return nil
    }
    guard answer.status == 200, !answer.isPartial, let found = Self.read(answer.body, at: url)
    else {
      log.warning("client_document_refused", ["host": .text(.host(Origin(url).host))])
      return nil
    }
    remember(found, seconds: Self.seconds(answer))
    return found
  }

  /// The client that `body` describes at `url`.
  static func read(_ body: [UInt8], at url: WebURL) -> KnownClient? {
    guard let metadata = try? ClientMetadata(document: body),
      metadata.clientID?.utf8.elementsEqual(url.description.utf8) == true
    else { return nil }
    return KnownClient(
      id: url.description, name: KnownClient.shownName(metadata.name),
      origin: .document(host: url.authority.description), redirectURIs: metadata.redirectURIs)
  }

  private func enter(_ url: WebURL, _ client: ClientNetwork) throws(Refusal) {
    enum Verdict { case go, busy, wait(Int64) }
    let verdict = state.withLock { state -> Verdict in
      guard state.fetches < Self.fetchesMax else { return .busy }
      let wait = state.throttle.attempt(
        account: url.origin, from: client.address, now: .now)
      if let wait { return .wait(wait) }
      state.fetches += 1
      return .go
    }
    switch verdict {
    case .go: return
    case .busy: throw .overloaded
    case .wait(let seconds): throw .tooManyAttempts(retryAfterSeconds: seconds)
    }
  }

  private func remember(_ client: KnownClient, seconds: Int) {
    guard seconds > 0 else { return }
    state.withLock { state in
      if state.remembered.count >= Self.rememberedMax { state.remembered.removeAll() }
      state.remembered[client.id] = (client, Instant.now.advanced(bySeconds: seconds))
    }
  }

  /// For how long the answer may be kept (RFC 9111 section 5.2.2).
  static func seconds(_ answer: ClientResponse) -> Int {
    var seconds = secondsWithoutWord
    for field in answer.fields where field.name.utf8.elementsEqual("cache-control".utf8) {
      for directive in field.value.split(separator: UInt8(ascii: ",")) {
        let word = directive.filter { $0 != 0x20 && $0 != 0x09 }
          .map { (0x41...0x5a).contains($0) ? $0 + 32 : $0 }
        if word.starts(with: "no-store".utf8) || word.starts(with: "no-cache".utf8) { return 0 }
        guard word.starts(with: "max-age=".utf8) else { continue }
        let digits = word.dropFirst(8)
        guard (1...10).contains(digits.count), digits.allSatisfy({ (48...57).contains($0) }) else {
          return 0
        }
        seconds = digits.reduce(0) { $0 * 10 + Int($1 - 48) }
      }
    }
    return min(seconds, rememberedSecondsMax)
  }
}
