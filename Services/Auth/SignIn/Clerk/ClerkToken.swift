// Reads a session token of Clerk (https://clerk.com/docs/backend-requests/resources/session-tokens):
// RS256 by a key of Clerk's, for our dashboard, at this moment. Pure: keys and time are arguments.

import Accounts
import Clocks
import HTTPCodec
import JOSE

/// What a verified token of Clerk says of its bearer.
struct ClerkToken: Equatable {
  /// The person's id at Clerk.
  let subject: String
  /// Their address, if the token carries one that we could write to.
  let email: EmailAddress?
  let issuedAt: UnixTime

  /// Whose tokens are believed.
  struct Expectation {
    /// Clerk's origin for this installation.
    let issuer: String
    /// Origins of the pages that tokens may have been made for.
    let parties: [String]
    /// What `aud` must be when there is one: a token for another service is not for us.
    let audience: String
    /// Clocks may differ by this much.
    var leewaySeconds: Int64 = 30
    /// Session tokens live a minute. One that lives longer than this is not one.
    var lifeSecondsMax: Int64 = 86_400
  }

  /// A token before its signature is looked at.
  struct Unverified {
    /// The name of the key that is said to have signed it.
    let keyID: String
    fileprivate let parts: CompactJWS.Parts

    /// The token that `text` spells; nil for anything that is none of Clerk's.
    init?(_ text: String) {
      guard let parts = try? CompactJWS.Parts(parsing: text, algorithm: .rs256),
        let keyID = parts.header.keyID,
        parts.header.type.map({ $0.utf8.elementsEqual("JWT".utf8) }) ?? true
      else { return nil }
      self.parts = parts
      self.keyID = keyID
    }
  }

  /// The token, when `key` signed it and its claims hold at `now`.
  init(
    _ token: Unverified, signedBy key: RSA.PublicKey, _ expectation: Expectation, now: UnixTime
  ) throws(JOSEError) {
    let claims = try JSONMembers(parsing: token.parts.verified(by: key))
    try Self.check(claims, expectation)
    issuedAt = try Self.checkTimes(claims, expectation, now)
    guard let subject = claims.string("sub") else { throw .claimMissing(.subject) }
    guard (1...255).contains(subject.utf8.count), subject.utf8.allSatisfy(Self.isPlain) else {
      throw .claimRefused(.subject)
    }
    self.subject = subject
    email = claims.string("email").flatMap { EmailAddress($0) }
  }

  private static func check(
    _ claims: JSONMembers, _ expectation: Expectation
  ) throws(JOSEError) {
    guard let issuer = claims.string("iss") else { throw .claimMissing(.issuer) }
    guard issuer.utf8.elementsEqual(expectation.issuer.utf8) else { throw .claimRefused(.issuer) }
    if claims["azp"] != nil {
      guard let party = claims.string("azp"),
        expectation.parties.contains(where: { $0.utf8.elementsEqual(party.utf8) })
      else { throw .claimRefused(.party) }
    }
    switch claims["aud"] {
    case nil: break
    case .string(let one)? where one.utf8.elementsEqual(expectation.audience.utf8): break
    default: throw .claimRefused(.audience)
    }
    // Somebody who has not done yet what Clerk asks of them is not signed in.
    guard claims["sts"] == nil || claims["sts"] == .string("active") else {
      throw .claimRefused(.status)
    }
  }

  private static func checkTimes(
    _ claims: JSONMembers, _ expectation: Expectation, _ now: UnixTime
  ) throws(JOSEError) -> UnixTime {
    let leeway = expectation.leewaySeconds
    guard let expiry = claims.integer("exp"), expiry >= 0 else { throw .claimMissing(.expiry) }
    guard let issuedAt = claims.integer("iat"), issuedAt >= 0 else {
      throw .claimMissing(.issuedAt)
    }
    guard now.seconds - leeway < expiry else { throw .expired }
    guard issuedAt <= now.seconds + leeway, issuedAt <= expiry else { throw .notYetValid }
    guard expiry - issuedAt <= expectation.lifeSecondsMax else { throw .claimRefused(.expiry) }
    if claims["nbf"] != nil {
      guard let start = claims.integer("nbf") else { throw .claimMissing(.notBefore) }
      guard start <= now.seconds + leeway else { throw .notYetValid }
    }
    return UnixTime(seconds: issuedAt)
  }

  /// Unreserved characters (RFC 3986): the subject goes into the address of a call of ours.
  private static func isPlain(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
    default: "-._~".utf8.contains(byte)
    }
  }
}
