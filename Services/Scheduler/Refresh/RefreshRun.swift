// One refresh of one connection, step by step: lock, look again, write the intent, ask, make the
// answer durable. Each way out leaves the store in a state from which the next try goes on.

import Accounts
import Bytes
import Clocks
import Configuration
import Database
import HTTPCodec
import Logging
import OAuth
import Providers
import RPC
import Vault

/// A refresh under way.
struct RefreshRun: Sendable {
  let parts: Refresher.Parts
  let connection: String
  /// What the caller holds; a later one in the store is what it wants.
  let generation: UInt64
  let key: HeldKey
  let wasRefused: Bool
  let urgency: SharedUrgency

  /// What is refreshed, as the store has it now.
  private struct Subject {
    let facts: ConnectionFacts
    let blob: TokenBlob
    let failures: Int
    let grant: OAuthGrant
    let refreshToken: String
    let tokenURL: WebURL
  }

  /// Why a run ends early.
  private enum Stop: Error {
    case with(Refresher.Outcome)
    case database(DatabaseError)
  }

  func run() async -> Refresher.Outcome {
    guard await takeLock() else { return .init(.later, retryAfterSeconds: 5) }
    defer { parts.locks.release(connection) }
    do throws(Stop) {
      return try await refresh(try await look())
    } catch {
      switch error {
      case .with(let outcome): return outcome
      case .database(let error):
        parts.log.warning(
          "refresh_store_failed",
          ["connection": .idPrefix(connection), "reason": .literal(error.label)])
        return .init(.later, retryAfterSeconds: 2)
      }
    }
  }

  private func takeLock() async -> Bool {
    let deadline = Instant.now.advanced(by: parts.lockPatience)
    var wait = Duration.milliseconds(5)
    while !parts.locks.take(connection) {
      guard Instant.now < deadline else { return false }
      await parts.pause(wait)
      wait = min(wait * 2, .milliseconds(200))
    }
    return true
  }

  // MARK: Look

  private func look() async throws(Stop) -> Subject {
    let connection = connection
    let facts: ConnectionFacts?
    let stored: (blob: TokenBlob?, state: RefreshState?)
    do throws(DatabaseError) {
      facts = try await parts.bindery.run { (database) throws(DatabaseError) in
        try ConnectionFacts.of(connection, in: database)
      }
      stored = try await parts.tokens.run { (database) throws(DatabaseError) in
        (
          try TokenStore(database).blob(of: connection),
          try RefreshLedger(database).state(of: connection)
        )
      }
    } catch { throw .database(error) }
    guard let facts, let blob = stored.blob else { throw .with(.init(.unrefreshable)) }
    guard blob.generation <= generation else { throw .with(.init(.fresh)) }
    let now = UnixTime.now
    let state = stored.state.flatMap { $0.generation == blob.generation ? $0 : nil }
    if state?.needsReauthAt != nil { throw .with(.init(.needsReauthorization)) }
    if !wasRefused, urgency.value == .onDemand, let due = blob.dueAt, due > now {
      throw .with(.init(.fresh))
    }
    if let next = state?.nextTryAt, next > now {
      throw .with(.init(.later, retryAfterSeconds: next.seconds - now.seconds))
    }
    let opened = OAuthGrant.open(blob, connection: connection, owner: facts.owner, key: key)
    guard let grant = opened, let tokenURL = WebURL(grant.tokenURL) else {
      throw .with(.init(.unrefreshable))
    }
    guard let refreshToken = grant.refreshToken else {
      // Nothing but new consent helps tokens that the service refuses.
      guard wasRefused else { throw .with(.init(.unrefreshable)) }
      try await fail(blob.generation, "access_refused", needsReauth: true, after: nil)
      throw .with(.init(.needsReauthorization))
    }
    return Subject(
      facts: facts, blob: blob, failures: state?.failures ?? 0, grant: grant,
      refreshToken: refreshToken, tokenURL: tokenURL)
  }

  // MARK: Exchange

  private func refresh(_ subject: Subject) async throws(Stop) -> Refresher.Outcome {
    let service = subject.facts.service
    let gate = parts.gates.gate(of: service)
    if case .closed(let seconds) = await gate.admit(urgency.value, as: connection) {
      return .init(.later, retryAfterSeconds: seconds)
    }
    let connection = connection
    let sent = subject.blob.generation
    do throws(DatabaseError) {
      // The turn may have been long in coming: a connection that was revoked meanwhile asks nothing.
      let isLive = try await parts.bindery.run { (database) throws(DatabaseError) in
        try ConnectionFacts.of(connection, in: database) != nil
      }
      guard isLive else {
        await gate.noteNothing()
        return .init(.unrefreshable)
      }
    } catch {
      await gate.noteNothing()
      throw .database(error)
    }
    do throws(TokenStoreError) {
      let attempt = try await parts.tokens.commit { (database) throws(TokenStoreError) in
        try RefreshLedger(database).begin(
          connection, generation: sent, atMilliseconds: UnixTime.milliseconds)
      }
      if attempt > 1 {
        parts.metrics.note(service, .retried)
        parts.log.warning(
          "refresh_retried",
          [
            "connection": .idPrefix(connection), "provider": .service(service),
            "attempt": .count(attempt),
          ])
      }
    } catch {
      await gate.noteNothing()
      switch error {
      case .generationMoved: return .init(.fresh)
      case .database(let error): throw .database(error)
      }
    }
    await gate.pace()
    let start = Instant.now
    do throws(TokenFailure) {
      let answer = try await endpoint(subject).refresh(
        subject.refreshToken, resource: subject.grant.resource)
      let answered = Instant.now
      try await commit(answer, subject)
      parts.metrics.windowSeconds.observe(answered.duration(to: .now))
      parts.metrics.exchangeSeconds.observe(start.duration(to: answered))
      await gate.noteAnswer()
      parts.metrics.note(service, .refreshed)
      parts.log.info(
        "tokens_refreshed",
        ["connection": .idPrefix(connection), "provider": .service(service)])
      return .init(.fresh)
    } catch {
      if Patience.isTrouble(error) {
        await gate.noteTrouble(retryAfterSeconds: error.retryAfterSeconds)
      } else {
        await gate.noteAnswer()
      }
      return try await settle(error, subject)
    }
  }

  private func endpoint(_ subject: Subject) -> TokenEndpoint {
    let service = subject.facts.service
    return TokenEndpoint(
      subject.tokenURL, policy: parts.gates.policy(of: service, for: subject.tokenURL),
      client: parts.identity(of: subject.grant, service: service),
      deadErrors: parts.gates.rules(of: service).deadErrors, fetch: parts.fetch)
  }

  /// Seals the answer and makes it durable.
  private func commit(
    _ answer: TokenAnswer, _ subject: Subject
  ) async throws(TokenFailure) {
    let now = UnixTime.now
    let rules = parts.gates.rules(of: subject.facts.service)
    let grant = subject.grant.renewed(by: answer, rules: rules, at: now)
    let next = subject.blob.generation + 1
    let context = SealContext.tokenBlob(
      connection: connection, owner: subject.facts.owner, generation: next)
    let sealed = grant.tokenSet.withBytes {
      SealEngine().seal($0, under: key.key, context: context)
    }
    let blob = TokenBlob(generation: next, sealed: sealed, expiresAt: grant.expiresAt)
    let connection = connection
    var wait = Duration.milliseconds(50)
    while true {
      do throws(TokenStoreError) {
        return try await parts.tokens.commit { (database) throws(TokenStoreError) in
          try RefreshLedger(database).commit(
            blob, of: connection, refreshExpiresAt: grant.refreshExpiresAt, at: now)
        }
      } catch {
        guard case .database(let reason) = error else {
          // The connection was revoked meanwhile; nothing of it is written again.
          parts.metrics.note(subject.facts.service, .lost)
          return
        }
        // The answer exists only here: a full disk or a long lock must not lose it.
        parts.log.error(
          "tokens_not_committed",
          ["connection": .idPrefix(connection), "reason": .literal(reason.label)])
        guard !reason.isFatal else { throw .broken }
        await parts.pause(wait)
        wait = min(wait * 2, .seconds(1))  // and must not fill what is left of it with words
      }
    }
  }

  // MARK: Failure

  private func settle(
    _ failure: TokenFailure, _ subject: Subject
  ) async throws(Stop) -> Refresher.Outcome {
    let service = subject.facts.service
    parts.metrics.note(service, RefreshOutcomeLabel(failure))
    let seconds = Patience.seconds(
      after: failure, earlier: subject.failures, chance: Randomness.uint64())
    let isDead = failure == .invalidGrant
    parts.log.warning(
      "refresh_failed",
      [
        "connection": .idPrefix(connection), "provider": .service(service),
        "reason": .literal(failure.label), "seconds": .count(seconds),
      ])
    try await fail(
      subject.blob.generation, failure.label, needsReauth: isDead, after: isDead ? nil : seconds)
    return isDead
      ? .init(.needsReauthorization) : .init(.later, retryAfterSeconds: max(seconds, 1))
  }

  private func fail(
    _ generation: UInt64, _ reason: StaticString, needsReauth: Bool, after seconds: Int64?
  ) async throws(Stop) {
    let now = UnixTime.now
    let failure = RefreshFailure(
      reason: reason, needsReauth: needsReauth,
      nextTryAt: seconds.map { now.advanced(bySeconds: $0) })
    let connection = connection
    do throws(TokenStoreError) {
      try await parts.tokens.commit { (database) throws(TokenStoreError) in
        try RefreshLedger(database).fail(connection, generation: generation, failure, at: now)
      }
    } catch {
      if case .database(let error) = error { throw .database(error) }
    }
  }
}

extension TokenFailure {
  /// What the provider said about when to come back.
  fileprivate var retryAfterSeconds: Int? {
    switch self {
    case .throttled(let seconds): seconds ?? 2
    case .unavailable(let seconds): seconds
    default: nil
    }
  }
}

extension Refresher.Parts {
  /// Who we are at the service of a grant.
  func identity(of grant: OAuthGrant, service: String) -> ClientIdentity {
    var secret = grant.clientSecret
    // The operator may have changed the secret of a client that is set up by hand.
    if let client = clients[service], client.id.utf8.elementsEqual(grant.clientID.utf8),
      let held = client.secret
    {
      secret = held.withBytes { String(decoding: $0, as: UTF8.self) }
    }
    return ClientIdentity(
      id: grant.clientID, secret: secret, authentication: grant.clientAuthentication)
  }
}

extension OAuthGrant {
  /// The grant in `blob`; nil when the key does not open it or it holds none.
  static func open(
    _ blob: TokenBlob, connection: String, owner: String, key: HeldKey
  ) -> OAuthGrant? {
    let context = SealContext.tokenBlob(
      connection: connection, owner: owner, generation: blob.generation)
    var grant: OAuthGrant?
    blob.sealed.withUnsafeBytes { sealed in
      try? SealEngine().open(sealed, under: key.key, context: context) {
        (plain) throws(SealError) in grant = OAuthGrant(tokenSet: plain)
      }
    }
    return grant
  }

  /// This grant with what an answer brought: what it does not mention stays.
  func renewed(by answer: TokenAnswer, rules: RefreshRules, at now: UnixTime) -> OAuthGrant {
    var next = self
    next.accessToken = answer.accessToken
    next.refreshToken = answer.refreshToken ?? refreshToken
    next.issuedAt = now
    let life = answer.lifetimeSeconds ?? rules.defaultLifetimeSeconds
    next.expiresAt = life.map { now.advanced(bySeconds: Int64($0)) }
    if let life = answer.refreshLifetimeSeconds {
      next.refreshExpiresAt = now.advanced(bySeconds: Int64(life))
    } else if answer.refreshToken != nil {
      next.refreshExpiresAt = nil
    }
    next.scope = answer.scope ?? scope
    return next
  }
}
