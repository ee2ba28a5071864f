// What a person's yes becomes: the data key of the chosen connection, opened with what the person brings
// or with a master key, and sealed under a fresh code. A connection that is made on the way gives its
// key in the moment of connecting; the credential that it comes with served for this alone and ends.

import Accounts
import Clocks
import HTTPCodec
import HTTPServer
import OAuth
import Providers
import Vault

/// The consent step.
struct Consent: Sendable {
  let connections: any ConnectionStore
  let authorizations: any AuthorizationStore
  let grants: any GrantStore
  let keys: KeyAgent
  let epochs: RevocationEpochs
  let byKey: ConnectByAPIKey
  let byOAuth: AuthorizeRoute
  let issuer: String

  /// What a person is asked.
  struct Question: Sendable {
    let asked: AuthorizeEndpoint.Asked
    let wanted: AuthorizationRequest
    let provider: Provider
    let user: User
    let formToken: String
  }

  /// What comes of a yes.
  enum Outcome {
    case page(Response)
    case code(String)
  }

  func page(
    _ question: Question, status: Int = 200, problem: String? = nil, claim: String? = nil
  ) async throws(Refusal) -> Response {
    let all: [ConnectionRecord]
    do throws(AccountError) {
      all = try await connections.connections(of: question.user.id)
    } catch { throw Refusal(error) }
    let own = all.filter {
      $0.service.utf8.elementsEqual(question.provider.id.utf8) && $0.status == .active
    }
    let form = question.asked.form
    // Back from a provider: the newest connection is the one that the ticket is of.
    let ticket = claim ?? form.only("claim")
    let fresh = ticket.flatMap { Ticket($0) }.flatMap { ticket in
      own.max { $0.createdAt < $1.createdAt }.map {
        (connection: $0.id, claim: ticket.makeText())
      }
    }
    let redirect = question.asked.sender.redirectURI
    let shown = ConsentPage(
      client: question.asked.client, redirectHost: redirect.url.authority.description,
      isLoopbackRedirect: redirect.isLoopback, serviceName: question.provider.name,
      resource: question.wanted.resource, scope: AuthorizationRequest.scope,
      user: question.user.email, formToken: question.formToken, connections: own,
      takesAPIKey: question.provider.apiKey != nil, takesOAuth: question.provider.oauth != nil,
      managedIsOn: keys.isManagedOn, fresh: fresh,
      problem: problem
        ?? form.only("error").map(Self.problem(ofConnecting:)))
    return shown.response(status: status)
  }

  func allow(
    _ question: Question, _ body: Form, _ request: Request, now: UnixTime
  ) async throws(Refusal) -> Outcome {
    do throws(Refusal) {
      guard let choice = OAuthForm.value("connection", body) else {
        return .page(try await page(question, status: 400, problem: "Choose a connection."))
      }
      if choice.utf8.elementsEqual("new".utf8) {
        return try await connect(question, body, request, now: now)
      }
      guard let id = ConnectionID(choice) else { throw .notFound }
      let (source, spent) = try await self.source(of: id, question, body, now: now)
      return .code(try await grant(question, id, source, spending: spent, now: now))
    } catch {
      guard let problem = Self.problem(error) else { throw error }
      return .page(
        try await page(
          question, status: error.wire.status, problem: problem,
          claim: OAuthForm.value("claim", body)))
    }
  }

  /// What a person reads who may do it better the next time; nil where there is no next time.
  private static func problem(_ refusal: Refusal) -> String? {
    switch refusal {
    case .notFound: "This connection is not there any more."
    case .credentialRefused, .bodyInvalid(.credential):
      "This connection is zero-knowledge: paste its secret URL or its API key."
    case .bodyInvalid(.apiKey): "An API key of the service is needed."
    case .apiKeyRefused, .serviceUnreachable, .discoveryFailed, .registrationFailed,
      .clientNotConfigured, .managedModeOff, .tooMany, .planForbids, .notOwner:
      refusal.wire.message
    default: nil
    }
  }

  /// The same for somebody who comes back from a provider.
  private static func problem(ofConnecting code: String) -> String {
    switch ConnectFailure(rawValue: code) {
    case .limitReached: PlanRefusal.limitReached.advice
    case .planEnded: "Your plan has ended: see the dashboard"
    default: "The service could not be connected. Try once more."
    }
  }

  // MARK: The key of a connection

  /// What opens the data key, and the credential that is of no further use.
  private func source(
    of id: ConnectionID, _ question: Question, _ body: Form, now: UnixTime
  ) async throws(Refusal) -> (KeyAgent.Source, spent: CredentialID?) {
    let user = question.user.id
    let connection: ConnectionRecord
    let managed: ManagedWrap?
    do throws(AccountError) {
      connection = try await connections.connection(id, of: user)
      managed = try await connections.managedWrap(id, of: user)
    } catch { throw Refusal(error) }
    guard connection.service.utf8.elementsEqual(question.provider.id.utf8),
      connection.status == .active
    else { throw .notFound }
    if let managed { return (.managed(managed), nil) }
    if let text = OAuthForm.value("credential", body) {
      guard let presented = keys.present(text) else { throw .credentialRefused }
      return (try await source(presented, of: id, user, now: now).source, nil)
    }
    guard let claim = OAuthForm.value("claim", body).flatMap({ Ticket($0) }) else {
      throw .bodyInvalid(.credential)
    }
    guard let presented = try await take(claim, of: user, expecting: id, now: now) else {
      throw .credentialRefused
    }
    let found = try await source(presented, of: id, user, now: now)
    return (found.source, found.id)
  }

  private func source(
    _ presented: PresentedCredential, of id: ConnectionID, _ user: UserID, now: UnixTime
  ) async throws(Refusal) -> (source: KeyAgent.Source, id: CredentialID) {
    let found: (id: CredentialID, wrap: [UInt8])?
    do throws(AccountError) {
      found = try await connections.credentialWrap(
        lookup: presented.lookup, of: id, user: user, now: now)
    } catch { throw Refusal(error) }
    guard let found else { throw .credentialRefused }
    return (.credential(id: found.id, wrap: found.wrap, secret: presented), found.id)
  }

  /// The credential that a way through a provider ended in.
  private func take(
    _ claim: Ticket, of user: UserID, expecting id: ConnectionID, now: UnixTime
  ) async throws(Refusal) -> PresentedCredential? {
    let hash = claim.hash(for: .claim)
    let taken: (connection: ConnectionRecord, sealed: [UInt8])
    do throws(AccountError) {
      taken = try await authorizations.takeClaim(hash, of: user, now: now)
    } catch {
      if case .database = error { throw Refusal(error) }
      return nil
    }
    let place = SealContext.claim(
      token: hash, connection: taken.connection.id.text, owner: user.text)
    guard taken.connection.id == id,
      let shown = TicketBox.open(
        taken.sealed, as: FinishAuthorization.Shown.self, under: claim, at: place)
    else { return nil }
    return keys.present(shown.apiKey)
  }

  // MARK: A grant

  private func grant(
    _ question: Question, _ id: ConnectionID, _ source: KeyAgent.Source,
    spending spent: CredentialID?, now: UnixTime
  ) async throws(Refusal) -> String {
    let user = question.user.id
    let sender = question.asked.sender
    let record = GrantRecord(
      id: .random(), userID: user, connectionID: id, clientID: sender.clientID,
      clientName: question.asked.client.name, resource: question.wanted.resource,
      scope: AuthorizationRequest.scope, createdAt: now,
      expiresAt: now.advanced(bySeconds: GrantLife.secondsMax))
    let code = try keys.makeCode(from: source, grant: record.id, connection: id, owner: user)
    do throws(AccountError) {
      try await grants.addGrant(
        record,
        code: CodeRecord(
          hash: code.hash, challenge: question.wanted.challenge,
          redirectURI: sender.redirectURI.text,
          expiresAt: now.advanced(bySeconds: GrantLife.codeSecondsMax), wrap: code.wrap),
        now: now)
      if let spent {
        try await connections.revokeCredential(spent, of: id, user: user, now: now)
        epochs.bump(id)
      }
    } catch { throw Refusal(error) }
    return code.text
  }

  // MARK: A new connection

  private func connect(
    _ question: Question, _ body: Form, _ request: Request, now: UnixTime
  ) async throws(Refusal) -> Outcome {
    let provider = question.provider
    let isManaged = OAuthForm.value("key_storage_mode", body).map {
      $0.utf8.elementsEqual(KeyStorageMode.managed.rawValue.utf8)
    }
    let mode: KeyStorageMode = isManaged == true ? .managed : .zeroKnowledge
    if let key = OAuthForm.value("api_key", body), let rules = provider.apiKey {
      let made = try await byKey.connect(
        provider, rules, apiKey: key, .init(mode: mode), of: question.user.id, now: now)
      guard let presented = keys.present(made.shown.apiKey) else { throw .failed }
      let id = made.connection.id
      let found = try await source(presented, of: id, question.user.id, now: now)
      return .code(try await grant(question, id, found.source, spending: found.id, now: now))
    }
    guard let rules = provider.oauth else { throw .bodyInvalid(.apiKey) }
    try await byOAuth.checkRoom(for: question.user.id, replacing: nil, now: now)
    let back = Form(
      question.asked.form.pairs.filter { pair in
        !["claim", "error"].contains { $0.utf8.elementsEqual(pair.name.utf8) }
      })
    let begun = try await byOAuth.begin(
      provider, rules, mode: mode, replacing: nil,
      returnTo: "\(issuer)\(AuthorizeEndpoint.path)?\(back.encoded)", of: question.user.id,
      for: request, now: now)
    return .page(Response(status: 303, fields: [("location", begun.url), begun.cookie]))
  }
}
