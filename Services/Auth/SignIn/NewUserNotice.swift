// Tells the operator of a new account, through the scheduler's mail queue. Nobody waits for it, and a
// registration never fails because of it.

import Accounts
import EventLoop
import Logging
import RPC

/// Asks for the mail to ADMIN_NOTIFICATION_EMAIL.
struct NewUserNotice: Sendable {
  let recipient: String
  let scheduler: RPCClient
  let loop: EventLoop
  let log: Log

  /// Begins to; does not wait.
  func send(_ user: User) {
    let (recipient, scheduler, log) = (recipient, scheduler, log)
    let request = MailCall.Request(
      kind: .newUser, recipient: recipient, occasion: "new_user:\(user.id.text)",
      values: ["email": user.email])
    loop.spawn {
      do throws(RPCError) { _ = try await scheduler.call(MailCall.self, request) } catch {
        log.warning("new_user_not_told", ["user": .idPrefix(user.id.text)])
      }
    }
  }
}
