// Sends a person to a provider: find its authorization server and our client there, draw a state and
// a verifier, keep what the callback needs sealed under the state, bind it to this browser with a
// cookie, and answer the address. Nothing is promised yet: whoever does not come back leaves a row
// that ends by itself.

import Accounts
import Bytes
import Clocks
import HTTPClient
import HTTPServer
import Logging
import OAuth
import Providers
import Vault

/// POST /api/connections/{service}/authorize
struct AuthorizeRoute: Sendable {
  let catalogue: CurrentCatalogue
  let connections: any ConnectionStore
  let authorizations: any AuthorizationStore
  let plans: any PlanStore
  let discovery: DiscoveryCache
  let clients: OAuthClients
  let keys: KeyAgent
  let cookie: CookieField
  let pages: DashboardPages
  let log: Log

  private struct Body: Decodable {
    var keyStorageMode: String?
    var replaces: String?
    var returnTo: String?

    private enum CodingKeys: String, CodingKey {
      case keyStorageMode = "key_storage_mode"
      case replaces = "replace_connection_id"
      case returnTo = "return_to"
    }
  }

  func respond(
    _ request: Request, service: String, caller: Caller, now: UnixTime
  ) async throws(Refusal) -> Response {
    guard let provider = catalogue.value[service] else { throw .serviceUnknown }
    guard let rules = provider.oauth else { throw .oauthNotSupported }
    let body = try RequestBody.readIfPresent(request, as: Body.self) ?? Body()
    guard let page = pages.admit(body.returnTo) else { throw .bodyInvalid(.returnTo) }
    let replaced = try await replaced(body.replaces, provider, caller)
    let mode = try mode(body.keyStorageMode, replaced)
    guard mode == .zeroKnowledge || keys.isManagedOn else { throw .managedModeOff }
    if replaced == nil { try await checkLimit(caller) }
    try await checkRoom(for: caller.user.id, replacing: replaced?.id, now: now)
    let begun = try await begin(
      provider, rules, mode: mode, replacing: replaced?.id, returnTo: page, of: caller.user.id,
      for: request, now: now)
    var response = Response.json(JSONText.object([("url", .string(begun.url))]).bytes)
    response.fields.append(begun.cookie)
    return response
  }

  /// Prepares the way to the provider: its address, and the cookie that binds the state to the
  /// browser of `request`.
  /// - Parameter page: The page of ours that the person comes back to.
  func begin(
    _ provider: Provider, _ rules: OAuthRules, mode: KeyStorageMode, replacing: ConnectionID?,
    returnTo page: String, of user: UserID, for request: Request, now: UnixTime
  ) async throws(Refusal) -> (url: String, cookie: (name: String, value: String)) {
    guard mode == .zeroKnowledge || keys.isManagedOn else { throw .managedModeOff }
    let found = try await find(provider)
    let client = try await clients.client(for: provider, at: found, now: now)
    let verifier = found.server.usesPKCE ? Base64URL.encode(Randomness.bytes(count: 64)) : nil
    let state = Ticket()
    // A browser with several connections under way keeps its cookie: each state is its own.
    let browser = cookie.value(in: request).flatMap { Ticket($0) } ?? Ticket()
    let key = AuthorizationKey(state: state.hash(for: .state), browser: browser.hash(for: .browser))
    let secrets = AuthorizationSecrets(found, client: client, verifier: verifier)
    guard
      let sealed = TicketBox.seal(
        secrets, under: state,
        at: .pendingAuthorization(state: key.state, owner: user.text))
    else { throw .failed }
    do throws(AccountError) {
      try await authorizations.addAuthorization(
        PendingAuthorization(
          userID: user, service: provider.id, keyStorageMode: mode, replaces: replacing,
          returnTo: page, sealed: sealed), key: key, now: now)
    } catch { throw Refusal(error) }
    let url = AuthorizationURL(
      service: found, rules: rules, clientID: client.identity.id,
      redirectURI: clients.document.redirectURI, state: state.makeText(), verifier: verifier)
    return (url.text, cookie.set(browser.makeText()))
  }

  private func find(_ provider: Provider) async throws(Refusal) -> DiscoveredService {
    do throws(DiscoveryFailure) { return try await discovery.find(provider) } catch {
      log.warning(
        "discovery_failed",
        [
          "provider": .service(provider.id), "rung": .text(.place(error.rung.rawValue)),
          "host": .text(.host(Origin(error.url).host)),
        ])
      throw .discoveryFailed(error.problem)
    }
  }

  /// The connection that is to be replaced: the caller's own, of the same service.
  private func replaced(
    _ text: String?, _ provider: Provider, _ caller: Caller
  ) async throws(Refusal) -> ConnectionRecord? {
    guard let text else { return nil }
    guard let id = ConnectionID(text) else { throw .notFound }
    let found: ConnectionRecord
    do throws(AccountError) {
      found = try await connections.connection(id, of: caller.user.id)
    } catch { throw Refusal(error) }
    guard found.service.utf8.elementsEqual(provider.id.utf8) else { throw .notFound }
    return found
  }

  /// What was asked for; else what the replaced connection has.
  private func mode(
    _ text: String?, _ replaced: ConnectionRecord?
  ) throws(Refusal) -> KeyStorageMode {
    guard let text else { return replaced?.keyStorageMode ?? .zeroKnowledge }
    guard let mode = KeyStorageMode(rawValue: text) else { throw .bodyInvalid(.keyStorageMode) }
    return mode
  }

  /// The same for what the plan allows.
  func checkRoom(
    for user: UserID, replacing: ConnectionID?, now: UnixTime
  ) async throws(Refusal) {
    do throws(AccountError) {
      try await plans.checkRoom(of: user, replacing: replacing, now: now)
    } catch { throw Refusal(error) }
  }

  /// Spares the person a way for nothing; what counts is the check when the connection is written.
  private func checkLimit(_ caller: Caller) async throws(Refusal) {
    do throws(AccountError) {
      let all = try await connections.connections(of: caller.user.id)
      guard all.count < AccountLimits.connectionsMax else { throw AccountError.tooMany }
    } catch { throw Refusal(error) }
  }
}
