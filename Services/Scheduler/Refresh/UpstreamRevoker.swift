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
  private static let pageMax = 200
  /// Of one service in one round: who does not listen holds up nobody else.
  private static let deafMax = 3
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
    var (told, pending) = (Int64(0), Int64(0))
    var deaf: [String: Int] = [:]
    var place = PartedConnection.Place.start
    while true {
      let page = try await parted(after: place)
      guard let last = page.last else { break }
      place = last.place
      for item in page {
        let isDue = waits[item.connection.text].map { $0.until <= .now } ?? true
        guard isDue, deaf[item.service, default: 0] < Self.deafMax else {
          pending += 1
          continue
        }
        let wasTold = await tryAgain(item.connection.text)
        if wasTold == false { deaf[item.service, default: 0] += 1 }
        if wasTold == true { told += 1 } else { pending += 1 }
      }
    }
    return JobReport(counts: [("pending", pending), ("told", told)])
  }

  private func parted(
    after place: PartedConnection.Place
  ) async throws(JobFailure) -> [PartedConnection] {
    do throws(AccountError) {
      return try await parts.bindery.run { (database) throws(AccountError) in
        try PartedConnection.after(place, limit: Self.pageMax, in: database)
      }
    } catch {
      guard case .database(let error) = error else { return [] }
      throw .database(error)
    }
  }

  /// Whether the provider was told; nil when auth gives no key to find that out.
  private func tryAgain(_ connection: String) async -> Bool? {
    let answer: UnwrapCall.Response
    do throws(RPCError) {
      answer = try await auth.call(UnwrapCall.self, .init(connectionID: connection))
    } catch { return nil }
    guard let key = DataKey(base64URL: answer.dataKey) else { return nil }
    guard await revoke(connection, key: key) == .pending else {
      waits[connection] = nil
      return true
    }
    let failures = (waits[connection]?.failures ?? 0) + 1
    let seconds = min(
      Self.waitSeconds.lowerBound << Int64(min(failures, 8)), Self.waitSeconds.upperBound)
    waits[connection] = (Instant.now.advanced(bySeconds: Int(seconds)), failures)
    return false
  }

  private func tell(_ connection: String, _ key: HeldKey) async -> UpstreamRevocation {
    guard await takeLock(connection) else { return .pending }
    defer { parts.locks.release(connection) }
    do throws(DatabaseError) {
      guard let parted = try await parted(connection) else {
        // Somebody else may have told the provider since the caller looked.
        return try await wasTold(connection) ? .revoked : .unsupported
      }
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

  private func wasTold(_ connection: String) async throws(DatabaseError) -> Bool {
    try await parts.bindery.run { (database) throws(DatabaseError) in
      try PartedCredential.state(of: connection, in: database) == .revoked
    }
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
