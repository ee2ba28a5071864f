// Finds out who calls: the session cookie first, then a Bearer token. A request that changes
// something and rests on the cookie must come from an allowed origin. Every token, believed or not,
// costs at most one signature and one point read.

import Accounts
import Clocks
import HTTPServer
import JOSE

/// Who calls, and by which session.
struct Caller: Sendable {
  let user: User
  let session: SessionID
}

/// Believes cookies and tokens, or not.
struct Authentication: Sendable {
  /// The audience of the tokens that this API takes.
  static let audience = "bindery-api"
  /// The life of an access token.
  static let accessSeconds: Int64 = 900

  let sessions: any SessionStore
  let keys: CurrentSigningKeys
  let issuer: String
  let cookie: CookieField
  let origins: OriginPolicy

  /// Who calls; nil for nobody that is believed.
  /// - Throws: `originRefused` when a cookie would be misused.
  func caller(of request: Request, now: UnixTime) async throws(Refusal) -> Caller? {
    if let value = cookie.value(in: request) {
      let found: (user: User, session: SessionID)?
      do throws(AccountError) {
        found = try await sessions.session(cookie: value, now: now)
      } catch { throw Refusal(error) }
      if let found {
        let changes = request.method != .get && request.method != .head
        guard !changes || origins.admitsChange(request) else { throw .originRefused }
        return Caller(user: found.user, session: found.session)
      }
    }
    guard let token = bearerToken(in: request) else { return nil }
    return try await caller(token: token, now: now)
  }

  private func caller(token: String, now: UnixTime) async throws(Refusal) -> Caller? {
    let claims: Claims
    do throws(JOSEError) {
      claims = try keys.value.verify(
        token, type: .session, expectation: .init(issuer: issuer, audience: Self.audience),
        now: now)
    } catch { return nil }
    guard let user = UserID(claims.subject), let session = SessionID(claims.session) else {
      return nil
    }
    do throws(AccountError) {
      // Signing out ends access tokens too, at once.
      guard let found = try await sessions.session(session, now: now), found.id == user else {
        return nil
      }
      return Caller(user: found, session: session)
    } catch { throw Refusal(error) }
  }

  /// The token behind `Bearer`; nil when there is not exactly one.
  private func bearerToken(in request: Request) -> String? {
    guard request.fieldCount("authorization") == 1, let value = request.field("authorization")
    else { return nil }
    let scheme = value.utf8.prefix(7).map { (0x41...0x5a).contains($0) ? $0 + 32 : $0 }
    guard scheme.elementsEqual("bearer ".utf8) else { return nil }
    return String(Substring(value.utf8.dropFirst(7)))
  }

  /// A fresh access token for a session.
  func makeAccessToken(for user: User, session: SessionID, now: UnixTime) -> String {
    keys.value.sign(
      Claims(
        issuer: issuer, subject: user.id.text, audience: Self.audience, issuedAt: now,
        expiry: now.advanced(bySeconds: Self.accessSeconds), session: session.text),
      type: .session)
  }
}
