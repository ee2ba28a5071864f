// Which client asks, at the endpoints that take forms (RFC 6749 section 2.3): in one way per request,
// and in the way that it registered. A public client only names itself; that it holds the code's
// verifier or the refresh token is shown elsewhere. Guessing a secret is slowed down.

import Accounts
import Bytes
import Clocks
import HTTPCodec
import HTTPServer
import JOSE
import OAuth
import Synchronization

/// A client that was believed.
struct ProvenClient: Equatable, Sendable {
  let id: String
  /// Whether it showed a secret.
  let isConfidential: Bool
}

/// Believes clients, or not.
final class ClientProof: Sendable {
  private let store: any OAuthClientStore
  private let throttle = Mutex(
    SignInThrottle(
      .init(perAccountAndNetwork: 50, perAccount: 500, perNetwork: 500, windowSeconds: 900)))

  init(store: any OAuthClientStore) { self.store = store }

  private enum Shown {
    case name(String)
    case secret(id: String, secret: String, basic: Bool)
  }

  /// The client that sends `form`.
  func client(
    of request: Request, _ form: Form, now: UnixTime
  ) async throws(OAuthRefusal) -> ProvenClient {
    switch try Self.shown(request, form) {
    case .name(let id):
      // A client by document is public, and what it wants is bound to its URL.
      if id.utf8.elementsEqual(KnownClient.fixedID.utf8) || ClientDocuments.isURL(id) {
        return ProvenClient(id: id, isConfidential: false)
      }
      guard let stored = try await self.stored(id, now: now), stored.authentication == .none else {
        throw .invalidClient(basic: false)
      }
      return ProvenClient(id: id, isConfidential: false)
    case .secret(let id, let secret, let basic):
      let wait = throttle.withLock {
        $0.attempt(account: id, from: request.client, now: .now)
      }
      if let wait { throw .tooManyAttempts(retryAfterSeconds: wait) }
      let stored = try await self.stored(id, now: now)
      guard let stored, stored.authentication == (basic ? .basic : .post),
        let hash = stored.secretHash,
        constantTimeEqual(SHA256Digest.of(secret), hash)
      else { throw .invalidClient(basic: basic) }
      throttle.withLock { $0.succeed(account: id, from: request.client) }
      return ProvenClient(id: id, isConfidential: true)
    }
  }

  private func stored(_ id: String, now: UnixTime) async throws(OAuthRefusal) -> StoredClient? {
    do throws(AccountError) { return try await store.client(id, now: now) } catch {
      throw OAuthRefusal(error)
    }
  }

  private static func shown(_ request: Request, _ form: Form) throws(OAuthRefusal) -> Shown {
    let named = form.only("client_id").flatMap { $0.isEmpty ? nil : $0 }
    let posted = form.only("client_secret").flatMap { $0.isEmpty ? nil : $0 }
    guard let header = request.field("authorization") else {
      guard let named else { throw .invalidClient(basic: false) }
      return posted.map { .secret(id: named, secret: $0, basic: false) } ?? .name(named)
    }
    // Two proofs in one request are one too many.
    guard posted == nil, request.fieldCount("authorization") == 1 else { throw .invalidRequest }
    guard let (id, secret) = basic(header) else { throw .invalidClient(basic: true) }
    guard named.map({ $0.utf8.elementsEqual(id.utf8) }) ?? true else { throw .invalidRequest }
    return .secret(id: id, secret: secret, basic: true)
  }

  /// Both parts are escaped as in forms (RFC 6749 section 2.3.1).
  private static func basic(_ header: String) -> (id: String, secret: String)? {
    let scheme = header.utf8.prefix(6).map { (0x41...0x5a).contains($0) ? $0 + 32 : $0 }
    guard scheme.elementsEqual("basic ".utf8),
      let plain = decoded(header.utf8.dropFirst(6)),
      let colon = plain.firstIndex(of: UInt8(ascii: ":")),
      let id = PercentCoding.decode(plain[..<colon], plusIsBlank: true),
      let secret = PercentCoding.decode(plain[(colon + 1)...], plusIsBlank: true)
    else { return nil }
    return (String(decoding: id, as: UTF8.self), String(decoding: secret, as: UTF8.self))
  }

  /// Base64 with padding (RFC 4648 section 4), as Basic writes it.
  private static func decoded(_ text: Substring.UTF8View) -> [UInt8]? {
    var symbols = text.map { byte in
      byte == UInt8(ascii: "+")
        ? UInt8(ascii: "-") : byte == UInt8(ascii: "/") ? UInt8(ascii: "_") : byte
    }
    for _ in 0..<2 where symbols.last == UInt8(ascii: "=") { symbols.removeLast() }
    return symbols.withUnsafeBytes { Base64URL.decode($0) }
  }
}
