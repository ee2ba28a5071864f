// The token in the link by which a person sets a new password. Nothing of it is stored: it is signed,
// of a kind of its own, good for an hour, and bound to the password as it is stored now, so that it
// dies with the first change, its own included. It is made when its mail is sent.

import Accounts
import Bytes
import Clocks
import JOSE
import RPC

/// Makes and reads the tokens of reset links.
struct ResetTokens: Sendable {
  /// The audience of these tokens alone.
  static let audience = "bindery-reset"

  let keys: CurrentSigningKeys
  let issuer: String

  /// A token for `user`, who has `password` and may change it until `end`.
  func make(
    for user: UserID, password: StoredPassword, until end: UnixTime, now: UnixTime
  ) -> String {
    keys.value.sign(
      Claims(
        issuer: issuer, subject: user.text, audience: Self.audience, issuedAt: now, expiry: end,
        session: Self.fingerprint(of: password)),
      type: .reset)
  }

  /// Whom a token is for; nil when it is none of ours or its time is over.
  func read(_ token: String, now: UnixTime) -> (user: UserID, fingerprint: String)? {
    do throws(JOSEError) {
      var expectation = Claims.Expectation(issuer: issuer, audience: Self.audience)
      expectation.leewaySeconds = 0
      let claims = try keys.value.verify(token, type: .reset, expectation: expectation, now: now)
      return UserID(claims.subject).map { ($0, claims.session) }
    } catch { return nil }
  }

  /// Whether a token with this fingerprint was made for `password`.
  static func fits(_ fingerprint: String, _ password: StoredPassword) -> Bool {
    constantTimeEqual(Array(fingerprint.utf8), Array(Self.fingerprint(of: password).utf8))
  }

  /// A digest of the stored hash, whose salt is random: it tells nothing of the password.
  private static func fingerprint(of password: StoredPassword) -> String {
    let input =
      Array("bindery reset\0".utf8) + [UInt8(clamping: password.salt.count)] + password.salt
      + password.hash
    return Base64URL.encode(Array(SHA256Digest.of(input)[..<16]))
  }
}

/// The call `reset_token`: only for people who asked lately, so that the scheduler can not come to
/// other accounts.
struct ResetTokenCalls: Sendable {
  let users: any UserStore
  let tokens: ResetTokens

  /// Adds the answer to `handlers`.
  func answer(in handlers: inout CallHandlers) {
    handlers.answer(ResetTokenCall.self) { [self] (request, _) throws(RPC.Refusal) in
      ResetTokenCall.Response(token: try await token(request.userID, now: .now))
    }
  }

  func token(_ id: String, now: UnixTime) async throws(RPC.Refusal) -> String? {
    guard let user = UserID(id) else { throw .malformedRequest }
    let asked: (password: StoredPassword, until: UnixTime)?
    do throws(AccountError) {
      asked = try await users.resetAsked(of: user, now: now)
    } catch { throw RPC.Refusal(error) }
    return asked.map { tokens.make(for: user, password: $0.password, until: $0.until, now: now) }
  }
}
