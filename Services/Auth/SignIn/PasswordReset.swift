// Forgotten passwords. Asking is answered at once and always alike: whether there is such an account is
// looked up afterwards, and only its owner's mailbox tells. Setting a new password takes a link that
// fits the old one, and signs everybody out.

import Accounts
import Clocks
import HTTPServer
import Synchronization

/// POST /api/auth/forgot-password and /api/auth/reset-password
final class PasswordReset: Sendable {
  /// An account gets few such mails, whoever asks; a link is tried a few times.
  private static let limits = SignInThrottle.Limits(
    perAccountAndNetwork: 3, perAccount: 6, perNetwork: 60, windowSeconds: 3600)

  private let users: any UserStore
  private let tokens: ResetTokens
  private let passwords: PasswordChecker
  private let mails: any AccountMails
  private let origins: OriginPolicy
  private let isOn: Bool
  private let spawn: @Sendable (@escaping @Sendable () async -> Void) -> Void
  private let asking = Mutex(SignInThrottle(limits))
  private let setting = Mutex(SignInThrottle())

  init(
    users: any UserStore, tokens: ResetTokens, passwords: PasswordChecker,
    mails: any AccountMails, origins: OriginPolicy, isOn: Bool,
    spawn: @escaping @Sendable (@escaping @Sendable () async -> Void) -> Void
  ) {
    self.users = users
    self.tokens = tokens
    self.passwords = passwords
    self.mails = mails
    self.origins = origins
    self.isOn = isOn
    self.spawn = spawn
  }

  private struct Forgotten: Decodable { let email: String }

  private struct Reset: Decodable {
    let token: String
    let password: String
  }

  /// POST /api/auth/forgot-password
  func forgot(_ request: Request, now: UnixTime) throws(Refusal) -> Response {
    try admit(request)
    let body = try RequestBody.read(request, as: Forgotten.self)
    let answer = Response.json(status: 202, JSONText.object([("success", true)]).bytes)
    guard let email = EmailAddress(body.email) else { return answer }
    let wait = asking.withLock {
      $0.attempt(account: email.key, from: request.client, now: .now)
    }
    guard wait == nil else { return answer }
    let (users, mails) = (users, mails)
    spawn {
      do throws(AccountError) {
        guard let user = try await users.user(email: email)?.user else { return }
        try await users.askForReset(of: user.id, now: now)
        mails.send(.passwordReset, about: user)
      } catch { return }  // they ask again
    }
    return answer
  }

  /// POST /api/auth/reset-password
  func reset(_ request: Request, now: UnixTime) async throws(Refusal) -> Response {
    try admit(request)
    let body = try RequestBody.read(request, as: Reset.self)
    guard let password = PasswordRules.admitNew(body.password) else {
      throw .bodyInvalid(.password)
    }
    guard let (id, fingerprint) = tokens.read(body.token, now: now) else { throw .resetRefused }
    let wait = setting.withLock { $0.attempt(account: id.text, from: request.client, now: .now) }
    if let wait { throw .tooManyAttempts(retryAfterSeconds: wait) }
    let found: (user: User, password: StoredPassword)?
    do throws(AccountError) { found = try await users.password(of: id) } catch {
      throw Refusal(error)
    }
    guard let found, ResetTokens.fits(fingerprint, found.password) else { throw .resetRefused }
    let new = try await passwords.make(password)
    let isDone: Bool
    do throws(AccountError) {
      isDone = try await users.resetPassword(of: id, old: found.password, new: new, now: now)
    } catch { throw Refusal(error) }
    guard isDone else { throw .resetRefused }  // another use of the same link was faster
    mails.send(.passwordChanged, about: found.user)
    return .json(JSONText.object([("success", true)]).bytes)
  }

  private func admit(_ request: Request) throws(Refusal) {
    guard isOn else { throw .localAccountsOff }
    guard origins.admitsSignIn(request) else { throw .originRefused }
  }
}
