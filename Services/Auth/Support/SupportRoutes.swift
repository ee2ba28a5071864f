// What anybody may send without an account: a message to the help desk, and a word that a service is
// wished for. Both are counted by network before anything is done.

import Accounts
import Clocks
import Configuration
import HTTPServer
import Providers
import Synchronization

/// POST /api/support/nonce, POST /api/support/ticket, POST /api/interest
final class SupportRoutes: Sendable {
  private let desk: (any HelpDesk)?
  private let interest: any InterestStore
  private let authentication: Authentication
  private let comingSoon: @Sendable (_ service: String) -> Bool
  private let nonces = Mutex(SupportNonces())
  private let asking = Mutex(
    SignInThrottle(
      SignInThrottle.Limits(
        perAccountAndNetwork: 30, perAccount: .max, perNetwork: 30, windowSeconds: 900)))
  private let wishing = Mutex(
    SignInThrottle(
      SignInThrottle.Limits(
        perAccountAndNetwork: 1, perAccount: .max, perNetwork: 100, windowSeconds: 3600)))

  /// - Parameter comingSoon: whether a service is in the catalogue and can not be connected here.
  init(
    desk: (any HelpDesk)?, interest: any InterestStore, authentication: Authentication,
    comingSoon: @escaping @Sendable (_ service: String) -> Bool
  ) {
    self.desk = desk
    self.interest = interest
    self.authentication = authentication
    self.comingSoon = comingSoon
  }

  /// POST /api/support/nonce
  func nonce(_ request: Request) throws(Refusal) -> Response {
    guard authentication.origins.admitsSignIn(request) else { throw .originRefused }
    let wait = asking.withLock { $0.attempt(account: "", from: request.client, now: .now) }
    if let wait { throw .tooManyAttempts(retryAfterSeconds: wait) }
    guard let nonce = nonces.withLock({ $0.make(now: .now) }) else { throw .overloaded }
    return .json(JSONText.object([("nonce", .string(nonce))]).bytes)
  }

  /// POST /api/support/ticket
  func ticket(_ request: Request) async throws(Refusal) -> Response {
    guard authentication.origins.admitsSignIn(request) else { throw .originRefused }
    let form = try SupportMessage.form(of: request)
    guard let nonce = form.text("nonce"), !nonce.isEmpty else { throw .bodyInvalid(.nonce) }
    guard nonces.withLock({ $0.use(nonce, now: .now) }) else { throw .nonceRefused }
    let message = try SupportMessage(form)
    guard let desk else { throw .helpDeskOff }
    guard let number = await desk.open(message) else { throw .ticketFailed }
    return .json(JSONText.object([("ok", true), ("ticket_number", .string(number))]).bytes)
  }

  private struct Wish: Decodable { let service: String }

  /// POST /api/interest
  func interest(_ request: Request, now: UnixTime) async throws(Refusal) -> Response {
    guard authentication.origins.admitsSignIn(request) else { throw .originRefused }
    let service = String(try RequestBody.read(request, as: Wish.self).service.prefix(64))
    guard service.utf8.allSatisfy(Self.isNameByte), comingSoon(service) else {
      throw .bodyInvalid(.service)
    }
    let answer = Response.json(JSONText.object([("ok", true)]).bytes)
    let wait = wishing.withLock { $0.attempt(account: service, from: request.client, now: .now) }
    guard wait == nil else { return answer }
    let caller = try? await authentication.caller(of: request, now: now)
    do throws(AccountError) {
      try await interest.noteInterest(in: service, by: caller?.user.id, now: now)
    } catch { throw Refusal(error) }
    return answer
  }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "-"), UInt8(ascii: "_"): true
    default: false
    }
  }
}

extension Provider {
  /// Whether people can wish for it: it is known, and can not be connected here yet, because it
  /// takes a client of the operator's that is not set.
  func isComing(given client: OAuthClient?) -> Bool {
    guard apiKey == nil, let oauth else { return false }
    return oauth.registration == .static && client == nil
  }
}
