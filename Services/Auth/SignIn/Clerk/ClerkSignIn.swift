// People who sign in at Clerk: their session tokens are believed like our own, and the first call of
// somebody new makes their account. What Clerk says of an address is noted to write to, and never
// leads to an account that somebody opened here.

import Accounts
import Bytes
import Clocks
import Configuration
import FoundationEssentials
import HTTPClient
import HTTPCodec
import JOSE
import Logging
import OAuth

/// Believes tokens of Clerk, or not.
struct ClerkSignIn: Sendable {
  let identities: any ClerkStore
  let keys: ClerkKeys
  let expectation: ClerkToken.Expectation
  let usersMax: Int64?
  let mails: any AccountMails

  init(_ clerk: AuthSettings.Clerk, _ parts: AuthAPI.Parts) {
    let common = parts.settings.common
    identities = parts.accounts
    keys = ClerkKeys(url: clerk.jwksURL, fetching: parts.fetch, log: parts.log)
    expectation = ClerkToken.Expectation(
      issuer: clerk.issuer, parties: common.adminURLs.map(\.origin),
      audience: common.publicURL.origin)
    usersMax = parts.settings.usersMax.map { Int64($0) }
    mails = parts.mails
  }

  /// Who calls with `text`; nil when it is no token of Clerk's that holds now.
  /// - Throws: `usersMaxReached`; `overloaded` while Clerk's keys can not be had.
  func caller(_ text: String, now: UnixTime) async throws(Refusal) -> Caller? {
    guard let unverified = ClerkToken.Unverified(text) else { return nil }
    let key: RSA.PublicKey
    switch await keys.find(unverified.keyID) {
    case .key(let found): key = found
    case .unknown: return nil
    case .unreachable: throw .overloaded
    }
    let token: ClerkToken
    do throws(JOSEError) {
      token = try ClerkToken(unverified, signedBy: key, expectation, now: now)
    } catch { return nil }
    do throws(AccountError) {
      let found = try await identities.clerkUser(
        token.subject, email: token.email, issuedAt: token.issuedAt, usersMax: usersMax, now: now)
      guard let found else { return nil }
      if found.isNew { mails.send(.newUser, about: found.user) }
      return Caller(user: found.user, proof: .clerk)
    } catch { throw Refusal(error) }
  }
}

/// Clerk's own API, as far as accounts end.
struct ClerkAPI: Sendable {
  private static let patience = Duration.seconds(10)

  let url: WebURL
  let key: SecretSetting
  let fetching: any Fetching

  /// Deletes a person; true when they are gone, now or before.
  /// https://clerk.com/docs/reference/backend-api/tag/Users#operation/DeleteUser
  func delete(_ subject: String) async -> Bool {
    let path = url.path.utf8.last == 0x2f ? String(url.path.dropLast()) : url.path
    let request = ClientRequest(
      method: .delete, origin: Origin(url), target: "\(path)/v1/users/\(subject)",
      fields: [
        ("accept", Array("application/json".utf8)),
        ("authorization", Array("Bearer ".utf8) + key.withBytes { Array($0) }),
      ])
    do throws(ClientError) {
      let answer = try await fetching.fetch(
        request, policy: .operatorNamed, deadline: .now.advanced(by: Self.patience),
        bodyBytesMax: 64 * 1024)
      return (200...299).contains(answer.status) || answer.status == 404
    } catch { return false }
  }
}
