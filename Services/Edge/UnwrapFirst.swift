// A request with a program's key whose data key is not in memory: auth is asked, once for all requests
// of the loop that wait for the same, and then it goes on like any other. The edge shows auth the key
// itself: whoever had only what is stored could ask for nothing.

import Accounts
import Bytes
import Clocks
import EventLoop
import HTTPCodec
import HTTPServer
import RPC
import Vault

extension EdgeHandler {
  /// Begins a request that shows a program's key in Authorization.
  func begin(
    _ call: MCPCall, byKeyAt service: UpstreamService, _ connection: ServerConnection
  ) throws(Refusal) -> any Exchange {
    let bytes = connection.input.readable
    guard let value = connection.head.value(.authorization, in: bytes) else {
      throw .credentialMissing
    }
    let text = UnsafeRawBufferPointer(rebasing: value[7...])
    guard let key = PresentedKey(text, hashing: engine.hashing),
      let secret = CredentialSecret(key: text, of: key.kind, hashing: engine.hashing)
    else { try refuseCredential(call, text) }
    var named: ConnectionID?
    if let field = connection.head.value(.binderyConnection, in: bytes) {
      guard let id = ConnectionID(String(decoding: field, as: UTF8.self)) else {
        throw .connectionAbsent
      }
      named = id
    }
    let use = KeyUse(key: key, service: ObjectIdentifier(service), named: named)
    do throws(Refusal) {
      switch try resolver.find(use, service: service, now: loop.now) {
      case .resolved(let resolved): return try proceed(resolved, secret, call, connection)
      case .sealed(let reached):
        return UnwrapFirst(
          call, use, reached, at: service, text: String(decoding: text, as: UTF8.self),
          secret: secret, on: connection, handler: self)
      }
    } catch {
      if error == .credentialRefused { try refuseCredential(call, text) }
      throw error
    }
  }

  /// Has auth open the data key that `use` needs and remembers it under the key that was shown.
  /// - Throws: `credentialRefused` when auth says that the key does not reach the connection,
  ///   `dependencyDown`.
  func unwrap(
    _ reached: ReachedConnection, for use: KeyUse, at service: UpstreamService, text: String,
    _ secret: borrowing CredentialSecret
  ) async throws(Refusal) -> ResolvedCredential {
    if unwraps.isUnderWay(use) {
      if let refusal = await unwraps.wait(for: use) { throw refusal }
      switch try resolver.find(use, service: service, now: loop.now) {
      case .resolved(let resolved): return resolved
      case .sealed: throw .dependencyDown
      }
    }
    unwraps.begin(use)
    do throws(Refusal) {
      let key = try await dataKey(of: reached.id, text: text)
      let wrap = engine.wrap(
        key, under: secret,
        context: .credentialWrap(
          credential: reached.key.text, connection: reached.id.text, owner: reached.owner.text))
      let now = Instant.now
      let resolved = try resolver.keep(
        use, service: service, connection: reached.id, wrap: wrap,
        unwrapAgainAt: now.advanced(bySeconds: CredentialResolver.unwrappedSeconds), now: now)
      unwraps.end(use, nil)
      return resolved
    } catch {
      unwraps.end(use, error)
      throw error
    }
  }

  private func dataKey(
    of connection: ConnectionID, text: String
  ) async throws(Refusal) -> DataKey {
    let answer: UnwrapForKeyCall.Response
    do throws(RPCError) {
      answer = try await world.auth.call(
        UnwrapForKeyCall.self, .init(connectionID: connection.text, key: text))
    } catch {
      if case .refused(_, .conflict) = error { throw .credentialRefused }
      throw .dependencyDown
    }
    guard let key = DataKey(base64URL: answer.dataKey) else { throw .dependencyDown }
    return key
  }
}

/// Which data keys a loop waits for, and who waits. Loop-confined.
final class Unwraps {
  private var waiting: [KeyUse: [CheckedContinuation<Refusal?, Never>]] = [:]

  func isUnderWay(_ use: KeyUse) -> Bool { waiting[use] != nil }

  func begin(_ use: KeyUse) { waiting[use] = [] }

  /// How it ended: nil when the data key is in memory.
  func wait(for use: KeyUse) async -> Refusal? {
    await withCheckedContinuation { waiting[use, default: []].append($0) }
  }

  func end(_ use: KeyUse, _ refusal: Refusal?) {
    for continuation in waiting.removeValue(forKey: use) ?? [] {
      continuation.resume(returning: refusal)
    }
  }
}

/// A request that waits for its data key.
final class UnwrapFirst: Exchange {
  private let handler: EdgeHandler
  private let connection: ServerConnection
  private let call: MCPCall
  private let use: KeyUse
  private let reached: ReachedConnection
  private let service: UpstreamService
  private let text: String
  private var secret: CredentialSecret?
  private var inner: (any Exchange)?

  init(
    _ call: MCPCall, _ use: KeyUse, _ reached: ReachedConnection, at service: UpstreamService,
    text: String, secret: consuming CredentialSecret, on connection: ServerConnection,
    handler: EdgeHandler
  ) {
    self.handler = handler
    self.connection = connection
    self.call = call
    self.use = use
    self.reached = reached
    self.service = service
    self.text = text
    self.secret = consume secret
  }

  func advance() -> Progress { inner?.advance() ?? .needsTask }

  func work() async -> Progress {
    if let inner { return await inner.work() }
    do throws(Refusal) {
      guard let secret = secret.take() else { throw .dependencyDown }
      let resolved = try await handler.unwrap(reached, for: use, at: service, text: text, secret)
      let exchange = try handler.proceed(resolved, secret, call, connection)
      inner = exchange
      let progress = exchange.advance()
      if case .needsTask = progress { return await exchange.work() }
      return progress
    } catch {
      return .done(
        persists: await handler.answer(error, form: call.form, service: service, to: connection))
    }
  }
}
