// Why a token or a key is not believed. Operators and tests see the case; every caller answers the
// outside with one and the same refusal.

/// A token, claim or key that is refused.
public enum JOSEError: Error, Equatable, Sendable {
  /// Not three canonical base64url parts of a bearable size.
  case notCompact
  /// The header or the claims are not one strict JSON object.
  case notAnObject
  /// The algorithm is not the one this key signs with.
  case algorithmRefused
  /// The header carries a member that would choose a key or change the meaning.
  case headerRefused
  /// No key of ours has this identifier.
  case keyUnknown
  /// The signature is not this key's over these bytes.
  case signatureWrong
  /// The token is of another kind (`typ`).
  case typeRefused
  /// A claim that must be there is missing or of the wrong shape.
  case claimMissing(Claim)
  /// A claim names someone or something else.
  case claimRefused(Claim)
  /// The token's life ended or has not begun.
  case expired, notYetValid
  /// A key is malformed, off its curve, or does not fit its other half.
  case keyMalformed
  /// The key file is not what `SigningKeys` writes; the position of the entry, counted from zero.
  case keyFileMalformed(entry: Int)

  /// The claims that are checked.
  public enum Claim: Equatable, Sendable {
    case issuer, audience, subject, expiry, issuedAt, notBefore, party, status
  }
}
