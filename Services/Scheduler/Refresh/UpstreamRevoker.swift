// Tells providers that a grant has ended, then destroys its tokens. Asked by whoever holds the data
// key; managed connections are also tried again by a job until the provider listens or the wait is
// over. The same lock as for a refresh: no refresh can put new tokens in between.

import Accounts
import Bytes
import Clocks
import Configuration
import Database
import HTTPClient
import HTTPCodec
import Logging
import OAuth
import Providers
import RPC
import Vault

/// Ends grants at their providers.
actor UpstreamRevoker {
  private static let atOnceMax = 200
  private static let waitSeconds: ClosedRange<Int64> = 30...3600

  private let parts: Refresher.Parts
  private let catalogue: HeldCatalogue
  private let shredder: Shredder
  private let auth: RPCClient
  private var underWay: [String: Task<UpstreamRevocation, Never>] = [:]
  /// When managed connections are tried again, and after how many failures.
  private var waits: [String: (until: Instant, failures: Int)] = [:]

  init(
    _ parts: Refresher.Parts, catalogue: HeldCatalogue, shredder: Shredder, auth: RPCClient
  ) {
    self.parts = parts
    self.catalogue = catalogue
    self.shredder = shredder
    self.auth = auth
  }

  /// Ends the grant of a revoked connection, once for all who ask at the same time.
  func revoke(_ connection: String, key: consuming DataKey) async -> UpstreamRevocation {
    if let task = underWay[connection] { return await task.value }
    let held = HeldKey(key)
    let task = Task { await self.tell(connection, held) }
    underWay[connection] = task
    let outcome = await task.value
    underWay[connection] = nil
    return outcome
  }

  /// Tries the managed connections whose providers were not told yet.
  func tryAgain() async throws(JobFailure) -> JobReport {
    let found: [ConnectionID]
    do throws(AccountError) {
      found = try await parts.bindery.run { (database) throws(AccountError) in
        try PartedCredential.managedConnections(in: database, limit: Self.atOnceMax)
      }
    } catch {
      guard case .database(let error) = error else { return JobReport() }
      throw .database(error)
    }
    var told: Int64 = 0
    for id in found.map(\.text) where waits[id].map({ $0.until <= .now }) ?? true {
      let answer: UnwrapCall.Response
      do throws(RPCError) {
        answer = try await auth.call(UnwrapCall.self, .init(connectionID: id))
      } catch { continue }
      guard let key = DataKey(base64URL: answer.dataKey) else { continue }
      if await revoke(id, key: key) == .pending {
        let failures = (waits[id]?.failures ?? 0) + 1
        let seconds = min(
          Self.waitSeconds.lowerBound << Int64(min(failures, 8)), Self.waitSeconds.upperBound)
        waits[id] = (Instant.now.advanced(bySeconds: Int(seconds)), failures)
      } else {
        waits[id] = nil
        told += 1
      }
    }
    return JobReport(counts: [("pending", Int64(found.count) - told), ("told", told)])
  }

  private func tell(_ connection: String, _ key: HeldKey) async -> UpstreamRevocation {
    guard await takeLock(connection) else { return .pending }
    defer { parts.locks.release(connection) }
    do throws(DatabaseError) {
      guard let parted = try await parted(connection) else { return .unsupported }
      let outcome = await send(parted, key)
      if outcome == .pending { return .pending }
      _ = try await shredder.destroyParted(connection)
      parts.log.info(
        "grant_ended",
        [
          "connection": .idPrefix(connection), "provider": .service(parted.service),
          "outcome": outcome == .revoked ? "revoked" : "unsupported",
        ])
      await settle(connection, outcome)
      return outcome
    } catch {
      parts.log.warning("grant_not_ended", ["reason": .literal(error.label)])
      return .pending
    }
  }

  private func takeLock(_ connection: String) async -> Bool {
    let deadline = Instant.now.advanced(by: parts.lockPatience)
    while !parts.locks.take(connection) {
      guard Instant.now < deadline else { return false }
      await parts.pause(.milliseconds(50))
    }
    return true
  }

  /// A revoked connection whose provider is to be told.
  private struct Parted: Sendable {
    let owner: String
    let service: String
    let blob: TokenBlob?
    let connection: String
  }

  private func parted(_ connection: String) async throws(DatabaseError) -> Parted? {
    let facts = try await parts.bindery.run { (database) throws(DatabaseError) in
      try PartedCredential.facts(of: connection, in: database)
    }
    guard let facts else { return nil }
    let blob = try await parts.tokens.run { (database) throws(DatabaseError) in
      try TokenStore(database).blob(of: connection)
    }
    return Parted(owner: facts.owner, service: facts.service, blob: blob, connection: connection)
  }

  /// Sends what the provider wants to hear.
  private func send(_ parted: Parted, _ key: HeldKey) async -> UpstreamRevocation {
    // Only this revoker destroys the tokens of such a connection: it was told before.
    guard let blob = parted.blob else { return .revoked }
    let opened = OAuthGrant.open(
      blob, connection: parted.connection, owner: parted.owner, key: key)
    guard let grant = opened else { return .unsupported }
    let provider = catalogue.value[parted.service]
    let url = grant.revocationURL.flatMap { WebURL($0) }
    let form = provider?.oauth?.revocation ?? .rfc7009
    let requests = Revocation.requests(
      accessToken: grant.accessToken, refreshToken: grant.refreshToken,
      client: parts.identity(of: grant, service: parted.service), url: url, form: form)
    guard let url, !requests.isEmpty else { return .unsupported }
    let policy = parts.gates.policy(of: parted.service, for: url)
    var outcome = UpstreamRevocation.revoked
    for request in requests {
      let answer: ClientResponse
      do throws(ClientError) {
        answer = try await parts.fetch.fetch(
          request, policy: policy, deadline: .now.advanced(bySeconds: 10),
          bodyBytesMax: 64 * 1024)
      } catch { return .pending }
      // A client that is not believed today may be believed tomorrow.
      if answer.status == 401 || answer.status == 403 { return .pending }
      switch Revocation.outcome(of: answer, form: form) {
      case .done: continue
      case .retry: return .pending
      case .impossible: outcome = .unsupported
      }
    }
    return outcome
  }

  /// Has auth forget the wraps that were kept; a lost call is made up for by the next try.
  private func settle(_ connection: String, _ outcome: UpstreamRevocation) async {
    do throws(RPCError) {
      _ = try await auth.call(
        RevocationSettledCall.self, .init(connectionID: connection, outcome: outcome))
    } catch { parts.log.warning("settlement_not_told", ["connection": .idPrefix(connection)]) }
  }
}

extension Job {
  /// Tells providers about managed connections that were revoked while they did not listen.
  static func upstreamRevocations(_ revoker: UpstreamRevoker) -> Job {
    Job(name: .upstreamRevocations, intervalSeconds: 15) { (_) throws(JobFailure) in
      try await revoker.tryAgain()
    }
  }
}
