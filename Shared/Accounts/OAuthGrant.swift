// The tokens of a connection that was made by OAuth, together with everything a refresh and a
// revocation need: the client they were issued to and the endpoints. One sealed value holds all of
// it, so that no later change of settings or catalogue can send a token elsewhere.

import Bytes
import Clocks
import Providers

/// An OAuth grant, opened.
public struct OAuthGrant: Sendable, Equatable {
  public var accessToken: String
  public var refreshToken: String?
  /// When the access token ends; nil when nobody said.
  public var expiresAt: UnixTime?
  public var issuedAt: UnixTime
  /// When the refresh token ends, if the provider said.
  public var refreshExpiresAt: UnixTime?
  /// As granted, or as asked for.
  public var scope: String?
  public var clientID: String
  public var clientSecret: String?
  public var clientAuthentication: OAuthRules.ClientAuthentication
  public var tokenURL: String
  public var revocationURL: String?
  public var resource: String?
  public var issuer: String?

  /// A grant of these parts.
  public init(
    accessToken: String, refreshToken: String?, expiresAt: UnixTime?, issuedAt: UnixTime,
    refreshExpiresAt: UnixTime?, scope: String?, clientID: String, clientSecret: String?,
    clientAuthentication: OAuthRules.ClientAuthentication, tokenURL: String,
    revocationURL: String?, resource: String?, issuer: String?
  ) {
    self.accessToken = accessToken
    self.refreshToken = refreshToken
    self.expiresAt = expiresAt
    self.issuedAt = issuedAt
    self.refreshExpiresAt = refreshExpiresAt
    self.scope = scope
    self.clientID = clientID
    self.clientSecret = clientSecret
    self.clientAuthentication = clientAuthentication
    self.tokenURL = tokenURL
    self.revocationURL = revocationURL
    self.resource = resource
    self.issuer = issuer
  }

  /// The grant in a token set; nil when the set holds none (an API key) or is damaged.
  public init?(tokenSet: UnsafeRawBufferPointer) {
    func text(_ field: TokenField) -> String? {
      TokenSetReader.value(of: field, in: tokenSet).flatMap {
        String(validating: $0, as: UTF8.self)
      }
    }
    func time(_ field: TokenField) -> UnixTime? {
      text(field).flatMap { Int64($0) }.map { UnixTime(seconds: $0) }
    }
    guard let accessToken = text(.accessToken), let clientID = text(.clientID),
      let tokenURL = text(.tokenURL), let issuedAt = time(.issuedAt),
      let authentication = text(.clientAuthentication).flatMap({
        OAuthRules.ClientAuthentication(rawValue: $0)
      })
    else { return nil }
    self.init(
      accessToken: accessToken, refreshToken: text(.refreshToken), expiresAt: time(.expiresAt),
      issuedAt: issuedAt, refreshExpiresAt: time(.refreshExpiresAt), scope: text(.scope),
      clientID: clientID, clientSecret: text(.clientSecret), clientAuthentication: authentication,
      tokenURL: tokenURL, revocationURL: text(.revocationURL), resource: text(.resource),
      issuer: text(.issuer))
  }

  /// The token set to seal.
  public var tokenSet: Secret {
    var writer = TokenSetWriter()
    let fields: [(field: TokenField, text: String?)] = [
      (.accessToken, accessToken), (.refreshToken, refreshToken),
      (.expiresAt, expiresAt.map { String($0.seconds) }), (.issuedAt, String(issuedAt.seconds)),
      (.refreshExpiresAt, refreshExpiresAt.map { String($0.seconds) }), (.scope, scope),
      (.clientID, clientID), (.clientSecret, clientSecret),
      (.clientAuthentication, clientAuthentication.rawValue), (.tokenURL, tokenURL),
      (.revocationURL, revocationURL), (.resource, resource), (.issuer, issuer),
    ]
    for (field, text) in fields {
      guard var text else { continue }
      text.withUTF8 { _ = writer.add(field, UnsafeRawBufferPointer($0)) }
    }
    return writer.finish()
  }
}
