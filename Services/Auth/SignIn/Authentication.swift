// Finds out who calls, in this order: the session cookie, a person's key, a space's key, a signed
// token. A request that changes something and rests on the cookie must come from an allowed origin.
// The first of these that is there decides, but for a cookie that is not believed. Every token,
// believed or not, costs at most one signature and one point read.

import Accounts
import Clocks
import HTTPServer
import JOSE
import Vault

/// Who calls, and by what.
struct Caller: Sendable {
  /// The person, or the owner of the space.
  let user: User
  let proof: Proof

  /// What the caller showed.
  enum Proof: Sendable {
    case session(SessionID)
    /// A token of Clerk's; its sessions are Clerk's.
    case clerk
    case userKey(ProgramKeyID)
    case space(SpaceID, SpacePermissions)
  }

  /// The space that bounds what the caller sees; nil for a person.
  var space: SpaceID? {
    if case .space(let id, _) = proof { id } else { nil }
  }
}

/// Believes cookies, keys and tokens, or not.
struct Authentication: Sendable {
  /// The audience of the tokens that this API takes.
  static let audience = "bindery-api"
  /// The life of an access token.
  static let accessSeconds: Int64 = 900

  let sessions: any SessionStore
  let programs: any KeyStore
  let keys: CurrentSigningKeys
  let issuer: String
  let cookie: CookieField
  let origins: OriginPolicy
  /// Whose tokens are believed beside ours; nil for nobody's.
  let clerk: ClerkSignIn?

  /// Who calls; nil for nobody that is believed.
  /// - Throws: `originRefused` when a cookie would be misused, `bearerNeeded`.
  func caller(of request: Request, now: UnixTime) async throws(Refusal) -> Caller? {
    let isForPrograms = Self.isForPrograms(request.path)
    if !isForPrograms, let caller = try await caller(byCookieOf: request, now: now) {
      return caller
    }
    guard let token = bearerToken(in: request) else {
      if isForPrograms { throw .bearerNeeded }
      return nil
    }
    return try await caller(bearer: token, now: now)
  }

  private func caller(bearer token: String, now: UnixTime) async throws(Refusal) -> Caller? {
    if token.utf8.starts(with: "userk_".utf8) || token.utf8.starts(with: "spacek_".utf8) {
      return try await caller(key: token, now: now)
    }
    return try await caller(token: token, now: now)
  }

  /// Whether browsers are kept out of the routes at `path`: a cookie says nothing there.
  private static func isForPrograms(_ path: String) -> Bool {
    path.utf8.starts(with: "/api/mcp/".utf8) || path.utf8.elementsEqual("/api/mcp".utf8)
  }

  private func caller(byCookieOf request: Request, now: UnixTime) async throws(Refusal) -> Caller? {
    guard let value = cookie.value(in: request) else { return nil }
    let found: (user: User, session: SessionID)?
    do throws(AccountError) {
      found = try await sessions.session(cookie: value, now: now)
    } catch { throw Refusal(error) }
    guard let found else { return nil }
    let changes = request.method != .get && request.method != .head
    guard !changes || origins.admitsChange(request) else { throw .originRefused }
    return Caller(user: found.user, proof: .session(found.session))
  }

  private func caller(key text: String, now: UnixTime) async throws(Refusal) -> Caller? {
    guard let key = PresentedKey(text) else { return nil }
    do throws(AccountError) {
      guard let holder = try await programs.holder(of: key, now: now) else { return nil }
      guard let space = holder.space else {
        return Caller(user: holder.user, proof: .userKey(holder.key))
      }
      return Caller(user: holder.user, proof: .space(space.id, space.permissions))
    } catch { throw Refusal(error) }
  }

  private func caller(token: String, now: UnixTime) async throws(Refusal) -> Caller? {
    let claims: Claims
    do throws(JOSEError) {
      claims = try keys.value.verify(
        token, type: .session, expectation: .init(issuer: issuer, audience: Self.audience),
        now: now)
    } catch { return try await clerk?.caller(token, now: now) }
    guard let user = UserID(claims.subject), let session = SessionID(claims.session) else {
      return nil
    }
    do throws(AccountError) {
      // Signing out ends access tokens too, at once.
      guard let found = try await sessions.session(session, now: now), found.id == user else {
        return nil
      }
      return Caller(user: found, proof: .session(session))
    } catch { throw Refusal(error) }
  }

  /// Who shows a token of Clerk's as Bearer, whatever cookie comes with it; nil for nobody.
  /// - Throws: `sessionNeeded` for a key or a token of ours.
  func clerkUser(of request: Request, now: UnixTime) async throws(Refusal) -> User? {
    guard let token = bearerToken(in: request),
      let caller = try await caller(bearer: token, now: now)
    else { return nil }
    guard case .clerk = caller.proof else { throw .sessionNeeded }
    return caller.user
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
