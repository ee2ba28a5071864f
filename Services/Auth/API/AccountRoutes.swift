// What a person may ask about all that is stored of them: to have it, and to be forgotten. Deleting
// ends every connection in the way its owner would have, tells the providers that can be told now,
// and then leaves no row, token or mail. What stays undone outside of this house is told as a warning;
// billing is told again until it has forgotten the person.

import Accounts
import Clocks
import Database
import HTTPServer
import Logging

/// GET /api/account/export and DELETE /api/account
struct AccountRoutes: Sendable {
  /// Providers that are told at once.
  private static let atOnceMax = 16
  /// How long all providers together have.
  private static let patience = Duration.seconds(20)

  let accounts: any AccountStore & ConnectionStore & PartingStore & FarewellStore
  let tokens: DatabaseThread
  let epochs: RevocationEpochs
  let farewell: Farewell
  /// Clerk's API; nil when we hold no key for it.
  let clerk: ClerkAPI?
  /// Nil when billing is off.
  let billing: (any Calling)?
  let cookie: CookieField
  let log: Log

  /// GET /api/account/export
  func export(_ caller: Caller, now: UnixTime) async throws(Refusal) -> Response {
    do throws(AccountError) {
      var export = try await accounts.export(caller.user.id)
      let first = export
      export = try await tokens.run { (database) throws(AccountError) in
        var whole = first
        try whole.addTokens(in: database)
        return whole
      }
      var response = Response.json(export.text(at: now))
      response.fields.append(
        ("content-disposition", "attachment; filename=\"bindery-account.json\""))
      return response
    } catch { throw Refusal(error) }
  }

  /// DELETE /api/account
  func delete(_ caller: Caller, now: UnixTime) async throws(Refusal) -> Response {
    let user = caller.user.id
    var warnings: [String] = []
    let erased: Erased
    do throws(AccountError) {
      try await revokeAll(of: user, now: now)
      for service in try await part(user) { warnings.append("provider_not_told:\(service)") }
      erased = try await accounts.eraseAccount(user, now: now)
      for connection in erased.connections { epochs.bump(connection) }
      try await tokens.run { (database) throws(AccountError) in
        try database.eraseTokens(of: erased.connections)
      }
    } catch {
      if error == .notFound { throw .unauthenticated }  // another call was faster
      log.error("account_not_deleted", ["user": .idPrefix(user.text)])
      throw .deletionFailed
    }
    if let subject = erased.clerkSubject {
      let isGone = await clerk?.delete(subject) ?? false
      if !isGone { warnings.append("clerk_account_kept") }
    }
    if let billing, await !PlanWatch.sayFarewell(to: user, billing, accounts) {
      warnings.append("billing_told_later")
    }
    log.info(
      "account_deleted",
      ["connections": .count(erased.connections.count), "warnings": .count(warnings.count)])
    var members: [(name: String, value: JSONText)] = [("success", true)]
    if !warnings.isEmpty { members.append(("warnings", .array(warnings.map { .string($0) }))) }
    var response = Response.json(JSONText.object(members).bytes)
    response.fields.append(cookie.clear)
    return response
  }

  /// Ends every live connection; the edge refuses their credentials from here on.
  private func revokeAll(of user: UserID, now: UnixTime) async throws(AccountError) {
    for connection in try await accounts.connections(of: user) {
      do throws(AccountError) {
        _ = try await accounts.revokeConnection(connection.id, of: user, now: now)
      } catch {
        if error == .notFound { continue }  // revoked meanwhile
        throw error
      }
      epochs.bump(connection.id)
    }
  }

  /// Tells the providers that can be told without a credential; gives the services of the others.
  private func part(_ user: UserID) async throws(AccountError) -> [String] {
    let open = try await accounts.openPartings(of: user)
    let deadline = Instant.now.advanced(by: Self.patience)
    var untold: [String] = []
    var rest = open[...]
    while !rest.isEmpty {
      let round = rest.prefix(Self.atOnceMax)
      rest = rest.dropFirst(Self.atOnceMax)
      guard Instant.now < deadline else {
        untold += round.map(\.service)
        continue
      }
      untold += await withTaskGroup(of: String?.self) { group in
        for (connection, service) in round {
          group.addTask { await self.part(connection, of: user) ? nil : service }
        }
        return await group.reduce(into: []) { if let service = $1 { $0.append(service) } }
      }
    }
    return untold
  }

  private func part(_ connection: ConnectionID, of user: UserID) async -> Bool {
    let wrap = try? await accounts.openableWrap(of: connection)
    let state = await farewell.part(
      connection, owner: user, .pending(wrap?.wrap), shown: nil)
    return state == .revoked
  }
}
