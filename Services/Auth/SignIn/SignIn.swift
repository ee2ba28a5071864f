// Registering, signing in and out, and refreshing. An unknown address and a wrong password give the
// same answer after the same work; attempts are counted before a password is looked at.

import Accounts
import Bytes
import Clocks
import HTTPServer
import Synchronization

/// The routes under /api/auth.
final class SignIn: Sendable {
  private let users: any UserStore
  private let sessions: any SessionStore
  private let authentication: Authentication
  private let passwords: PasswordChecker
  private let throttle = Mutex(SignInThrottle())
  /// Whether there are accounts with a password.
  let isOn: Bool
  private let usersMax: Int64?
  private let mails: any AccountMails

  init(
    users: any UserStore, sessions: any SessionStore, authentication: Authentication,
    passwords: PasswordChecker, isOn: Bool, usersMax: Int64?, mails: any AccountMails
  ) {
    self.passwords = passwords
    self.users = users
    self.sessions = sessions
    self.authentication = authentication
    self.isOn = isOn
    self.usersMax = usersMax
    self.mails = mails
  }

  private struct Credentials: Decodable {
    let email: String
    let password: String
  }

  private struct RefreshBody: Decodable {
    let refreshToken: String

    private enum CodingKeys: String, CodingKey { case refreshToken = "refresh_token" }
  }

  /// POST /api/auth/register
  func register(_ request: Request, now: UnixTime) async throws(Refusal) -> Response {
    let (email, text) = try read(request)
    guard let email else { throw .bodyInvalid(.email) }
    guard let password = PasswordRules.admitNew(text) else { throw .bodyInvalid(.password) }
    try attempt(email.key, request)
    let stored = try await passwords.make(password)
    let added: (user: User, tokens: SessionTokens)
    do throws(AccountError) {
      added = try await users.addUser(
        email: email, password: stored, usersMax: usersMax, now: now)
    } catch { throw Refusal(error) }
    succeed(email.key, request)
    mails.send(.newUser, about: added.user)
    return answer(
      201, user: added.user, session: added.tokens.session,
      refreshToken: added.tokens.refreshToken, cookie: added.tokens.cookie, now: now)
  }

  /// POST /api/auth/login
  func login(_ request: Request, now: UnixTime) async throws(Refusal) -> Response {
    let (email, text) = try read(request)
    let (user, tokens) = try await open(email, text, for: request, now: now)
    return answer(
      200, user: user, session: tokens.session, refreshToken: tokens.refreshToken,
      cookie: tokens.cookie, now: now)
  }

  /// Signs somebody in on a page of ours.
  /// - Throws: `signInRefused`, `tooManyAttempts`, `overloaded`.
  func enter(
    email: String, password: String, for request: Request, now: UnixTime
  ) async throws(Refusal) -> SessionTokens {
    guard isOn else { throw .localAccountsOff }
    return try await open(EmailAddress(email), password, for: request, now: now).tokens
  }

  private func open(
    _ email: EmailAddress?, _ text: String, for request: Request, now: UnixTime
  ) async throws(Refusal) -> (user: User, tokens: SessionTokens) {
    guard let email else { throw .signInRefused }
    try attempt(email.key, request)
    var signedIn = try await signIn(email, text, now: now)
    // The stored hash may have changed meanwhile: another sign-in upgraded it, or it was reset.
    if case .changed = signedIn { signedIn = try await signIn(email, text, now: now) }
    guard case .done(let user, let tokens) = signedIn else { throw .signInRefused }
    succeed(email.key, request)
    return (user, tokens)
  }

  private enum Outcome {
    case done(User, SessionTokens)
    /// The password was right and is not the stored one any more.
    case changed
    case refused
  }

  private func signIn(
    _ email: EmailAddress, _ text: String, now: UnixTime
  ) async throws(Refusal) -> Outcome {
    guard let password = PasswordRules.admitTried(text) else { return .refused }
    let found: (user: User, password: StoredPassword)?
    do throws(AccountError) {
      found = try await users.user(email: email)
    } catch { throw Refusal(error) }
    let verdict = try await passwords.check(password, against: found?.password)
    do throws(AccountError) {
      guard verdict.matches, let found else {
        try await users.noteFailedSignIn(of: found?.user.id, now: now)
        return .refused
      }
      let tokens = try await users.signIn(
        found.user.id, password: found.password, upgrade: verdict.upgrade, now: now)
      return tokens.map { .done(found.user, $0) } ?? .changed
    } catch { throw Refusal(error) }
  }

  /// POST /api/auth/token
  func refresh(_ request: Request, now: UnixTime) async throws(Refusal) -> Response {
    guard isOn else { throw .localAccountsOff }
    guard authentication.origins.admitsSignIn(request) else { throw .originRefused }
    let body = try RequestBody.read(request, as: RefreshBody.self)
    let refreshed: (user: User, session: SessionID, refreshToken: String)?
    do throws(AccountError) {
      refreshed = try await sessions.refreshSession(body.refreshToken, now: now)
    } catch { throw Refusal(error) }
    guard let refreshed else { throw .refreshRefused }
    return answer(
      200, user: refreshed.user, session: refreshed.session,
      refreshToken: refreshed.refreshToken, cookie: nil, now: now)
  }

  /// POST /api/auth/logout
  func logout(_ caller: Caller, now: UnixTime) async throws(Refusal) -> Response {
    switch caller.proof {
    case .session(let session):
      do throws(AccountError) {
        try await sessions.closeSession(session, now: now)
      } catch { throw Refusal(error) }
    case .clerk: break  // the session is Clerk's to end
    case .userKey, .space: throw .sessionNeeded
    }
    var response = Response.json(JSONText.object([("success", true)]).bytes)
    response.fields.append(authentication.cookie.clear)
    return response
  }

  private func read(_ request: Request) throws(Refusal) -> (EmailAddress?, String) {
    guard isOn else { throw .localAccountsOff }
    // Signing somebody in as somebody else from a foreign page would be a forgery, too.
    guard authentication.origins.admitsSignIn(request) else { throw .originRefused }
    let body = try RequestBody.read(request, as: Credentials.self)
    return (EmailAddress(body.email), body.password)
  }

  private func attempt(_ account: String, _ request: Request) throws(Refusal) {
    let wait = throttle.withLock {
      $0.attempt(account: account, from: request.client, now: .now)
    }
    if let wait { throw .tooManyAttempts(retryAfterSeconds: wait) }
  }

  private func succeed(_ account: String, _ request: Request) {
    throttle.withLock { $0.succeed(account: account, from: request.client) }
  }

  private func answer(
    _ status: Int, user: User, session: SessionID, refreshToken: String, cookie: String?,
    now: UnixTime
  ) -> Response {
    let token = authentication.makeAccessToken(for: user, session: session, now: now)
    let body: JSONText = [
      "user": ["id": .string(user.id.text), "email": .string(user.email)],
      "access_token": .string(token), "refresh_token": .string(refreshToken),
      "token_type": "bearer", "expires_in": .integer(Authentication.accessSeconds),
    ]
    var response = Response.json(status: status, body.bytes)
    if let cookie { response.fields.append(authentication.cookie.set(cookie)) }
    return response
  }
}
