// The routes of connections that exist: list, read, change, activity. How an OAuth connection will
// fare is the token store's to say; it is read in one look for all of them.

import Accounts
import Clocks
import Database
import HTTPServer

/// The routes under /api/connections.
struct ConnectionRoutes: Sendable {
  let connections: any ConnectionStore
  let spaces: any SpaceStore
  let tokens: DatabaseThread
  let epochs: RevocationEpochs
  let named: NamedNetworks
  private static let activityCountMax: Int64 = 200

  func list(_ caller: Caller) async throws(Refusal) -> Response {
    do throws(AccountError) {
      var all = try await connections.connections(of: caller.user.id)
      if let space = caller.space {
        let seen = Set(try await spaces.space(space, of: caller.user.id).connections)
        all.removeAll { !seen.contains($0.id) }
      }
      all = try await foreseen(all)
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
      let found = try await connections.connection(id, of: caller.user.id)
      return .json(JSONText(try await foreseen([found])[0]).bytes)
    } catch { throw Refusal(error) }
  }

  /// The record with what the token store knows of its future.
  func foreseen(_ record: ConnectionRecord) async throws(Refusal) -> ConnectionRecord {
    do throws(AccountError) { return try await foreseen([record])[0] } catch {
      throw Refusal(error)
    }
  }

  /// The records with what the token store knows of their future.
  private func foreseen(
    _ records: [ConnectionRecord]
  ) async throws(AccountError) -> [ConnectionRecord] {
    let granted = records.indices.filter { records[$0].authType == .oauth }
    guard !granted.isEmpty else { return records }
    return try await tokens.run { (database) throws(AccountError) in
      try database.snapshot { () throws(AccountError) in
        var records = records
        for index in granted {
          guard let forecast = try ConnectionForecast.of(records[index].id, in: database) else {
            continue
          }
          records[index].expiresAt = forecast.endsAt
          records[index].needsReauthAt = forecast.needsReauthAt ?? records[index].needsReauthAt
        }
        return records
      }
    }
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
          ("connection", JSONText(try await foreseen([changed])[0])),
        ]).bytes)
    } catch { throw Refusal(error) }
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
