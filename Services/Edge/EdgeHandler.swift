// The life of one request at the edge, phase by phase: admit, route, resolve, unseal, forward, relay,
// record. One handler for each loop; what loops share is in EdgeWorld. Every way out is here.

import Accounts
import Bytes
import Clocks
import EventLoop
import HTTPClient
import HTTPCodec
import HTTPServer
import Logging
import Posix
import Transport
import Vault

/// Serves the requests of one loop.
final class EdgeHandler: ExchangeHandler {
  let loop: EventLoop
  let world: EdgeWorld
  // Three of the world's parts, once more: a constant of one's own is reached without counting.
  let admission: Admission
  let guardian: Guard
  let metrics: EdgeMetrics
  let pool: UpstreamPool
  let stores: EdgeStores
  let resolver: CredentialResolver
  private let accessTokens: AccessTokenCheck
  let engine = SealEngine()
  let record = LoopRecord()
  let streams = StreamRegistry()
  let unwraps = Unwraps()
  /// Revoked connections whose providers are being told.
  var partings: Set<String> = []
  /// The catalogue as it is now; see `Edge.reload`.
  var services: UpstreamTable
  private let authLane: UpstreamLane
  private let billingLane: UpstreamLane

  init(loop: EventLoop, world: EdgeWorld) {
    self.loop = loop
    self.world = world
    admission = world.admission
    guardian = world.guardian
    metrics = world.metrics
    pool = UpstreamPool(loop: loop, resolver: world.names, tls: world.clientTLS)
    stores = EdgeStores(
      directory: world.dataDirectory, epochs: world.epochs, named: world.namedNetworks,
      hasPlans: world.hasPlans)
    resolver = CredentialResolver(stores: stores)
    accessTokens = AccessTokenCheck(stores: stores, issuer: world.issuer)
    services = world.firstServices
    authLane = UpstreamLane(world.authOrigin)
    billingLane = UpstreamLane(world.billingOrigin)
    startHousekeeping()
  }

  func begin(_ connection: ServerConnection) -> any Exchange {
    let head = connection.head
    let bytes = connection.input.readable
    let client = admission.client(of: connection, head, in: bytes)
    do throws(Refusal) {
      if let seconds = guardian.secondsBlocked(client, now: loop.now) {
        throw .rateLimited(retryAfterSeconds: seconds)
      }
      if head.wantsUpgrade { throw .malformed(status: 501) }
      try admission.check(head, in: bytes)
    } catch {
      return refusal(error, form: .header, service: nil, on: connection)
    }
    switch Route(path: head.rawPath(in: bytes)) {
    case .mcp(let service, let credential, let part):
      let call = MCPCall(
        head, in: bytes, service: service, credential: credential, part: part, client: client,
        startedAt: loop.now)
      return begin(call, connection)
    case .auth:
      return OwnExchange(connection, over: authLane, client: client, handler: self)
    case .billing:
      return OwnExchange(connection, over: billingLane, client: client, handler: self)
    case .home: return TaskExchange { await HomePage.serve(connection) }
    case .unknown: return refusal(.pathUnknown, form: .header, service: nil, on: connection)
    }
  }

  func refuse(_ connection: ServerConnection, status: Int) async {
    connection.input.clear(wiping: true)
    connection.body = .none
    writeAnswer(
      .malformed(status: status), form: .header, service: nil, id: nil, persists: false,
      to: connection)
    metrics.refused(.malformed(status: status))
    _ = await connection.flush()
  }

  // MARK: MCP

  private func begin(_ call: MCPCall, _ connection: ServerConnection) -> any Exchange {
    var service: UpstreamService?
    do throws(Refusal) {
      let bytes = connection.input.readable
      let found = try findService(call, connection.head, in: bytes)
      service = found
      let token = AccessTokenCheck.token(call, connection.head, in: bytes)
      guard let secret = try shownCredential(call, token, connection.head, in: bytes) else {
        return try begin(call, byKeyAt: found, connection)
      }
      let resolved = try resolve(secret, token, call, found)
      return try proceed(resolved, secret, call, connection)
    } catch {
      return refusal(error, form: call.form, service: service, on: connection)
    }
  }

  /// What follows once it is known what the credential opens.
  @inline(__always)
  func proceed(
    _ resolved: ResolvedCredential, _ secret: consuming CredentialSecret, _ call: MCPCall,
    _ connection: ServerConnection
  ) throws(Refusal) -> any Exchange {
    connection.trust()
    try permit(resolved, call)
    if let due = resolved.dueAt, due <= loop.now {
      guard resolved.secondsLeft(at: .now) > Self.secondsToSpare else {
        return RenewFirst(call, resolved, secret: secret, on: connection, handler: self)
      }
      renewBeside(resolved, key: try unwrap(resolved, secret).base64URL)
    }
    return try prepare(resolved, secret, call, connection)
  }

  /// With more left, a request goes on with the old token while it is renewed.
  private static let secondsToSpare: Int64 = 30

  private func refusal(
    _ refusal: Refusal, form: CredentialForm, service: UpstreamService?,
    on connection: ServerConnection
  ) -> any Exchange {
    TaskExchange { await self.answer(refusal, form: form, service: service, to: connection) }
  }

  private func findService(
    _ call: MCPCall, _ head: RequestHead, in bytes: UnsafeRawBufferPointer
  ) throws(Refusal) -> UpstreamService {
    switch head.method {
    case .get, .post, .delete: break
    default: throw .methodNotAllowed
    }
    let path = head.rawPath(in: bytes)
    guard let service = services.find(.init(rebasing: path[call.service])) else {
      throw .serviceUnknown
    }
    let legacy = service.provider.transport == .legacySSE
    switch call.part {
    case .endpoint: if legacy && head.method != .get { throw .methodNotAllowed }
    case .legacyStream:
      guard legacy else { throw .wrongTransport }
      guard head.method == .get else { throw .methodNotAllowed }
    case .legacyMessages:
      guard legacy else { throw .wrongTransport }
      guard head.method == .post else { throw .methodNotAllowed }
    }
    return service
  }

  /// The connection's credential that the client shows, in the path or in Authorization; nil when it
  /// shows a program's key.
  private func shownCredential(
    _ call: MCPCall, _ token: UnsafeRawBufferPointer?, _ head: RequestHead,
    in bytes: UnsafeRawBufferPointer
  ) throws(Refusal) -> CredentialSecret? {
    if let token { return CredentialSecret(accessToken: token, hashing: engine.hashing) }
    let path = head.rawPath(in: bytes)
    if let range = call.credential {
      let text = UnsafeRawBufferPointer(rebasing: path[range])
      guard let secret = CredentialSecret(text: text, hashing: engine.hashing) else {
        try refuseCredential(call, text)
      }
      return secret
    }
    guard let value = head.value(.authorization, in: bytes) else { throw .credentialMissing }
    guard value.count > 7, equalsIgnoringCase(.init(rebasing: value[..<7]), Self.bearer) else {
      try refuseCredential(call, value)
    }
    let key = UnsafeRawBufferPointer(rebasing: value[7...])
    guard
      let secret = CredentialSecret(
        apiKey: key, of: world.keyEnvironment, hashing: engine.hashing)
    else {
      if ProgramKeyKind(of: key) != nil { return nil }
      try refuseCredential(call, key)
    }
    return secret
  }

  private static let bearer = Array("bearer ".utf8)

  private func resolve(
    _ secret: borrowing CredentialSecret, _ token: UnsafeRawBufferPointer?, _ call: MCPCall,
    _ service: UpstreamService
  ) throws(Refusal) -> ResolvedCredential {
    let lookup = secret.lookup
    do throws(Refusal) {
      let found = try resolver.find(
        lookup, token == nil ? .secret : .accessToken, service: service, now: loop.now
      ) { () throws(Refusal) in
        if let token { try accessTokens.admit(token, for: service) }
      }
      if let end = found.credential.expiresAt, end <= .now { throw .credentialRefused }
      return found
    } catch {
      if error == .credentialRefused {
        lookup.withBytes { noteBad(call, $0) }
        if token == nil { endParted(lookup, secret) }
      }
      throw error
    }
  }

  func refuseCredential(
    _ call: MCPCall, _ text: UnsafeRawBufferPointer
  ) throws(Refusal) -> Never {
    engine.hashing.sha256(text).withBytes { noteBad(call, $0) }
    throw .credentialRefused
  }

  private func noteBad(_ call: MCPCall, _ digest: UnsafeRawBufferPointer) {
    let mark = digest.loadUnaligned(as: UInt64.self)
    guard let seconds = guardian.noteBad(call.client, credential: mark, now: loop.now),
      let client = call.client
    else { return }
    world.block(client, seconds: seconds)
  }

  /// Status, networks, limits.
  private func permit(_ resolved: ResolvedCredential, _ call: MCPCall) throws(Refusal) {
    switch resolved.credential.status {
    case .active: break
    case .suspended: throw .connectionSuspended
    case .error: throw .connectionInError
    case .revoked: throw .credentialRefused
    }
    if let end = resolved.credential.planEndsAt, end <= .now { throw .planEnded }
    if resolved.credential.needsReauth { throw .needsReauthorization }
    if resolved.credential.connectionNetworks != nil
      || resolved.credential.credentialNetworks != nil
    {
      guard let client = call.client, resolved.credential.admits(client) else {
        throw .networkForbidden
      }
    }
    if let seconds = guardian.secondsOverHourlyLimit(
      resolved.connectionDigest, now: .now)
    {
      throw .rateLimited(retryAfterSeconds: seconds)
    }
  }
}
