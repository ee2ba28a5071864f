// Registers clients (RFC 7591). Anybody may, so rows are bounded: per network and hour, in all, and one
// that leads to no grant is gone after a day. A client gets back what holds for it, not what it wrote.

import Accounts
import Bytes
import Clocks
import HTTPServer
import JOSE
import OAuth
import Providers
import Synchronization

/// POST /oauth/register
final class RegistrationRoute: Sendable {
  private let store: any OAuthClientStore
  private let throttle = Mutex(
    SignInThrottle(
      .init(perAccountAndNetwork: 200, perAccount: 2000, perNetwork: 200, windowSeconds: 3600)))

  init(store: any OAuthClientStore) { self.store = store }

  func respond(_ request: Request, now: UnixTime) async throws(OAuthRefusal) -> Response {
    let metadata: ClientMetadata
    do throws(ClientMetadata.Fault) {
      guard Self.isJSON(request) else { throw .metadata }
      metadata = try ClientMetadata(registration: request.body)
    } catch {
      throw error == .redirectURI
        ? OAuthRefusal.invalidRedirectURI : OAuthRefusal.invalidClientMetadata
    }
    let wait = throttle.withLock {
      $0.attempt(account: "register", from: request.client, now: .now)
    }
    if let wait { throw .tooManyAttempts(retryAfterSeconds: wait) }
    // No id of ours can be taken for the URL of a document.
    let id = "client_" + Base64URL.encode(Randomness.bytes(count: 16))
    let secret =
      metadata.authentication == .none
      ? nil : Base64URL.encode(Randomness.bytes(count: 32))
    let client = StoredClient(
      id: id, name: metadata.name ?? "", redirectURIs: metadata.redirectURIs.map(\.text),
      authentication: .init(metadata.authentication), secretHash: secret.map { SHA256Digest.of($0) }
    )
    do throws(AccountError) { try await store.addClient(client, now: now) } catch {
      throw OAuthRefusal(error)
    }
    return .json(status: 201, Self.answer(client, secret: secret, metadata, now).bytes)
  }

  private static func answer(
    _ client: StoredClient, secret: String?, _ metadata: ClientMetadata, _ now: UnixTime
  ) -> JSONText {
    var grantTypes: [JSONText] = ["authorization_code"]
    if metadata.refreshes { grantTypes.append("refresh_token") }
    var members: [(name: String, value: JSONText)] = [
      ("client_id", .string(client.id)), ("client_id_issued_at", .integer(now.seconds)),
      ("redirect_uris", .array(client.redirectURIs.map { .string($0) })),
      ("token_endpoint_auth_method", .string(metadata.authentication.methodName)),
      ("grant_types", .array(grantTypes)), ("response_types", ["code"]),
      ("scope", .string(AuthorizationRequest.scope)),
    ]
    if let name = metadata.name { members.append(("client_name", .string(name))) }
    if let secret {
      members.append(("client_secret", .string(secret)))
      members.append(("client_secret_expires_at", 0))
    }
    return .object(members)
  }

  private static func isJSON(_ request: Request) -> Bool {
    guard request.fieldCount("content-type") == 1, let type = request.field("content-type") else {
      return false
    }
    return type.utf8.prefix { $0 != UInt8(ascii: ";") && $0 != 0x20 }
      .map { (0x41...0x5a).contains($0) ? $0 + 32 : $0 }
      .elementsEqual("application/json".utf8)
  }
}

extension StoredClient.Authentication {
  fileprivate init(_ way: OAuthRules.ClientAuthentication) {
    self =
      switch way {
      case .none: .none
      case .basic: .basic
      case .post: .post
      }
  }
}
