// Connects a service with an API key: try the key at the service, seal it, write the blob, then the
// row with its first credential. A crash between the two leaves an orphan blob, which the sweep
// removes; never a row without its blob.

import Accounts
import Bytes
import Clocks
import Database
import HTTPServer
import Providers
import Vault

/// POST /api/connections/{service}/api-key
struct ConnectByAPIKey: Sendable {
  let catalogue: CurrentCatalogue
  let connections: any ConnectionStore
  let tokens: DatabaseThread
  let keys: KeyAgent
  let check: any APIKeyCheck
  let urls: SecretURLs
  let named: NamedNetworks

  func respond(
    _ request: Request, service: String, caller: Caller, now: UnixTime
  ) async throws(Refusal) -> Response {
    guard let provider = catalogue.value[service] else { throw .serviceUnknown }
    guard let rules = provider.apiKey else { throw .authNotSupported }
    let body = try RequestBody.read(request, as: ConnectBody.self)
    let mode = try body.mode()
    guard mode == .zeroKnowledge || keys.isManagedOn else { throw .managedModeOff }
    let label = try body.admittedLabel()
    let networks = try NetworksField.admit(body.networks, named)
    let key = APIKey(body.apiKey)
    guard let header = key.withBytes({ rules.headerValue(key: $0) }) else {
      throw .bodyInvalid(.apiKey)
    }
    try await check.check(provider, rules: rules, header: APIKeyHeader(header))

    let id = ConnectionID.random()
    let credential = CredentialID.random()
    let made = try keys.makeKeys(
      sealing: key.tokenSet(), connection: id, owner: caller.user.id, credential: credential,
      managed: mode == .managed)
    try await tokens.insertFirst(made.blob, of: id, now: now)
    let record = ConnectionRecord(
      id: id, userID: caller.user.id, service: provider.id, label: label, authType: .apiKey,
      keyStorageMode: mode, networks: networks, createdAt: now)
    do throws(AccountError) {
      let written = try await connections.addConnection(
        record, serviceName: provider.name, managedWrap: made.managedWrap,
        credential: NewCredential(
          record: CredentialRecord(
            id: credential, connectionID: id, name: "First credential", createdAt: now),
          lookup: made.lookup, wrap: made.wrap))
      return .json(
        status: 201,
        JSONText.object([
          ("connection", JSONText(written)),
          ("secret_url", .string(urls.url(made.shown, service: provider.id))),
          ("api_key", .string(made.shown.apiKey)),
        ]).bytes)
    } catch { throw Refusal(error) }
  }
}

/// An API key as the person gave it.
private final class APIKey: Sendable {
  private let secret: Secret

  init(_ text: String) {
    var bytes = Array(text.utf8)
    secret = Secret(wiping: &bytes)
  }

  func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    secret.withBytes { body($0) }
  }

  /// What is sealed.
  func tokenSet() -> Secret {
    var writer = TokenSetWriter()
    let added = secret.withBytes { writer.add(.apiKey, $0) }
    precondition(added, "the rules of the header bound the key's length")
    return writer.finish()
  }
}

/// The addresses under which credentials are shown.
struct SecretURLs: Sendable {
  let origin: String

  func url(_ credential: ShownCredential, service: String) -> String {
    "\(origin)/mcp/\(service)/\(credential.text)"
  }
}
