// Which client are we at an authorization server? The operator's, where the service wants one
// registered by hand; the document about us, where the server reads such; else one that we register
// ourselves, kept for each issuer and renewed before it ends. A client's secret is kept under a
// master key only: without one, a client that has a secret lives as long as its connection.

import Accounts
import Bytes
import Clocks
import Configuration
import HTTPCodec
import Logging
import OAuth
import Providers
import Vault

/// Finds and keeps our clients.
struct OAuthClients: Sendable {
  /// A client whose secret ends within this time is registered anew.
  static let renewalSeconds: Int64 = 3600

  /// A client, and where it is kept if we registered it.
  struct Choice: Sendable {
    let identity: ClientIdentity
    let registeredAt: RegistrationPlace?
  }

  let registrations: any RegistrationStore
  let fetch: any Fetching
  let keys: KeyAgent
  let configured: [String: OAuthClient]
  let document: ClientDocument
  let log: Log

  /// Our client at the server of a discovered service, registered if need be.
  /// - Throws: `clientNotConfigured`, `registrationFailed`, `overloaded`, `failed`.
  func client(
    for provider: Provider, at service: DiscoveredService, now: UnixTime
  ) async throws(Refusal) -> Choice {
    let operatorClient = configured[provider.id].map { client in
      (
        id: client.id,
        secret: client.secret.map { $0.withBytes { String(decoding: $0, as: UTF8.self) } }
      )
    }
    let way = Registration.way(
      for: provider, at: service.server, operatorClient: operatorClient,
      documentURL: document.url)
    switch way {
    case .known(let identity): return Choice(identity: identity, registeredAt: nil)
    case .dynamic(let url):
      return try await registered(for: provider, at: service, url, now: now)
    case .impossible(.staticClientMissing): throw .clientNotConfigured
    case .impossible(.notOffered): throw .registrationFailed
    }
  }

  /// Forgets a client that its server does not know any more, so that the next one is new.
  func drop(_ clientID: String, at issuer: String) async {
    let place = RegistrationPlace(issuer: issuer, redirectURI: document.redirectURI)
    try? await registrations.dropRegistration(of: clientID, at: place)
  }

  private func registered(
    for provider: Provider, at service: DiscoveredService, _ url: WebURL, now: UnixTime
  ) async throws(Refusal) -> Choice {
    let place = RegistrationPlace(
      issuer: service.server.issuer ?? url.description, redirectURI: document.redirectURI)
    if let kept = try await kept(at: place, now: now) {
      return Choice(identity: kept, registeredAt: place)
    }
    let client: RegisteredClient
    do throws(RegistrationFailure) {
      client = try await Registration.register(
        at: url, policy: provider.policy(for: url), redirectURI: document.redirectURL,
        scopes: service.scopes, authentication: service.server.clientAuthentication, fetch: fetch)
    } catch {
      log.warning("registration_failed", ["provider": .service(provider.id)])
      throw .registrationFailed
    }
    let isKept = try await keep(client, at: place, now: now)
    return Choice(identity: client.identity, registeredAt: isKept ? place : nil)
  }

  private func kept(
    at place: RegistrationPlace, now: UnixTime
  ) async throws(Refusal) -> ClientIdentity? {
    let found: StoredRegistration?
    do throws(AccountError) {
      found = try await registrations.registration(at: place)
    } catch { throw Refusal(error) }
    guard let found,
      let authentication = OAuthRules.ClientAuthentication(rawValue: found.authentication),
      found.expiresAt.map({ $0.seconds - now.seconds > Self.renewalSeconds }) ?? true
    else { return nil }
    guard let sealed = found.secret?.sealed else {
      return ClientIdentity(id: found.clientID, secret: nil, authentication: .none)
    }
    // Under a master key that is gone the client is as good as lost: the next one replaces it.
    guard let secret = keys.openRegistrationSecret(sealed, at: place) else { return nil }
    return ClientIdentity(id: found.clientID, secret: secret, authentication: authentication)
  }

  /// Whether the client was kept.
  private func keep(
    _ client: RegisteredClient, at place: RegistrationPlace, now: UnixTime
  ) async throws(Refusal) -> Bool {
    var secret: ManagedWrap?
    if let text = client.identity.secret {
      secret = keys.sealRegistrationSecret(text, at: place)
      guard secret != nil else { return false }
    }
    do throws(AccountError) {
      try await registrations.keepRegistration(
        StoredRegistration(
          clientID: client.identity.id, authentication: client.identity.authentication.rawValue,
          secret: secret, managementURI: client.registrationClientURI?.description,
          expiresAt: client.expiresAt.map { UnixTime(seconds: $0) }),
        at: place, now: now)
    } catch { throw Refusal(error) }
    return true
  }
}
