// Reads the key set (RFC 7517) of somebody who signs with RS256, Clerk for one. Keys for other uses
// are left out; a set in which a name stands for two keys, or that mixes in secret keys, is refused as
// a whole, because what it would verify is anybody's guess. So is an empty one.

import Bytes

/// The RSA keys of an issuer, by name.
public struct RSAKeySet: Sendable {
  /// Keys of one set.
  public static let keysMax = 32

  private let keys: [(keyID: String, key: RSA.PublicKey)]

  /// The set that `bytes` spell.
  public init(parsing bytes: [UInt8]) throws(JOSEError) {
    guard case .objects(let entries)? = try JSONMembers(parsing: bytes)["keys"],
      entries.count <= Self.keysMax
    else { throw .keyMalformed }
    var keys: [(keyID: String, key: RSA.PublicKey)] = []
    var names: [String] = []
    for entry in entries {
      guard entry["kty"] != .string("oct") else { throw .keyMalformed }
      guard let name = entry.string("kid") else { continue }
      guard !names.contains(where: { $0.utf8.elementsEqual(name.utf8) }) else {
        throw .keyMalformed
      }
      names.append(name)
      if let key = try? RSA.PublicKey(jwk: entry) { keys.append((name, key)) }
    }
    self.keys = keys
  }

  /// The number of keys that can be used.
  public var count: Int { keys.count }

  /// The key called `keyID`.
  public subscript(_ keyID: String) -> RSA.PublicKey? {
    keys.first { $0.keyID.utf8.elementsEqual(keyID.utf8) }?.key
  }
}

extension RSA.PublicKey {
  /// The key of a JWK for RS256; refused when it says that it is for anything else.
  public init(jwk: JSONMembers) throws(JOSEError) {
    guard jwk["kty"] == .string("RSA"), jwk["use"] == nil || jwk["use"] == .string("sig"),
      jwk["alg"] == nil || jwk["alg"] == .string("RS256"), jwk["d"] == nil,
      let modulus = jwk.string("n").flatMap({ Base64URL.decode($0) }),
      let exponent = jwk.string("e").flatMap({ Base64URL.decode($0) })
    else { throw .keyMalformed }
    if let operations = jwk["key_ops"] {
      guard case .strings(let names) = operations,
        !names.isEmpty, names.allSatisfy({ $0 == "sign" || $0 == "verify" })
      else { throw .keyMalformed }
    }
    try self.init(modulus: modulus, exponent: exponent)
  }
}
