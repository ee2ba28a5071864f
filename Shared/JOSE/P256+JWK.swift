// Reads a P-256 public key out of the members of a JWK (RFC 7517, RFC 7518 section 6.2). A key that
// says it is for something else than ES256 signatures is refused.

import Bytes

extension P256.PublicKey {
  /// The public half that `members` describe.
  public init(jwk members: JSONMembers) throws(JOSEError) {
    guard members["kty"] == .string("EC"), members["crv"] == .string("P-256"),
      members["alg"] == nil || members["alg"] == .string("ES256"),
      members["use"] == nil || members["use"] == .string("sig"),
      let x = members.string("x").flatMap({ Base64URL.decode($0) }),
      let y = members.string("y").flatMap({ Base64URL.decode($0) })
    else { throw .keyMalformed }
    if let operations = members["key_ops"] {
      guard case .strings(let names) = operations,
        !names.isEmpty, names.allSatisfy({ $0 == "sign" || $0 == "verify" })
      else { throw .keyMalformed }
    }
    try self.init(x: x, y: y)
  }
}
