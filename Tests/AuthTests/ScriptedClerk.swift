// Clerk for tests, without a socket: an RSA key of its own, its key set, and tokens with any header
// and claims.

import Bytes
import COpenSSL
import Clocks
import Configuration
import Testing

/// Signs session tokens as Clerk does.
final class ScriptedClerk: @unchecked Sendable {  // the key is read only, once made
  static let keySet = "https://clerk.example/.well-known/jwks.json"
  static let settings = [
    "CLERK_JWKS_URL": keySet, "CLERK_SECRET_KEY": "sk_test_canary",
    "CLERK_API_URL": "https://api.clerk.example/",
  ]

  private let key: OpaquePointer
  let keyID: String

  init(keyID: String = "ins_1", bits: Int32 = 2048) throws {
    self.keyID = keyID
    let context = try #require(EVP_PKEY_CTX_new_from_name(nil, "RSA", nil))
    defer { EVP_PKEY_CTX_free(context) }
    var made: OpaquePointer?
    try #require(EVP_PKEY_keygen_init(context) == 1)
    try #require(EVP_PKEY_CTX_set_rsa_keygen_bits(context, bits) == 1)
    try #require(EVP_PKEY_generate(context, &made) == 1)
    key = try #require(made)
  }

  deinit { EVP_PKEY_free(key) }

  private func number(_ name: String) -> [UInt8] {
    var value: OpaquePointer?
    guard EVP_PKEY_get_bn_param(key, name, &value) == 1, let value else { return [] }
    defer { BN_free(value) }
    var bytes = [UInt8](repeating: 0, count: Int(BN_num_bits(value) + 7) / 8)
    BN_bn2bin(value, &bytes)
    return bytes
  }

  var jwk: String {
    #"{"kty":"RSA","use":"sig","alg":"RS256","kid":"\#(keyID)","#
      + #""n":"\#(Base64URL.encode(number("n")))","e":"\#(Base64URL.encode(number("e")))"}"#
  }

  /// A token with these claims; a claim that is nil is left out. Values are JSON.
  func token(_ change: [String: String?] = [:], header: String? = nil) -> String {
    let now = UnixTime.now.seconds
    var claims: [String: String?] = [
      "iss": "\"https://clerk.example\"", "sub": "\"user_1\"", "azp": "\"\(APIFixture.admin)\"",
      "iat": "\(now)", "nbf": "\(now - 10)", "exp": "\(now + 60)", "sid": "\"sess_1\"",
      "email": "\"c@example.org\"", "sts": "\"active\"", "v": "2", "fva": "[0,-1]",
      "o": "{\"id\":\"org_1\"}",
    ]
    for (name, value) in change { claims[name] = value }
    let text = claims.compactMap { name, value in value.map { "\"\(name)\":\($0)" } }
      .joined(separator: ",")
    let header =
      header ?? #"{"alg":"RS256","cat":"cl_B7d4PD111AAA","kid":"\#(keyID)","typ":"JWT"}"#
    let input =
      Base64URL.encode(Array(header.utf8)) + "." + Base64URL.encode(Array("{\(text)}".utf8))
    return input + "." + Base64URL.encode(sign(Array(input.utf8)))
  }

  private func sign(_ message: [UInt8]) -> [UInt8] {
    guard let context = EVP_MD_CTX_new() else { return [] }
    defer { EVP_MD_CTX_free(context) }
    var count = 0
    guard EVP_DigestSignInit(context, nil, EVP_sha256(), nil, key) == 1,
      EVP_DigestSign(context, nil, &count, message, message.count) == 1
    else { return [] }
    var signature = [UInt8](repeating: 0, count: count)
    guard EVP_DigestSign(context, &signature, &count, message, message.count) == 1 else {
      return []
    }
    return Array(signature.prefix(count))
  }
}
