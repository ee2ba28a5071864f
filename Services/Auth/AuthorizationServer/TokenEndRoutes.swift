// Ends tokens (RFC 7009) and tells about them (RFC 7662). A token that we do not know is no error when
// it is to be ended, and inactive when it is asked about. Asking takes a secret: a public client could
// be anybody.

import Accounts
import Clocks
import HTTPCodec
import HTTPServer
import Vault

/// POST /oauth/revoke and POST /oauth/introspect
struct TokenEndRoutes: Sendable {
  let grants: any GrantStore
  let proof: ClientProof
  let epochs: RevocationEpochs
  let issuer: String

  private enum Found {
    case refresh(GrantRecord, isCurrent: Bool)
    case access(GrantRecord, Digest256, expiresAt: UnixTime)

    var grant: GrantRecord {
      switch self {
      case .refresh(let grant, _), .access(let grant, _, _): grant
      }
    }
  }

  func revoke(_ request: Request, now: UnixTime) async throws(OAuthRefusal) -> Response {
    let form = try OAuthForm.read(request)
    let client = try await proof.client(of: request, form, now: now)
    guard let token = OAuthForm.value("token", form) else { throw .invalidRequest }
    guard let found = try await find(token, now: now) else { return Response(status: 200) }
    // Told as the standard wants it (RFC 7009 section 2.1): who asks holds the token already.
    guard found.grant.clientID.utf8.elementsEqual(client.id.utf8) else { throw .invalidGrant }
    do throws(AccountError) {
      switch found {
      case .refresh(let grant, _):
        _ = try await grants.endGrant(grant.id, because: .revoked, now: now)
      case .access(_, let lookup, _): try await grants.removeAccessToken(lookup)
      }
    } catch { throw OAuthRefusal(error) }
    epochs.bump(found.grant.connectionID)
    return Response(status: 200)
  }

  func introspect(_ request: Request, now: UnixTime) async throws(OAuthRefusal) -> Response {
    let form = try OAuthForm.read(request)
    let client = try await proof.client(of: request, form, now: now)
    guard client.isConfidential else { throw .invalidClient(basic: true) }
    guard let token = OAuthForm.value("token", form) else { throw .invalidRequest }
    let inactive = Response.json(JSONText.object([("active", false)]).bytes)
    guard let found = try await find(token, now: now),
      found.grant.clientID.utf8.elementsEqual(client.id.utf8)
    else { return inactive }
    let grant = found.grant
    var members: [(name: String, value: JSONText)] = [
      ("active", true), ("scope", .string(grant.scope)), ("client_id", .string(grant.clientID)),
      ("sub", .string(grant.userID.text)), ("aud", .string(grant.resource)),
      ("iss", .string(issuer)),
    ]
    switch found {
    case .refresh(_, isCurrent: false): return inactive
    case .refresh: members.append(("exp", .integer(grant.expiresAt.seconds)))
    case .access(_, _, let end):
      members.append(("exp", .integer(end.seconds)))
      members.append(("token_type", "Bearer"))
    }
    return .json(JSONText.object(members).bytes)
  }

  /// Either kind is looked for by its own shape, whatever a hint says.
  private func find(_ token: String, now: UnixTime) async throws(OAuthRefusal) -> Found? {
    do throws(AccountError) {
      if let refresh = GrantRefreshToken(token) {
        let shown = refresh.secret.lookup
        guard let (grant, stored) = try await grants.grant(family: refresh.familyHash, now: now),
          shown == stored.current || shown == stored.previous
        else { return nil }
        return .refresh(grant, isCurrent: shown == stored.current)
      }
      guard token.utf8.starts(with: "eyJ".utf8) else { return nil }
      var text = token
      let lookup = text.withUTF8 {
        CredentialSecret(accessToken: UnsafeRawBufferPointer($0), hashing: HashContext()).lookup
      }
      guard let (grant, end) = try await grants.grant(accessToken: lookup, now: now) else {
        return nil
      }
      return .access(grant, lookup, expiresAt: end)
    } catch { throw OAuthRefusal(error) }
  }
}
