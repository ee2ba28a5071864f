// Shows a fresh credential to its owner, once: the dashboard comes with the token from the address
// that the callback led to. Somebody else's token is refused and stays its owner's.

import Accounts
import Clocks
import HTTPCodec
import HTTPServer
import Vault

/// GET /api/connections/claim?token=
struct ClaimRoute: Sendable {
  let authorizations: any AuthorizationStore

  func respond(
    _ request: Request, caller: Caller, now: UnixTime
  ) async throws(Refusal) -> Response {
    guard request.method == .get else { throw .methodUnknown(allowed: "GET") }
    guard let text = (try? Form(parsing: request.query ?? ""))?.only("token") else {
      throw .claimAbsent
    }
    guard let ticket = Ticket(text) else { throw .notFound }
    let hash = ticket.hash(for: .claim)
    let connection: ConnectionRecord
    let sealed: [UInt8]
    do throws(AccountError) {
      (connection, sealed) = try await authorizations.takeClaim(
        hash, of: caller.user.id, now: now)
    } catch { throw Refusal(error) }
    let place = SealContext.claim(
      token: hash, connection: connection.id.text, owner: caller.user.id.text)
    guard
      let shown = TicketBox.open(
        sealed, as: FinishAuthorization.Shown.self, under: ticket, at: place)
    else { throw .failed }
    return .json(
      JSONText.object([
        ("connection", JSONText(connection)), ("secret_url", .string(shown.secretURL)),
        ("api_key", .string(shown.apiKey)),
      ]).bytes)
  }
}
