// Further credentials of a connection: list, add, revoke. A zero-knowledge connection needs a
// working credential to make another, because nothing that is stored opens its data key; a managed
// one is unwrapped with the master key.

import Accounts
import Clocks
import HTTPServer

/// The routes under /api/connections/{id}/credentials.
struct CredentialRoutes: Sendable {
  let connections: any ConnectionStore
  let grants: any GrantStore
  let epochs: RevocationEpochs
  let keys: KeyAgent
  let proof: CredentialProof
  let urls: SecretURLs
  let named: NamedNetworks

  func list(_ id: String, _ caller: Caller) async throws(Refusal) -> Response {
    guard let id = ConnectionID(id) else { throw .notFound }
    do throws(AccountError) {
      let secrets = try await connections.credentials(of: id, user: caller.user.id)
      let given = try await grants.grants(of: id, user: caller.user.id, now: .now)
      let all = secrets.map { JSONText($0) } + given.map { JSONText($0) }
      return .json(JSONText.object([("credentials", .array(all))]).bytes)
    } catch { throw Refusal(error) }
  }

  func add(
    _ request: Request, _ id: String, _ caller: Caller, now: UnixTime
  ) async throws(Refusal) -> Response {
    guard let id = ConnectionID(id) else { throw .notFound }
    let body = try RequestBody.read(request, as: CredentialBody.self)
    let record = CredentialRecord(
      id: .random(), connectionID: id, name: try body.admittedName(),
      networks: try NetworksField.admit(body.networks, named), tools: try body.admittedTools(),
      createdAt: now,
      expiresAt: try body.admittedExpiresIn().map { now.advanced(bySeconds: $0) })
    let user = caller.user.id
    let connection: ConnectionRecord
    do throws(AccountError) {
      connection = try await connections.connection(id, of: user)
    } catch { throw Refusal(error) }
    let source = try await source(for: connection, presented: body.credential, now: now)
    let made = try keys.makeFurtherKeys(
      from: source, connection: id, owner: user, credential: record.id)
    do throws(AccountError) {
      try await connections.addCredential(
        NewCredential(record: record, lookup: made.lookup, wrap: made.wrap), user: user)
    } catch { throw Refusal(error) }
    return .json(
      status: 201,
      JSONText.object([
        ("credential", JSONText(record)),
        ("secret_url", .string(urls.url(made.shown, service: connection.service))),
        ("api_key", .string(made.shown.apiKey)),
      ]).bytes)
  }

  private func source(
    for connection: ConnectionRecord, presented text: String?, now: UnixTime
  ) async throws(Refusal) -> KeyAgent.Source {
    let user = connection.userID
    do throws(AccountError) {
      if let wrap = try await connections.managedWrap(connection.id, of: user) {
        return .managed(wrap)
      }
    } catch { throw Refusal(error) }
    guard let text else { throw .bodyInvalid(.credential) }
    return try await proof.source(text, of: connection.id, user: user, now: now)
  }

  func revoke(
    _ id: String, _ credential: String, _ caller: Caller, now: UnixTime
  ) async throws(Refusal) -> Response {
    guard let id = ConnectionID(id), let credential = CredentialID(credential) else {
      throw .notFound
    }
    let user = caller.user.id
    do throws(AccountError) {
      // What a program was granted stands in the same list and ends in the same way.
      do throws(AccountError) {
        try await connections.revokeCredential(credential, of: id, user: user, now: now)
      } catch {
        guard error == .notFound, let grant = GrantID(credential.text) else { throw error }
        try await grants.revokeGrant(grant, of: id, user: user, now: now)
      }
    } catch { throw Refusal(error) }
    epochs.bump(id)
    return .json(JSONText.object([("success", true)]).bytes)
  }
}
