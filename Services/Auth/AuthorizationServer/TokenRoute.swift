// Gives tokens for codes and refresh tokens (OAuth 2.1 section 3.2). What a request is held against is
// read first and decided here; what may happen once is one compare-and-swap in the store, so that of
// any number of equal requests one wins. The client is checked before anything else of a code or token,
// so that nobody can end a grant by guessing. A wrong verifier, redirect address or resource consumes
// the code; a refresh by another client or for another resource leaves the grant as it was.

import Accounts
import Bytes
import Clocks
import HTTPCodec
import HTTPServer
import JOSE
import OAuth
import Vault

/// POST /oauth/token
struct TokenRoute: Sendable {
  private static let verifierBytes = 43...128

  let grants: any GrantStore
  let proof: ClientProof
  let keys: KeyAgent
  let mint: AccessTokenMint
  let epochs: RevocationEpochs
  let farewell: Farewell

  func respond(_ request: Request, now: UnixTime) async throws(OAuthRefusal) -> Response {
    let form = try OAuthForm.read(request, repeatable: "resource")
    guard let type = OAuthForm.value("grant_type", form) else { throw .invalidRequest }
    let isCode = type.utf8.elementsEqual("authorization_code".utf8)
    guard isCode || type.utf8.elementsEqual("refresh_token".utf8) else {
      throw .unsupportedGrantType
    }
    let client = try await proof.client(of: request, form, now: now)
    let (grant, issued) =
      try await isCode
      ? exchange(form, client, now: now) : refresh(form, client, now: now)
    return .json(
      JSONText.object([
        ("access_token", .string(issued.accessToken)), ("token_type", "Bearer"),
        ("expires_in", .integer(issued.access.expiresAt.seconds - now.seconds)),
        ("refresh_token", .string(issued.refreshToken)), ("scope", .string(grant.scope)),
      ]).bytes)
  }

  // MARK: A code

  private func exchange(
    _ form: Form, _ client: ProvenClient, now: UnixTime
  ) async throws(OAuthRefusal) -> (GrantRecord, KeyAgent.Issued) {
    guard let code = OAuthForm.value("code", form),
      let verifier = OAuthForm.value("code_verifier", form)
    else { throw .invalidRequest }
    guard let secret = CredentialSecret(text: code) else { throw .invalidGrant }
    let found: (grant: GrantRecord, code: CodeRecord)?
    do throws(AccountError) { found = try await grants.grant(code: secret.lookup, now: now) } catch
    {
      throw OAuthRefusal(error)
    }
    guard let (grant, stored) = found, grant.clientID.utf8.elementsEqual(client.id.utf8) else {
      throw .invalidGrant
    }
    guard let wrap = stored.wrap else {
      try await end(grant, because: .codeReused, now: now)
      throw .invalidGrant
    }
    guard stored.expiresAt > now else { throw .invalidGrant }
    let isRight =
      Self.verifierBytes.contains(verifier.utf8.count)
      && constantTimeEqual(SHA256Digest.of(verifier), stored.challenge)
      && OAuthForm.value("redirect_uri", form).map {
        $0.utf8.elementsEqual(stored.redirectURI.utf8)
      } ?? true
    let isTarget = Self.isGranted(form, grant)
    guard isRight, isTarget,
      let issued = keys.exchange(secret, wrap: wrap, of: grant, minting: mint, now: now),
      let refresh = issued.refresh
    else {
      try await end(grant, because: .codeMisused, now: now)
      throw isTarget ? OAuthRefusal.invalidGrant : OAuthRefusal.invalidTarget
    }
    let isFirst: Bool
    do throws(AccountError) {
      isFirst = try await grants.spendCode(
        of: grant.id, for: refresh, access: issued.access, now: now)
    } catch { throw OAuthRefusal(error) }
    guard isFirst else {
      // Somebody else came with the same code in this moment.
      try await end(grant, because: .codeReused, now: now)
      throw .invalidGrant
    }
    return (grant, issued)
  }

  // MARK: A refresh token

  private func refresh(
    _ form: Form, _ client: ProvenClient, now: UnixTime
  ) async throws(OAuthRefusal) -> (GrantRecord, KeyAgent.Issued) {
    guard let text = OAuthForm.value("refresh_token", form) else { throw .invalidRequest }
    guard ScopeRequest.admits(OAuthForm.value("scope", form)) else { throw .invalidScope }
    guard let token = GrantRefreshToken(text) else { throw .invalidGrant }
    let shown = token.secret.lookup
    // Another request may rotate between our look and our change; then the token is the previous one.
    for _ in 0..<4 {
      guard let (grant, stored) = try await find(token.familyHash, client, form, now: now) else {
        await farewell.part(token)
        throw .invalidGrant
      }
      let issued: KeyAgent.Issued?
      if shown == stored.current {
        issued = keys.rotate(token, stored, of: grant, minting: mint, now: now)
      } else if shown == stored.previous,
        now.seconds - stored.rotatedAt.seconds <= GrantLife.graceSecondsMax
      {
        issued = keys.repeatRotation(token, stored, of: grant, minting: mint, now: now)
      } else {
        try await end(grant, because: .tokenReused, now: now)
        throw .invalidGrant
      }
      guard let issued else { throw .invalidGrant }
      if try await keep(issued, grant, stored, now: now) { return (grant, issued) }
    }
    throw .overloaded
  }

  private func find(
    _ family: Digest256, _ client: ProvenClient, _ form: Form, now: UnixTime
  ) async throws(OAuthRefusal) -> (GrantRecord, RefreshRecord)? {
    let found: (grant: GrantRecord, refresh: RefreshRecord)?
    do throws(AccountError) { found = try await grants.grant(family: family, now: now) } catch {
      throw OAuthRefusal(error)
    }
    guard let (grant, stored) = found, grant.clientID.utf8.elementsEqual(client.id.utf8) else {
      return nil
    }
    guard Self.isGranted(form, grant) else { throw .invalidTarget }
    return (grant, stored)
  }

  /// False when the grant moved on meanwhile.
  private func keep(
    _ issued: KeyAgent.Issued, _ grant: GrantRecord, _ stored: RefreshRecord, now: UnixTime
  ) async throws(OAuthRefusal) -> Bool {
    do throws(AccountError) {
      if let next = issued.refresh {
        return try await grants.rotate(
          grant.id, from: stored.current, to: next, access: issued.access, now: now)
      }
      return try await grants.addAccessToken(
        issued.access, to: grant.id, while: stored.current, now: now)
    } catch { throw OAuthRefusal(error) }
  }

  // MARK: Both

  /// Whether every resource that is named is the granted one.
  private static func isGranted(_ form: Form, _ grant: GrantRecord) -> Bool {
    form.all("resource").allSatisfy { $0.isEmpty || $0.utf8.elementsEqual(grant.resource.utf8) }
  }

  private func end(
    _ grant: GrantRecord, because reason: GrantEnd, now: UnixTime
  ) async throws(OAuthRefusal) {
    do throws(AccountError) {
      _ = try await grants.endGrant(grant.id, because: reason, now: now)
    } catch { throw OAuthRefusal(error) }
    epochs.bump(grant.connectionID)
  }
}

/// Forms as OAuth endpoints take them.
enum OAuthForm {
  /// The form in the body; what stands in the query is ignored.
  /// - Throws: `invalidRequest` for another media type, a malformed form, or a repeated parameter.
  static func read(
    _ request: Request, repeatable: String? = nil
  ) throws(OAuthRefusal) -> Form {
    guard request.fieldCount("content-type") == 1, let type = request.field("content-type"),
      type.utf8.prefix(while: { $0 != UInt8(ascii: ";") && $0 != 0x20 })
        .map({ (0x41...0x5a).contains($0) ? $0 + 32 : $0 })
        .elementsEqual("application/x-www-form-urlencoded".utf8),
      let form = try? Form(parsing: request.body)
    else { throw .invalidRequest }
    let single = Form(
      form.pairs.filter { pair in
        repeatable.map { !pair.name.utf8.elementsEqual($0.utf8) } ?? true
      })
    guard single.repeatedName == nil else { throw .invalidRequest }
    return form
  }

  /// A parameter; without a value it counts as absent.
  static func value(_ name: String, _ form: Form) -> String? {
    form.only(name).flatMap { $0.isEmpty ? nil : $0 }
  }
}
