// What the edge does when a service's tokens end soon or were refused: it asks the scheduler, which
// alone exchanges refresh tokens, and reads the store again. While a token still works, a request
// does not wait for its successor, and goes on with it when there is none.

import Accounts
import Bytes
import Clocks
import EventLoop
import HTTPServer
import RPC
import Vault

extension EdgeHandler {
  /// A request may take this long to be worth waiting for an exchange.
  private static let patience = Duration.seconds(40)

  /// The connection with tokens later than those of `resolved`, or as it is while these still work.
  /// - Parameters:
  ///   - key: The connection's data key as calls carry it.
  ///   - wasRefused: Whether the service refused the access token.
  /// - Throws: `needsReauthorization`, `refreshLater`, or what finding the connection again says.
  func renew(
    _ resolved: ResolvedCredential, key: String, wasRefused: Bool
  ) async throws(Refusal) -> ResolvedCredential {
    let mayGoOn = !wasRefused && resolved.secondsLeft(at: .now) > 0
    let answer: RefreshCall.Response
    do throws(RPCError) {
      answer = try await world.scheduler.call(
        RefreshCall.self,
        .init(
          connectionID: resolved.credential.connectionID.text,
          generation: Int64(clamping: resolved.blob.generation), dataKey: key,
          wasRefused: wasRefused), within: Self.patience)
    } catch {
      guard mayGoOn else { throw .refreshLater(retryAfterSeconds: 2) }
      return try standing(resolved)
    }
    switch answer.outcome {
    case .fresh: return try reread(resolved)
    case .unrefreshable:
      // Also said of a connection that was revoked meanwhile.
      let standing = try standing(resolved)
      guard !wasRefused else { throw .needsReauthorization }
      return standing
    case .needsReauthorization:
      guard mayGoOn else { throw .needsReauthorization }
      return try standing(resolved)
    case .later:
      guard mayGoOn else {
        throw .refreshLater(retryAfterSeconds: Int(clamping: answer.retryAfterSeconds ?? 2))
      }
      return try standing(resolved)
    }
  }

  /// The connection as it is after a wait, in which it may have been revoked.
  func standing(_ resolved: ResolvedCredential) throws(Refusal) -> ResolvedCredential {
    if let use = resolved.keyUse {
      return try resolver.findAgain(use, resolved, now: loop.now)
    }
    return try resolver.find(
      resolved.lookup, resolved.credential.kind, service: resolved.service, now: loop.now)
  }

  /// The connection as the store has it now.
  func reread(_ resolved: ResolvedCredential) throws(Refusal) -> ResolvedCredential {
    if let use = resolved.keyUse {
      resolver.forget(use)
    } else {
      resolver.forget(resolved.lookup)
    }
    return try standing(resolved)
  }

  /// Has the tokens renewed beside the requests that still use them; once at a time.
  func renewBeside(_ resolved: ResolvedCredential, key: String) {
    guard !resolved.isRenewing else { return }
    resolved.isRenewing = true
    let handler = LoopBound(here: self, on: loop)
    let held = LoopBound(here: resolved, on: loop)
    loop.spawn {
      _ = try? await handler.value.renew(held.value, key: key, wasRefused: false)
      held.value.isRenewing = false
    }
  }

  /// Somebody shows a credential whose connection was revoked: with its data key the provider can be
  /// told at last. Nothing else comes of it; the credential is refused as any unknown one.
  func endParted(_ lookup: Digest256, _ secret: borrowing CredentialSecret) {
    guard partings.count < Self.partingsMax, let found = try? stores.lookup().parted(lookup),
      !partings.contains(found.connectionID.text)
    else { return }
    let connection = found.connectionID.text
    let wrap = PlacedValue(
      found.wrap,
      at: .credentialWrap(
        credential: found.credentialID.text, connection: connection, owner: found.ownerID.text))
    guard let key = try? engine.unwrap(wrap, with: secret).base64URL else { return }
    partings.insert(connection)
    let handler = LoopBound(here: self, on: loop)
    loop.spawn {
      _ = try? await handler.value.world.scheduler.call(
        RevokeUpstreamCall.self, .init(connectionID: connection, dataKey: key))
      handler.value.partings.remove(connection)
    }
  }

  private static let partingsMax = 64
}

/// A request whose tokens are to be renewed before it is sent.
final class RenewFirst: Exchange {
  private let handler: EdgeHandler
  private let connection: ServerConnection
  private let resolved: ResolvedCredential
  private let secret: CredentialSecret
  private let call: MCPCall
  private var inner: MCPExchange?

  init(
    _ call: MCPCall, _ resolved: ResolvedCredential, secret: consuming CredentialSecret,
    on connection: ServerConnection, handler: EdgeHandler
  ) {
    self.handler = handler
    self.connection = connection
    self.resolved = resolved
    self.secret = consume secret
    self.call = call
  }

  func advance() -> Progress { inner?.advance() ?? .needsTask }

  func work() async -> Progress {
    if let inner { return await inner.work() }
    do throws(Refusal) {
      let key = try handler.unwrap(resolved, secret).base64URL
      let renewed = try await handler.renew(resolved, key: key, wasRefused: false)
      let exchange = try handler.prepare(renewed, secret, call, connection)
      inner = exchange
      let progress = exchange.advance()
      if case .needsTask = progress { return await exchange.work() }
      return progress
    } catch {
      return .done(
        persists: await handler.answer(
          error, form: call.form, service: resolved.service, to: connection))
    }
  }
}
