// Spaces: some connections of a person, for one program. The program's key reaches these and no
// others, and does with them what its permissions say. A connection may be in several spaces; what a
// key connects comes into its own.

import Accounts
import Clocks
import HTTPServer

/// The routes under /api/spaces.
struct SpaceRoutes: Sendable {
  let spaces: any SpaceStore
  let epochs: RevocationEpochs

  func list(_ caller: Caller) async throws(Refusal) -> Response {
    do throws(AccountError) {
      let all = try await spaces.spaces(of: caller.user.id)
      return .json(JSONText.object([("spaces", .array(all.map { JSONText($0) }))]).bytes)
    } catch { throw Refusal(error) }
  }

  func read(_ id: String, _ caller: Caller) async throws(Refusal) -> Response {
    let id = try identifier(id)
    do throws(AccountError) {
      return .json(JSONText(try await spaces.space(id, of: caller.user.id)).bytes)
    } catch { throw Refusal(error) }
  }

  func add(_ request: Request, _ caller: Caller, now: UnixTime) async throws(Refusal) -> Response {
    let body = try RequestBody.read(request, as: SpaceBody.self)
    guard let name = try body.admittedName() else { throw .bodyInvalid(.name) }
    let connections = try body.admittedConnections() ?? []
    let space = Space(
      id: .random(), userID: caller.user.id, name: name, createdAt: now, connections: connections)
    do throws(AccountError) {
      try await spaces.addSpace(space)
      let written = try await spaces.space(space.id, of: caller.user.id)
      return .json(status: 201, JSONText(written).bytes)
    } catch { throw Refusal(error) }
  }

  func change(
    _ request: Request, _ id: String, _ caller: Caller, now: UnixTime
  ) async throws(Refusal) -> Response {
    let id = try identifier(id)
    let body = try RequestBody.read(request, as: SpaceBody.self)
    guard body.name != nil || body.connections != nil else {
      throw .bodyInvalid(.nothingToChangeInSpace)
    }
    let (name, connections) = (try body.admittedName(), try body.admittedConnections())
    do throws(AccountError) {
      let changed = try await spaces.changeSpace(
        id, of: caller.user.id, name: name, connections: connections, now: now)
      for connection in changed.left { epochs.bump(connection) }
      return .json(JSONText(changed.space).bytes)
    } catch { throw Refusal(error) }
  }

  func remove(_ id: String, _ caller: Caller, now: UnixTime) async throws(Refusal) -> Response {
    let id = try identifier(id)
    do throws(AccountError) {
      let left = try await spaces.removeSpace(id, of: caller.user.id, now: now)
      for connection in left { epochs.bump(connection) }
    } catch { throw Refusal(error) }
    return .json(JSONText.object([("success", true)]).bytes)
  }

  // MARK: Keys

  func listKeys(_ id: String, _ caller: Caller) async throws(Refusal) -> Response {
    let id = try identifier(id)
    do throws(AccountError) {
      let all = try await spaces.keys(of: id, user: caller.user.id)
      return .json(JSONText.object([("keys", .array(all.map { JSONText($0) }))]).bytes)
    } catch { throw Refusal(error) }
  }

  func addKey(
    _ request: Request, _ id: String, _ caller: Caller, now: UnixTime
  ) async throws(Refusal) -> Response {
    let id = try identifier(id)
    let body = try RequestBody.readIfPresent(request, as: KeyBody.self) ?? .none
    let record = try body.record(
      permissions: try body.admittedPermissions(), standardName: "Space key", now: now)
    let made = MadeKey(.space)
    do throws(AccountError) {
      try await spaces.addKey(record, hash: made.hash, of: id, user: caller.user.id)
    } catch { throw Refusal(error) }
    return .json(status: 201, JSONText(record, shown: made.text).bytes)
  }

  /// - Parameter key: from the path; nil when the body names the key.
  func revokeKey(
    _ request: Request, _ id: String, _ key: String?, _ caller: Caller, now: UnixTime
  ) async throws(Refusal) -> Response {
    let (id, key) = (try identifier(id), try KeyName.admit(key, request))
    do throws(AccountError) {
      let reached = try await spaces.revokeKey(key, of: id, user: caller.user.id, now: now)
      for connection in reached { epochs.bump(connection) }
    } catch { throw Refusal(error) }
    return .json(JSONText.object([("success", true)]).bytes)
  }

  /// What is no identifier names nothing.
  private func identifier(_ text: String) throws(Refusal) -> SpaceID {
    guard let id = SpaceID(text) else { throw .notFound }
    return id
  }
}
