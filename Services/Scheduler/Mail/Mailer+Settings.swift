// The mailer that the settings ask for, and the call by which others put mails into its queue. Which
// service may ask for which mail is decided here.

import Clocks
import Configuration
import Database
import EventLoop
import HTTPClient
import HTTPCodec
import RPC
import ServiceRuntime
import Transport

extension Mailer {
  /// Sends through SMTP2GO when there is a key for it, else into the outbox.
  convenience init(
    _ settings: SchedulerSettings, _ runtime: Runtime, bindery: DatabaseThread, auth: RPCClient
  ) throws(StartFailure) {
    let common = settings.common
    let host = common.publicURL.authority.description
    let carrier: any MailCarrier
    if let key = settings.mailKey {
      do throws(TLSContextError) {
        carrier = SMTP2GO(
          url: settings.mailURL, key: key, sender: settings.mailFrom,
          fetch: OneShotClient(
            loop: runtime.loop, resolver: Resolver(),
            tls: try ClientTLS(trustPath: settings.upstreamCAFile)))
      } catch { throw .service("trust_roots_unreadable") }
    } else {
      carrier = Outbox(
        folder: common.outboxPath, sender: settings.mailFrom, host: Self.identifierHost(host))
    }
    let admin = common.adminURLs.first ?? common.publicURL
    self.init(
      bindery: bindery, carrier: carrier, log: runtime.log,
      dashboard: "\(admin.origin)/dashboard", host: host,
      resetToken: { (user) throws(RPCError) in
        await Job.reach(auth, runtime)
        return try await auth.call(ResetTokenCall.self, ResetTokenCall.Request(userID: user)).token
      })
  }

  /// A message id's right side takes no colon and no bracket.
  static func identifierHost(_ authority: String) -> String {
    String(
      decoding: authority.utf8.map { byte in
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "."), UInt8(ascii: "-"): byte
        default: UInt8(ascii: "-")
        }
      }, as: UTF8.self)
  }

  /// Answers `mail`.
  func answer(in handlers: inout CallHandlers) {
    handlers.answer(MailCall.self) { [self] (request, context) throws(Refusal) in
      guard Self.mails(of: context.caller).contains(request.kind) else { throw .notAllowed }
      let queued: Queued
      do throws(DatabaseError) {
        queued = try await queue(
          request.kind, to: request.recipient,
          // Callers can not take each other's occasions.
          occasion: "\(context.caller.rawValue):\(request.occasion)", values: request.values,
          about: request.userID, at: .now)
      } catch { throw error.isTransient ? .overloaded : .failed }
      switch queued {
      case .new: return MailCall.Response(queued: true)
      case .known: return MailCall.Response(queued: false)
      case .refused: throw .malformedRequest
      }
    }
  }

  /// What each service may ask for.
  static func mails(of caller: Service) -> Set<MailKind> {
    switch caller {
    case .auth: [.newUser, .passwordReset, .passwordChanged]
    case .billing: [.subscriptionConfirmed, .paymentFailed, .accessEnds]
    default: []
    }
  }
}
