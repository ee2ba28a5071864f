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
  let connections: any ConnectionStore & PlanStore
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
    let made = try await connect(
      provider, rules, apiKey: body.apiKey,
      Choices(mode: mode, label: label, networks: networks, space: caller.space),
      of: caller.user.id, now: now)
    return .json(
      status: 201,
      JSONText.object([
        ("connection", JSONText(made.connection)),
        ("secret_url", .string(urls.url(made.shown, service: provider.id))),
        ("api_key", .string(made.shown.apiKey)),
      ]).bytes)
  }

  /// What the person chose beside the key.
  struct Choices {
    var mode: KeyStorageMode
    var label = ""
    var networks: NetworkPolicy?
    /// The space that it comes into.
    var space: SpaceID?
  }

  /// A fresh connection and its first credential.
  struct Made {
    let connection: ConnectionRecord
    let credential: CredentialID
    let shown: ShownCredential
  }

  /// Tries the key and makes the connection.
  func connect(
    _ provider: Provider, _ rules: APIKeyRules, apiKey: String, _ choices: Choices,
    of user: UserID, now: UnixTime
  ) async throws(Refusal) -> Made {
    guard choices.mode == .zeroKnowledge || keys.isManagedOn else { throw .managedModeOff }
    let key = APIKey(apiKey)
    guard let header = key.withBytes({ rules.headerValue(key: $0) }) else {
      throw .bodyInvalid(.apiKey)
    }
    do throws(AccountError) {
      try await connections.checkRoom(of: user, replacing: nil, now: now)
    } catch { throw Refusal(error) }
    try await check.check(provider, rules: rules, header: APIKeyHeader(header))

    let id = ConnectionID.random()
    let credential = CredentialID.random()
    let made = try keys.makeKeys(
      sealing: key.tokenSet(), connection: id, owner: user, credential: credential,
      managed: choices.mode == .managed)
    // Plans are counted at the time of writing: trying the key may have taken long.
    let madeAt = UnixTime.now
    try await tokens.insertFirst(made.blob, of: id, now: madeAt)
    let record = ConnectionRecord(
      id: id, userID: user, service: provider.id, label: choices.label, authType: .apiKey,
      keyStorageMode: choices.mode, networks: choices.networks, createdAt: madeAt)
    do throws(AccountError) {
      let written = try await connections.addConnection(
        record, serviceName: provider.name, managedWrap: made.managedWrap,
        credential: NewCredential(
          record: CredentialRecord(
            id: credential, connectionID: id, name: "First credential", createdAt: madeAt),
          lookup: made.lookup, wrap: made.wrap), into: choices.space)
      return Made(connection: written, credential: credential, shown: made.shown)
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
