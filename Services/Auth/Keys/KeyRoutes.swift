// A person's keys for programs: list, make, end. The raw key is in one answer and nowhere else; what
// is stored is its hash. A key cannot make or end keys: whoever finds one must not be able to stay.

import Accounts
import Clocks
import HTTPServer
import Vault

/// The routes under /api/keys.
struct KeyRoutes: Sendable {
  let keys: any KeyStore
  let epochs: RevocationEpochs

  func list(_ caller: Caller) async throws(Refusal) -> Response {
    do throws(AccountError) {
      let all = try await keys.keys(of: caller.user.id)
      return .json(JSONText.object([("keys", .array(all.map { JSONText($0) }))]).bytes)
    } catch { throw Refusal(error) }
  }

  func add(_ request: Request, _ caller: Caller, now: UnixTime) async throws(Refusal) -> Response {
    let body = try RequestBody.readIfPresent(request, as: KeyBody.self) ?? .none
    let record = try body.record(permissions: nil, standardName: "User key", now: now)
    let made = MadeKey(.user)
    do throws(AccountError) {
      try await keys.addKey(record, hash: made.hash, of: caller.user.id)
    } catch { throw Refusal(error) }
    return .json(status: 201, JSONText(record, shown: made.text).bytes)
  }

  /// - Parameter id: from the path; nil when the body names the key.
  func revoke(
    _ request: Request, _ id: String?, _ caller: Caller, now: UnixTime
  ) async throws(Refusal) -> Response {
    let id = try KeyName.admit(id, request)
    do throws(AccountError) {
      let reached = try await keys.revokeKey(id, of: caller.user.id, now: now)
      for connection in reached { epochs.bump(connection) }
    } catch { throw Refusal(error) }
    return .json(JSONText.object([("success", true)]).bytes)
  }
}

/// A fresh key.
struct MadeKey {
  let text: String
  let hash: Digest256

  init(_ kind: ProgramKeyKind) {
    text = CredentialSecret.random().makeKey(kind)
    hash = Digest256(of: Array(text.utf8))
  }
}

extension KeyName {
  static func admit(_ id: String?, _ request: Request) throws(Refusal) -> ProgramKeyID {
    let text: String
    if let id { text = id } else { text = try RequestBody.read(request, as: KeyName.self).id }
    guard let id = ProgramKeyID(text) else { throw .notFound }
    return id
  }
}
