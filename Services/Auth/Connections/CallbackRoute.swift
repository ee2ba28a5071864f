// Where providers send people back to. The order is the promise: a state counts once, for the browser
// it was given to; then the answer must come from the right server; only then is anything of it
// believed. A code is used at once. Nothing of what a provider wrote reaches an address, a page or a
// log of ours.

import Accounts
import Bytes
import Clocks
import HTTPCodec
import HTTPServer
import Logging
import OAuth
import Providers
import Vault

/// GET /api/connections/callback
struct CallbackRoute: Sendable {
  private static let codeBytesMax = 8192

  let catalogue: CurrentCatalogue
  let authorizations: any AuthorizationStore
  let finish: FinishAuthorization
  let cookie: CookieField
  let log: Log

  func respond(_ request: Request, now: UnixTime) async throws(Refusal) -> Response {
    // A look must not use up what a visit needs.
    guard request.method == .get else { throw .methodUnknown(allowed: "GET") }
    guard let query = try? Form(parsing: request.query ?? ""), query.repeatedName == nil,
      let state = query.only("state").flatMap({ Ticket($0) }),
      let browser = cookie.value(in: request).flatMap({ Ticket($0) })
    else { return Self.refusal }
    let key = AuthorizationKey(state: state.hash(for: .state), browser: browser.hash(for: .browser))
    let taken: PendingAuthorization?
    do throws(AccountError) {
      taken = try await authorizations.takeAuthorization(key, now: now)
    } catch { throw Refusal(error) }
    guard let taken else { return Self.refusal }
    do throws(ConnectFailure) {
      let claim = try await claim(taken, state, query)
      return DashboardPages.redirect(to: taken.returnTo, "claim", claim.makeText())
    } catch {
      log.warning(
        "connect_failed",
        ["provider": .service(taken.service), "reason": .literal(error.label)])
      return DashboardPages.redirect(to: taken.returnTo, "error", error.rawValue)
    }
  }

  /// One answer for a state that is unknown, spent, too old or another browser's.
  private static let refusal = Response.text(
    status: 400,
    "This connection attempt is not known, is over, or began in another browser. "
      + "Start again from the dashboard.\n")

  private func claim(
    _ taken: PendingAuthorization, _ state: Ticket, _ query: Form
  ) async throws(ConnectFailure) -> Ticket {
    let place = SealContext.pendingAuthorization(
      state: state.hash(for: .state), owner: taken.userID.text)
    guard
      let secrets = TicketBox.open(
        taken.sealed, as: AuthorizationSecrets.self, under: state, at: place)
    else { throw .internalError }
    // Before anything else of the answer, its error too, is looked at (RFC 9207 section 2.4).
    guard secrets.admits(issuer: query.only("iss")) else { throw .issuerMismatch }
    if let error = query.only("error") {
      throw error.utf8.elementsEqual("access_denied".utf8) ? .accessDenied : .providerError
    }
    guard let code = query.only("code"), (1...Self.codeBytesMax).contains(code.utf8.count) else {
      throw .providerError
    }
    guard let provider = catalogue.value[taken.service], provider.oauth != nil else {
      throw .notSupported
    }
    return try await finish.finish(taken, secrets, provider: provider, code: code)
  }
}
