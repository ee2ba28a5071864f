// The routes of connections that exist: list, read, change, revoke, activity. A revocation is
// durable first, then told to the edge through the epoch, then answered; the sealed tokens are
// shredded behind the answer, and by the sweep if that call is lost.

import Accounts
import Clocks
import HTTPServer

/// The routes under /api/connections.
struct ConnectionRoutes: Sendable {
  let connections: any ConnectionStore
  let epochs: RevocationEpochs
  let shredder: any TokenShredder
  let named: NamedNetworks
  private static let activityCountMax: Int64 = 200

  func list(_ caller: Caller) async throws(Refusal) -> Response {
    do throws(AccountError) {
      let all = try await connections.connections(of: caller.user.id)
      return .json(JSONText.object([("connections", .array(all.map { JSONText($0) }))]).bytes)
    } catch { throw Refusal(error) }
  }

  /// How many connections the caller has that may be used.
  func count(_ caller: Caller) async throws(Refusal) -> Int64 {
    do throws(AccountError) {
      let all = try await connections.connections(of: caller.user.id)
      return Int64(all.count { $0.status == .active })
    } catch { throw Refusal(error) }
  }

  func read(_ id: String, _ caller: Caller) async throws(Refusal) -> Response {
    let id = try identifier(id)
    do throws(AccountError) {
      return .json(JSONText(try await connections.connection(id, of: caller.user.id)).bytes)
    } catch { throw Refusal(error) }
  }

  func change(
    _ request: Request, _ id: String, _ caller: Caller, now: UnixTime
  ) async throws(Refusal) -> Response {
    let id = try identifier(id)
    let body = try RequestBody.read(request, as: ChangeBody.self)
    guard body.label != nil || body.networks != nil else { throw .bodyInvalid(.nothingToChange) }
    var label: String?
    if let given = body.label {
      guard let admitted = PlainText.admit(given) else { throw .bodyInvalid(.label) }
      label = admitted
    }
    var networks: NetworkPolicy??
    if let given = body.networks { networks = .some(try NetworksField.admit(given, named)) }
    do throws(AccountError) {
      let changed = try await connections.changeConnection(
        id, of: caller.user.id, label: label, networks: networks, now: now)
      if networks != nil { epochs.bump(id) }
      return .json(
        JSONText.object([
          ("success", true), ("label", .string(changed.label)),
          ("connection", JSONText(changed)),
        ]).bytes)
    } catch { throw Refusal(error) }
  }

  func revoke(
    _ request: Request, _ id: String, _ caller: Caller, now: UnixTime
  ) async throws(Refusal) -> Response {
    let id = try identifier(id)
    _ = try RequestBody.readIfPresent(request, as: RevokeBody.self)
    do throws(AccountError) {
      _ = try await connections.revokeConnection(id, of: caller.user.id, now: now)
    } catch { throw Refusal(error) }
    epochs.bump(id)
    shredder.shred(id)
    return .json(
      JSONText.object([("success", true), ("upstream_revocation", "unsupported")]).bytes)
  }

  func activity(_ id: String, _ caller: Caller) async throws(Refusal) -> Response {
    let id = try identifier(id)
    do throws(AccountError) {
      let rows = try await connections.activity(
        of: id, user: caller.user.id, countMax: Self.activityCountMax)
      return .json(JSONText.array(rows.map { JSONText($0) }).bytes)
    } catch { throw Refusal(error) }
  }

  /// What is no identifier names nothing.
  private func identifier(_ text: String) throws(Refusal) -> ConnectionID {
    guard let id = ConnectionID(text) else { throw .notFound }
    return id
  }
}

/// Destroys the sealed tokens of a revoked connection, soon.
protocol TokenShredder: Sendable {
  /// Begins to; does not wait.
  func shred(_ connection: ConnectionID)
}
