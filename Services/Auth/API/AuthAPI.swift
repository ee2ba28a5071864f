// Answers every request of the service: preflight, route, caller, handler, and the fields that all
// answers carry. Refusals are values; each becomes {error, message} here and nowhere else.

import Accounts
import Clocks
import Configuration
import Database
import HTTPCodec
import HTTPServer
import JOSE
import Logging
import Metrics
import OAuth
import Providers

/// The whole API.
struct AuthAPI: RequestHandler {
  private let origins: OriginPolicy
  private let authentication: Authentication
  private let signIn: SignIn
  private let clerkSession: ClerkSession
  private let passwordReset: PasswordReset
  private let connect: ConnectByAPIKey
  private let oauth: OAuthRoutes
  private let connections: ConnectionRoutes
  private let disconnect: DisconnectRoute
  private let credentials: CredentialRoutes
  private let authorizationServer: AuthorizationServerRoutes
  private let mode: ModeRoute
  private let programKeys: KeyRoutes
  private let spaces: SpaceRoutes
  private let admittance: Admittance
  private let account: AccountRoutes
  private let me: MeRoute
  private let billing: BillingRoutes
  private let support: SupportRoutes
  private let reports: ViolationReports
  private let catalogue: CurrentCatalogue
  private let keys: KeyAgent
  private let clients: ClientAddress
  private let openAPI: [UInt8]
  private let isHTTPS: Bool
  private let log: Log
  private let requests: Family<Counter, StatusClass>

  /// What the API is made of.
  struct Parts {
    let settings: AuthSettings
    let accounts: SQLiteAccounts
    let tokens: DatabaseThread
    let signingKeys: CurrentSigningKeys
    let keys: KeyAgent
    let epochs: RevocationEpochs
    let catalogue: CurrentCatalogue
    let check: any APIKeyCheck
    let fetch: any Fetching
    let shredder: any TokenShredder
    let revoker: any UpstreamRevoker
    /// Runs work that no answer waits for.
    let spawn: @Sendable (@escaping @Sendable () async -> Void) -> Void
    let log: Log
    let requests: Family<Counter, StatusClass>
    let mails: any AccountMails
    /// Nil when billing is off.
    let billing: (any Calling)?
  }

  init(_ parts: Parts) {
    let settings = parts.settings
    let publicURL = settings.common.publicURL
    let named = NamedNetworks(settings.namedNetworks)
    let urls = SecretURLs(origin: publicURL.origin)
    origins = OriginPolicy(admin: settings.common.adminURLs, own: publicURL)
    authentication = Authentication(
      sessions: parts.accounts, programs: parts.accounts, keys: parts.signingKeys,
      issuer: publicURL.origin, cookie: .session(publicURL: publicURL), origins: origins,
      clerk: settings.clerk.map { ClerkSignIn($0, parts) })
    let passwords = PasswordChecker()
    signIn = SignIn(
      users: parts.accounts, sessions: parts.accounts, authentication: authentication,
      passwords: passwords, isOn: settings.localAccounts,
      usersMax: settings.usersMax.map { Int64($0) }, mails: parts.mails)
    clerkSession = ClerkSession(sessions: parts.accounts, authentication: authentication)
    passwordReset = PasswordReset(
      users: parts.accounts,
      tokens: ResetTokens(keys: parts.signingKeys, issuer: publicURL.origin),
      passwords: passwords, mails: parts.mails, origins: origins, isOn: settings.localAccounts,
      spawn: parts.spawn)
    connect = ConnectByAPIKey(
      catalogue: parts.catalogue, connections: parts.accounts, tokens: parts.tokens,
      keys: parts.keys, check: parts.check, urls: urls, named: named)
    let proof = CredentialProof(connections: parts.accounts, keys: parts.keys)
    let farewell = Farewell(
      partings: parts.accounts, keys: parts.keys, revoker: parts.revoker,
      shredder: parts.shredder, spawn: parts.spawn)
    oauth = OAuthRoutes(parts, urls: urls, farewell: farewell)
    connections = ConnectionRoutes(
      connections: parts.accounts, spaces: parts.accounts, tokens: parts.tokens,
      epochs: parts.epochs, named: named)
    programKeys = KeyRoutes(keys: parts.accounts, epochs: parts.epochs)
    spaces = SpaceRoutes(spaces: parts.accounts, epochs: parts.epochs)
    admittance = Admittance(spaces: parts.accounts)
    disconnect = DisconnectRoute(
      connections: parts.accounts, epochs: parts.epochs, proof: proof, farewell: farewell)
    credentials = CredentialRoutes(
      connections: parts.accounts, grants: parts.accounts, epochs: parts.epochs, keys: parts.keys,
      proof: proof, urls: urls, named: named)
    mode = ModeRoute(
      connections: parts.accounts, routes: connections, epochs: parts.epochs, keys: parts.keys,
      proof: proof)
    authorizationServer = AuthorizationServerRoutes(
      parts, signIn: signIn, authentication: authentication, connect: connect,
      authorize: oauth.authorize, farewell: farewell)
    account = AccountRoutes(
      accounts: parts.accounts, tokens: parts.tokens, epochs: parts.epochs, farewell: farewell,
      clerk: settings.clerk.flatMap { clerk in
        clerk.secretKey.map { ClerkAPI(url: clerk.apiURL, key: $0, fetching: parts.fetch) }
      }, billing: parts.billing, cookie: authentication.cookie, log: parts.log)
    me = MeRoute(plans: parts.accounts, connections: connections, epochs: parts.epochs)
    billing = BillingRoutes(
      plans: parts.accounts, billing: parts.billing, epochs: parts.epochs,
      dashboard: "\(settings.common.adminURLs[0].origin)/dashboard")
    support = SupportRoutes(
      desk: settings.zoho.map { ZohoDesk($0, fetching: parts.fetch, log: parts.log) },
      interest: parts.accounts, authentication: authentication,
      comingSoon: { [catalogue = parts.catalogue, clients = settings.oauthClients] service in
        catalogue.value[service].map { $0.isComing(given: clients[service]) } ?? false
      })
    reports = ViolationReports(
      origins: settings.common.adminURLs.map(\.origin) + [publicURL.origin], log: parts.log)
    catalogue = parts.catalogue
    keys = parts.keys
    clients = ClientAddress(trusted: settings.trustedProxies)
    openAPI =
      OpenAPIDocument.make(origin: publicURL.origin, cookie: authentication.cookie.name).bytes
    isHTTPS = publicURL.scheme == .https
    log = parts.log
    requests = parts.requests
  }

  func bodyBytesMax(of method: Method, path: String, standard: Int) -> Int {
    guard case .route(.supportTicket, _) = Route.match(method, path) else { return standard }
    return SupportMessage.formBytesMax
  }

  func respond(to request: Request) async -> Response {
    let start = Instant.now
    let request = clients.resolve(request)
    var response: Response
    var served: Route?
    if let path = AuthorizationServerRoutes.Path(request.path) {
      response = await authorizationServer.respond(path, request, now: .now)
      complete(&response)
      note(request, path.label, response, start)
      return response
    }
    if request.method == .options {
      response = origins.preflight(request)
    } else {
      do throws(Refusal) {
        let (route, parameters) = try await self.route(request)
        served = route
        response = try await answer(request, route, parameters, now: .now)
      } catch { response = refuse(error) }
      response.fields += origins.fields(for: request)
    }
    complete(&response)
    note(request, served?.label ?? "none", response, start)
    return response
  }

  /// Adds the fields that all answers have, unless they say otherwise, and counts the answer.
  private func complete(_ response: inout Response) {
    for field in commonFields + [(name: "cache-control", value: "no-store")]
    where !response.fields.contains(where: { $0.name == field.name }) {
      response.fields.append(field)
    }
    requests[StatusClass(status: response.status)].add()
  }

  func refusalFields(for request: Request) -> [(name: String, value: String)] {
    origins.fields(for: request) + commonFields + [("cache-control", "no-store")]
  }

  /// An unknown route is known as unknown only to those who signed in.
  private func route(_ request: Request) async throws(Refusal) -> (Route, [String]) {
    switch Route.match(request.method, request.path) {
    case .route(let route, let parameters): return (route, parameters)
    case .otherMethods(let allowed): throw .methodUnknown(allowed: allowed)
    case .none:
      guard request.path.utf8.starts(with: "/api/".utf8) else { throw .routeUnknown }
      guard try await authentication.caller(of: request, now: .now) != nil else {
        throw .unauthenticated
      }
      throw .routeUnknown
    }
  }

  private func answer(
    _ request: Request, _ route: Route, _ parameters: [String], now: UnixTime
  ) async throws(Refusal) -> Response {
    switch route {
    case .register: return try await signIn.register(request, now: now)
    case .login: return try await signIn.login(request, now: now)
    case .clerkSession: return try await clerkSession.respond(request, now: now)
    case .token: return try await signIn.refresh(request, now: now)
    case .forgotPassword: return try passwordReset.forgot(request, now: now)
    case .resetPassword: return try await passwordReset.reset(request, now: now)
    case .supportNonce: return try support.nonce(request)
    case .supportTicket: return try await support.ticket(request)
    case .interest: return try await support.interest(request, now: now)
    case .violationReport: return try reports.take(request)
    case .services: return services()
    case .publicKeys: return publicKeys()
    case .openAPI: return .json(openAPI)
    case .clientDocument: return oauth.document.response
    case .callback: return try await oauth.callback.respond(request, now: now)
    default: break
    }
    guard let caller = try await authentication.caller(of: request, now: now) else {
      throw .unauthenticated
    }
    try await admittance.admit(caller, to: route, parameters)
    switch route {
    case .logout: return try await signIn.logout(caller, now: now)
    case .me: return try await me.respond(caller, now: now)
    case .connectWithAPIKey:
      return try await connect.respond(request, service: parameters[0], caller: caller, now: now)
    case .authorize:
      return try await oauth.authorize.respond(
        request, service: parameters[0], caller: caller, now: now)
    case .claim: return try await oauth.claim.respond(request, caller: caller, now: now)
    case .listConnections: return try await connections.list(caller)
    case .readConnection: return try await connections.read(parameters[0], caller)
    case .changeConnection:
      return try await connections.change(request, parameters[0], caller, now: now)
    case .changeMode: return try await mode.respond(request, parameters[0], caller, now: now)
    case .revokeConnection:
      return try await disconnect.respond(request, parameters[0], caller, now: now)
    case .listCredentials: return try await credentials.list(parameters[0], caller)
    case .addCredential:
      return try await credentials.add(request, parameters[0], caller, now: now)
    case .revokeCredential:
      return try await credentials.revoke(parameters[0], parameters[1], caller, now: now)
    case .activity: return try await connections.activity(parameters[0], caller)
    case .listKeys: return try await programKeys.list(caller)
    case .addKey: return try await programKeys.add(request, caller, now: now)
    case .revokeKey, .revokeNamedKey:
      return try await programKeys.revoke(request, parameters.first, caller, now: now)
    case .listSpaces: return try await spaces.list(caller)
    case .addSpace: return try await spaces.add(request, caller, now: now)
    case .readSpace: return try await spaces.read(parameters[0], caller)
    case .changeSpace: return try await spaces.change(request, parameters[0], caller, now: now)
    case .removeSpace: return try await spaces.remove(parameters[0], caller, now: now)
    case .listSpaceKeys: return try await spaces.listKeys(parameters[0], caller)
    case .addSpaceKey: return try await spaces.addKey(request, parameters[0], caller, now: now)
    case .revokeSpaceKey, .revokeNamedSpaceKey:
      return try await spaces.revokeKey(
        request, parameters[0], parameters.dropFirst().first, caller, now: now)
    case .checkout: return try await billing.checkout(request, caller)
    case .verifyCheckout: return try await billing.verify(request, caller)
    case .updateQuantity: return try await billing.changeQuantity(request, caller)
    case .portal: return try await billing.portal(caller)
    case .exportAccount: return try await account.export(caller, now: now)
    case .deleteAccount: return try await account.delete(caller, now: now)
    case .register, .login, .clerkSession, .token, .forgotPassword, .resetPassword,
      .supportNonce, .supportTicket, .interest, .violationReport, .services, .publicKeys,
      .clientDocument, .callback, .openAPI:
      preconditionFailure("answered above")
    }
  }

  // MARK: Small routes

  private func services() -> Response {
    let all = catalogue.value.providers.map { provider -> JSONText in
      [
        "id": .string(provider.id), "name": .string(provider.name),
        "supports_oauth": .boolean(provider.oauth != nil),
        "supports_api_key": .boolean(provider.apiKey != nil),
        "api_key_instructions": .optional(provider.apiKey?.instructions),
        "managed_supported": .boolean(keys.isManagedOn),
      ]
    }
    return .json(JSONText.array(all).bytes)
  }

  private func publicKeys() -> Response {
    Response(
      status: 200,
      fields: [
        (name: "content-type", value: "application/jwk-set+json"),
        (name: "cache-control", value: "public, max-age=300"),
      ], body: authentication.keys.value.publicSet)
  }

  // MARK: What all answers carry

  private func refuse(_ refusal: Refusal) -> Response {
    let wire = refusal.wire
    var members: [(name: String, value: JSONText)] = [
      ("error", .string(wire.code)), ("message", .string(wire.message)),
    ]
    if case .planForbids(let reason) = refusal {
      members.append(("reason", .string(reason.rawValue)))
    }
    var response = Response.json(status: wire.status, JSONText.object(members).bytes)
    if let seconds = refusal.retryAfterSeconds {
      response.fields.append(("retry-after", String(seconds)))
    }
    switch refusal {
    case .unauthenticated, .bearerNeeded: response.fields.append(("www-authenticate", "Bearer"))
    case .methodUnknown(let allowed): response.fields.append(("allow", allowed))
    default: break
    }
    return response
  }

  private var commonFields: [(name: String, value: String)] {
    var fields: [(name: String, value: String)] = [
      ("x-content-type-options", "nosniff"), ("x-frame-options", "DENY"),
      ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
      ("referrer-policy", "no-referrer"),
    ]
    if isHTTPS {
      fields.append(("strict-transport-security", "max-age=31536000; includeSubDomains"))
    }
    return fields
  }

  private func note(
    _ request: Request, _ label: StaticString, _ response: Response, _ start: Instant
  ) {
    let took = LogValue.duration(start.duration(to: .now))
    let name = LogValue.literal(label)
    let client = request.client.map { LogValue.text(.network(of: $0)) } ?? "none"
    let status = LogValue.count(response.status)
    let fields: KeyValuePairs<StaticString, LogValue> = [
      "route": name, "status": status, "duration": took, "client": client,
    ]
    switch response.status {
    case 500: log.error("request_failed", fields)
    case 501...: log.warning("request_not_served", fields)
    default: log.info("request", fields)
    }
  }
}
