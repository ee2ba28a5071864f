// Turns a code into a connection: exchange it, seal the tokens, write the blob, then row, first
// credential and claim in one transaction, in which a replaced connection ends. A crash between blob
// and row leaves an orphan that the sweep removes; at every moment there is exactly one connection
// that works.

import Accounts
import Clocks
import Database
import HTTPCodec
import OAuth
import Providers
import Vault

/// What follows a code.
struct FinishAuthorization: Sendable {
  let connections: any ConnectionStore
  let tokens: DatabaseThread
  let keys: KeyAgent
  let clients: OAuthClients
  let fetch: any Fetching
  let urls: SecretURLs
  let epochs: RevocationEpochs
  let farewell: Farewell

  /// The secret part of a claim.
  struct Shown: Codable {
    var secretURL: String
    var apiKey: String
  }

  /// Makes the connection; gives the ticket that its owner claims it with.
  func finish(
    _ pending: PendingAuthorization, _ secrets: AuthorizationSecrets, provider: Provider,
    code: String
  ) async throws(ConnectFailure) -> Ticket {
    let isManaged = pending.keyStorageMode == .managed
    guard !isManaged || keys.isManagedOn else { throw .notSupported }
    let grant = try await exchange(secrets, provider, code)
    let now = UnixTime.now
    let id = ConnectionID.random()
    let credential = CredentialID.random()
    let made: KeyAgent.NewKeys
    do throws(Refusal) {
      made = try keys.makeKeys(
        sealing: grant.tokenSet, connection: id, owner: pending.userID, credential: credential,
        managed: isManaged, expiresAt: grant.expiresAt)
    } catch { throw .notSupported }
    let ticket = Ticket()
    let claim = try makeClaim(made.shown, of: id, pending, provider, ticket)
    try await writeBlob(made.blob, of: id, now: now)
    let record = ConnectionRecord(
      id: id, userID: pending.userID, service: provider.id, label: "", authType: .oauth,
      keyStorageMode: pending.keyStorageMode, createdAt: now, expiresAt: grant.refreshExpiresAt,
      isRevocableUpstream: grant.revocationURL != nil && provider.oauth?.revocation != .some(.none))
    do throws(AccountError) {
      let added = try await connections.addConnection(
        record, serviceName: provider.name, managedWrap: made.managedWrap,
        credential: NewCredential(
          record: CredentialRecord(
            id: credential, connectionID: id, name: "First credential", createdAt: now),
          lookup: made.lookup, wrap: made.wrap),
        claim: claim, replacing: pending.replaces)
      if let old = pending.replaces, let parting = added.replaced {
        epochs.bump(old)
        farewell.begin(old, owner: pending.userID, parting)
      }
    } catch {
      // If the row was written after all, this destroys nothing.
      farewell.forget(id)
      throw ConnectFailure(error)
    }
    return ticket
  }

  private func exchange(
    _ secrets: AuthorizationSecrets, _ provider: Provider, _ code: String
  ) async throws(ConnectFailure) -> OAuthGrant {
    guard let client = secrets.client, let tokenURL = WebURL(secrets.tokenURL) else {
      throw .internalError
    }
    let endpoint = TokenEndpoint(
      tokenURL, policy: provider.policy(for: tokenURL), client: client,
      deadErrors: provider.refresh.deadErrors, fetch: fetch)
    let answer: TokenAnswer
    do throws(TokenFailure) {
      answer = try await endpoint.exchange(
        code: code, redirectURI: clients.document.redirectURI, verifier: secrets.verifier,
        resource: secrets.resource)
    } catch {
      if error == .invalidClient, let issuer = secrets.registeredAt {
        await clients.drop(client.id, at: issuer)
      }
      throw ConnectFailure(error)
    }
    return grant(answer, secrets, client, provider)
  }

  private func grant(
    _ answer: TokenAnswer, _ secrets: AuthorizationSecrets, _ client: ClientIdentity,
    _ provider: Provider
  ) -> OAuthGrant {
    let now = UnixTime.now
    let end = { (seconds: Int?) in seconds.map { now.advanced(bySeconds: Int64($0)) } }
    return OAuthGrant(
      accessToken: answer.accessToken, refreshToken: answer.refreshToken,
      expiresAt: end(answer.lifetimeSeconds ?? provider.refresh.defaultLifetimeSeconds),
      issuedAt: now, refreshExpiresAt: end(answer.refreshLifetimeSeconds),
      scope: answer.scope ?? secrets.scope, clientID: client.id, clientSecret: client.secret,
      clientAuthentication: client.authentication, tokenURL: secrets.tokenURL,
      revocationURL: secrets.revocationURL, resource: secrets.resource, issuer: secrets.issuer)
  }

  private func makeClaim(
    _ shown: ShownCredential, of id: ConnectionID, _ pending: PendingAuthorization,
    _ provider: Provider, _ ticket: Ticket
  ) throws(ConnectFailure) -> NewClaim {
    let hash = ticket.hash(for: .claim)
    let value = Shown(
      secretURL: urls.url(shown, service: provider.id), apiKey: shown.apiKey)
    let place = SealContext.claim(
      token: hash, connection: id.text, owner: pending.userID.text)
    guard let sealed = TicketBox.seal(value, under: ticket, at: place) else {
      throw .internalError
    }
    return NewClaim(token: hash, sealed: sealed)
  }

  private func writeBlob(
    _ blob: TokenBlob, of id: ConnectionID, now: UnixTime
  ) async throws(ConnectFailure) {
    do throws(Refusal) {
      try await tokens.insertFirst(blob, of: id, now: now)
    } catch { throw .internalError }
  }
}

extension DatabaseThread {
  /// Writes a connection's first blob, which precedes its row.
  func insertFirst(
    _ blob: TokenBlob, of id: ConnectionID, now: UnixTime
  ) async throws(Refusal) {
    do throws(TokenStoreError) {
      try await run { (connection) throws(TokenStoreError) in
        try connection.transaction { () throws(TokenStoreError) in
          try TokenStore(connection).insert(blob, of: id.text, at: now)
        }
      }
    } catch {
      switch error {
      case .generationMoved: throw .failed
      case .database(let error): throw error.isTransient ? .overloaded : .failed
      }
    }
  }
}

extension ConnectFailure {
  /// What a store's refusal means for a person who comes back.
  fileprivate init(_ error: AccountError) {
    self =
      switch error {
      case .tooMany, .planForbids(.limitReached): .limitReached
      case .planForbids: .planEnded
      case .notFound: .connectionGone
      default: .internalError
      }
  }
}
