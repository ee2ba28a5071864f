// Asks for the mails about accounts, through the scheduler's queue. Nobody waits for one, and nothing
// that a person does fails because of one. The words are the scheduler's.

import Accounts
import Bytes
import Clocks
import EventLoop
import Logging
import RPC

/// What there is to say about accounts.
protocol AccountMails: Sendable {
  /// Begins to have a mail sent; does not wait.
  func send(_ mail: AccountMail, about user: User)
}

/// The mails about accounts.
enum AccountMail: Equatable {
  /// To the operator.
  case newUser
  /// To the person, with a link that the scheduler asks for when it sends the mail.
  case passwordReset
  /// To the person.
  case passwordChanged
}

/// Asks the scheduler.
struct RemoteMails: AccountMails {
  /// ADMIN_NOTIFICATION_EMAIL; nil: the operator is not told.
  let operatorAddress: String?
  let scheduler: RPCClient
  let loop: EventLoop
  let log: Log

  func send(_ mail: AccountMail, about user: User) {
    guard let request = request(mail, user) else { return }
    let (scheduler, log) = (scheduler, log)
    loop.spawn {
      do throws(RPCError) { _ = try await scheduler.call(MailCall.self, request) } catch {
        log.warning(
          "mail_not_queued",
          ["mail": .literal(request.kind.label), "user": .idPrefix(user.id.text)])
      }
    }
  }

  private func request(_ mail: AccountMail, _ user: User) -> MailCall.Request? {
    // Each asking is an occasion of its own; an account is new once.
    let once = Base64URL.encode(Randomness.bytes(count: 16))
    switch mail {
    case .newUser:
      guard let operatorAddress else { return nil }
      return MailCall.Request(
        kind: .newUser, recipient: operatorAddress, occasion: "new_user:\(user.id.text)",
        values: ["email": user.email.isEmpty ? "Somebody without an address" : user.email],
        userID: user.id.text)
    case .passwordReset, .passwordChanged:
      guard !user.email.isEmpty else { return nil }
      let kind = mail == .passwordReset ? MailKind.passwordReset : .passwordChanged
      return MailCall.Request(
        kind: kind, recipient: user.email, occasion: "\(kind.rawValue):\(once)", values: [:],
        userID: user.id.text)
    }
  }
}

extension MailKind {
  /// The name for logs.
  fileprivate var label: StaticString {
    switch self {
    case .newUser: "new_user"
    case .passwordReset: "password_reset"
    case .passwordChanged: "password_changed"
    default: "other"
    }
  }
}
