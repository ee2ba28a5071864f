// Lets the dashboard sign a browser in here for somebody who signed in there at Clerk, so that pages of
// ours know them that run no script of Clerk's: the consent page above all. The token of Clerk comes as
// Bearer and the request from a page of the dashboard: a foreign page can not sign a browser in as
// somebody else, and a key can not become a sign-in. Ending the sign-in at Clerk does not end this one,
// so it is short.

import Accounts
import Clocks
import HTTPServer

/// POST /api/auth/session
struct ClerkSession: Sendable {
  let sessions: any SessionStore
  let authentication: Authentication

  func respond(_ request: Request, now: UnixTime) async throws(Refusal) -> Response {
    guard authentication.origins.admitsChange(request) else { throw .originRefused }
    guard let user = try await authentication.clerkUser(of: request, now: now) else {
      throw .unauthenticated
    }
    let seconds = SessionLife.borrowedSecondsMax
    let tokens: SessionTokens
    do throws(AccountError) {
      tokens = try await sessions.openSession(of: user.id, seconds: seconds, now: now)
    } catch { throw Refusal(error) }
    let body: JSONText = [
      "user": ["id": .string(user.id.text), "email": .string(user.email)],
      "expires_in": .integer(seconds),
    ]
    var response = Response.json(body.bytes)
    response.fields.append(authentication.cookie.set(tokens.cookie, seconds: seconds))
    return response
  }
}
