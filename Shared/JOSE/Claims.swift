// Decides whether the claims of a verified token hold now, here and for us. Pure: the time is an
// argument. Writing claims is here too, so that both sides agree on their shape.

import Clocks

/// The registered claims that our tokens carry (RFC 7519 section 4.1).
public struct Claims: Equatable, Sendable {
  public var issuer: String
  public var subject: String
  public var audience: String
  public var issuedAt: UnixTime
  public var expiry: UnixTime
  /// What the token belongs to and ends with: a session, a grant, a password's fingerprint.
  public var session: String
  /// The client and the scope of an access token (RFC 9068 section 2.2); nil in other tokens.
  public var access: Access?

  /// What an access token says beyond the rest.
  public struct Access: Equatable, Sendable {
    public var clientID: String
    public var scope: String

    /// A client and what it may do.
    public init(clientID: String, scope: String) {
      self.clientID = clientID
      self.scope = scope
    }
  }

  /// Claims with every member named.
  public init(
    issuer: String, subject: String, audience: String, issuedAt: UnixTime, expiry: UnixTime,
    session: String, access: Access? = nil
  ) {
    self.issuer = issuer
    self.subject = subject
    self.audience = audience
    self.issuedAt = issuedAt
    self.expiry = expiry
    self.session = session
    self.access = access
  }

  /// What a verifier insists on.
  public struct Expectation: Sendable {
    public var issuer: String
    public var audience: String
    /// Clocks may differ by this much.
    public var leewaySeconds: Int64 = 30

    /// An expectation of one issuer and one audience.
    public init(issuer: String, audience: String) {
      self.issuer = issuer
      self.audience = audience
    }
  }

  /// The claims in `payload`, when they meet `expectation` at `now`.
  public init(
    checking payload: [UInt8], against expectation: Expectation, now: UnixTime
  ) throws(JOSEError) {
    let members = try JSONMembers(parsing: payload)
    let leeway = expectation.leewaySeconds
    guard let issuer = members.string("iss") else { throw .claimMissing(.issuer) }
    guard issuer.utf8.elementsEqual(expectation.issuer.utf8) else { throw .claimRefused(.issuer) }
    let audiences: [String]
    switch members["aud"] {
    case .string(let one)?: audiences = [one]
    case .strings(let several)?: audiences = several
    default: throw .claimMissing(.audience)
    }
    guard audiences.count == 1, audiences[0].utf8.elementsEqual(expectation.audience.utf8) else {
      throw .claimRefused(.audience)
    }
    guard let subject = members.string("sub"), !subject.isEmpty else {
      throw .claimMissing(.subject)
    }
    guard let expiry = members.integer("exp"), expiry >= 0 else { throw .claimMissing(.expiry) }
    guard now.seconds - leeway < expiry else { throw .expired }
    guard let issuedAt = members.integer("iat"), issuedAt >= 0 else {
      throw .claimMissing(.issuedAt)
    }
    guard issuedAt <= now.seconds + leeway, issuedAt <= expiry else { throw .notYetValid }
    if members["nbf"] != nil {
      guard let start = members.integer("nbf") else { throw .claimMissing(.notBefore) }
      guard start <= now.seconds + leeway else { throw .notYetValid }
    }
    self.init(
      issuer: issuer, subject: subject, audience: audiences[0],
      issuedAt: UnixTime(seconds: issuedAt), expiry: UnixTime(seconds: expiry),
      session: members.string("sid") ?? "", access: Access(members))
  }

  /// The claims as a JSON object. Members hold origins and identifiers, which need no escape.
  public func encode(tokenID: String) -> [UInt8] {
    let access = access.map { [$0.clientID, $0.scope] } ?? []
    for text in [issuer, subject, audience, session, tokenID] + access {
      precondition(
        text.utf8.allSatisfy {
          $0 >= 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\")
        }, "a claim that needs escaping")
    }
    let more = self.access.map { #","client_id":"\#($0.clientID)","scope":"\#($0.scope)""# } ?? ""
    let text = """
      {"iss":"\(issuer)","sub":"\(subject)","aud":"\(audience)","iat":\(issuedAt.seconds),\
      "exp":\(expiry.seconds),"sid":"\(session)","jti":"\(tokenID)"\(more)}
      """
    return Array(text.utf8)
  }
}

extension Claims.Access {
  /// Both or neither: an access token of ours has both.
  fileprivate init?(_ members: JSONMembers) {
    guard let clientID = members.string("client_id"), let scope = members.string("scope"),
      !clientID.isEmpty
    else { return nil }
    self.init(clientID: clientID, scope: scope)
  }
}
