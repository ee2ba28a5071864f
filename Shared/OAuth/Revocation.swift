// How is a service told that a grant shall end, and did it listen? Builds the requests and judges the
// answers; when they are sent, and how often, is for others to say. The refresh token goes first: with
// it alone new tokens could be made.

import FoundationEssentials
import HTTPClient
import HTTPCodec
import Providers

/// Ending grants at their services.
public enum Revocation {
  /// How a request ended.
  public enum Outcome: Sendable, Equatable {
    /// The token is dead, or was before.
    case done
    /// Ask again; after that many seconds when the answer says so.
    case retry(afterSeconds: Int?)
    /// The service will not do it, however often it is asked.
    case impossible
  }

  /// The requests that end a grant, in their order; empty when the service knows no way.
  /// - Parameters:
  ///   - url: The catalogue's or the discovered revocation endpoint.
  ///   - form: What is sent there.
  public static func requests(
    accessToken: String, refreshToken: String?, client: ClientIdentity, url: WebURL?,
    form: OAuthRules.Revocation
  ) -> [ClientRequest] {
    guard let url else { return [] }
    switch form {
    case .none: return []
    case .rfc7009:
      let tokens =
        [refreshToken.map { ($0, "refresh_token") }] + [(accessToken, "access_token")]
      return tokens.compactMap { $0 }.map { token, hint in
        TokenEndpoint.request(
          to: url,
          [
            Form.Pair(name: "token", value: token),
            Form.Pair(name: "token_type_hint", value: hint),
          ], client)
      }
    case .github: return gitHub(accessToken, client, url).map { [$0] } ?? []
    case .slack:
      return [
        ClientRequest(
          method: .post, origin: Origin(url), target: url.target,
          fields: [
            ("accept", Array("application/json".utf8)),
            ("authorization", Array("Bearer \(accessToken)".utf8)),
            ("content-type", Array("application/x-www-form-urlencoded".utf8)),
          ])
      ]
    }
  }

  /// "Delete an app token": it ends the access token and the refresh token that came with it.
  private static func gitHub(
    _ accessToken: String, _ client: ClientIdentity, _ url: WebURL
  ) -> ClientRequest? {
    guard let secret = client.secret,
      let body = try? JSONEncoder().encode(["access_token": accessToken])
    else { return nil }
    let pair = Data("\(client.id):\(secret)".utf8).base64EncodedString()
    let base = url.path.utf8.last == UInt8(ascii: "/") ? String(url.path.dropLast()) : url.path
    return ClientRequest(
      method: .delete, origin: Origin(url),
      target: "\(base)/\(PercentCoding.encode(client.id))/token",
      fields: [
        ("accept", Array("application/vnd.github+json".utf8)),
        ("authorization", Array("Basic \(pair)".utf8)),
        ("content-type", Array("application/json".utf8)),
      ], body: [UInt8](body))
  }

  /// What an answer means. RFC 7009 section 2.2: also an unknown token is answered with 200.
  public static func outcome(
    of answer: ClientResponse, form: OAuthRules.Revocation
  ) -> Outcome {
    switch answer.status {
    case 408, 429, 500...: return .retry(afterSeconds: answer.retryAfterSeconds)
    case 200..<300 where form == .slack: return slackOutcome(answer)
    case 200..<300: return .done
    // GitHub has no such token (any more).
    case 404 where form == .github, 422 where form == .github: return .done
    case 400 where form == .rfc7009: break
    default: return .impossible
    }
    let error = AnswerFields(body: answer.body, isForm: answer.isForm)?.text("error")
    return error == "invalid_token" || error == "invalid_grant" ? .done : .impossible
  }

  /// Slack says in the body whether it worked.
  private static func slackOutcome(_ answer: ClientResponse) -> Outcome {
    guard let document = try? MetadataDocument(reading: answer.body) else {
      return .retry(afterSeconds: nil)
    }
    if (try? document.flag("ok")) == true { return .done }
    switch (try? document.text("error")) ?? "" {
    case "token_revoked", "token_expired", "invalid_auth", "not_authed", "account_inactive":
      return .done
    case "ratelimited", "internal_error", "fatal_error", "service_unavailable", "request_timeout":
      return .retry(afterSeconds: answer.retryAfterSeconds)
    default: return .impossible
    }
  }
}
