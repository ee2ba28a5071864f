// Answers the operator's tool about master keys: which are held, what is sealed under them, and how a
// rotation fares; and does what it asks: reload, start, hold, let go. Fingerprints cross the socket,
// keys never.

import Accounts
import Clocks
import Database
import RPC

/// The calls `keys` and `rotate`.
struct KeyCalls: Sendable {
  let keys: KeyAgent
  let store: any RotationStore
  let rotator: KeyRotator
  let reload: KeyReload

  /// Adds the answers to `handlers`.
  func answer(in handlers: inout CallHandlers) {
    handlers.answer(KeysCall.self) { (_, _) throws(RPC.Refusal) in try await report() }
    handlers.answer(RotateCall.self) { (request, _) throws(RPC.Refusal) in
      let problem = try await act(on: request)
      return RotateCall.Response(problem: problem, report: try await report())
    }
  }

  func report() async throws(RPC.Refusal) -> KeyReport {
    do throws(AccountError) {
      let rows = try await store.sealedCounts().map {
        KeyReport.Rows(column: $0.column.rawValue, fingerprint: $0.fingerprint, count: $0.count)
      }
      return KeyReport(
        fingerprints: keys.fingerprints, rows: rows,
        rotation: try await store.rotation().map(KeyReport.Rotation.init))
    } catch { throw RPC.Refusal(error) }
  }

  /// Does it; gives the reason when it can not be done.
  func act(on request: RotateCall.Request) async throws(RPC.Refusal) -> String? {
    if let rate = request.rate, rate < 1 { throw .malformedRequest }
    do throws(AccountError) {
      switch request.action {
      case .reload:
        do throws(KeyReloadProblem) { try await reload.run() } catch { return error.text }
        return nil
      case .start: return try await start(request)
      case .pause, .resume:
        let isHeld = request.action == .pause
        do throws(AccountError) {
          _ = try await store.holdRotation(isHeld, rate: request.rate, now: .now)
        } catch  where error == .notFound { return "no rotation is under way" }
        rotator.kick()
        return nil
      case .retire: return try await retire(request)
      }
    } catch { throw RPC.Refusal(error) }
  }

  private func start(_ request: RotateCall.Request) async throws(AccountError) -> String? {
    guard let active = keys.activeFingerprint, request.fingerprint == active else {
      return "the key to rotate to is not the active one of auth"
    }
    _ = try await store.startRotation(to: active, rate: request.rate, now: .now)
    rotator.kick()
    return nil
  }

  private func retire(_ request: RotateCall.Request) async throws(AccountError) -> String? {
    guard let fingerprint = request.fingerprint, keys.has(fingerprint) else {
      return "auth does not hold this key"
    }
    guard keys.activeFingerprint != fingerprint else { return "the key is the active one" }
    if let open = try await store.rotation(), open.isOpen {
      return "a rotation is under way; the key can go when it has ended"
    }
    let keys = keys
    let needed = try await store.whileNothingIsWritten { rows in
      let needed = rows.first { $0.fingerprint == fingerprint }
      if needed == nil { keys.retire(fingerprint) }
      return needed
    }
    return needed.map { "\($0.count) rows of \($0.column.rawValue) are under the key" }
  }
}

extension RPC.Refusal {
  /// What a caller hears of a store's error.
  init(_ error: AccountError) {
    if case .database(let error) = error, error.isTransient {
      self = .overloaded
    } else {
      self = .failed
    }
  }
}

extension KeyReport.Rotation {
  fileprivate init(_ rotation: KeyRotation) {
    self.init(
      target: rotation.target, state: rotation.state.rawValue, total: rotation.total,
      done: rotation.done, failed: rotation.failed)
    rate = rotation.rate
    startedAt = rotation.startedAt.seconds
    finishedAt = rotation.finishedAt?.seconds
    reason = rotation.reason
  }
}
