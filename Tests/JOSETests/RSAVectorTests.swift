// Walks the published Wycheproof vectors for RS256: signatures, tokens, keys and key sets. What is
// valid for another algorithm must be refused here.

import Bytes
import FoundationEssentials
import JOSE
import Testing

private func vectors<Suite: Decodable>(_ name: String, as type: Suite.Type) throws -> Suite {
  let here = #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
  let bytes = try Data(contentsOf: URL(filePath: "/\(here)/Vectors/wycheproof/\(name)"))
  return try JSONDecoder().decode(type, from: bytes)
}

/// Any JSON, to be written again as it was read.
private indirect enum Document: Codable {
  case text(String), list([Document]), members([String: Document]), other

  init(from decoder: any Decoder) throws {
    let box = try decoder.singleValueContainer()
    if let text = try? box.decode(String.self) {
      self = .text(text)
    } else if let list = try? box.decode([Document].self) {
      self = .list(list)
    } else if let members = try? box.decode([String: Document].self) {
      self = .members(members)
    } else {
      self = .other
    }
  }

  func encode(to encoder: any Encoder) throws {
    var box = encoder.singleValueContainer()
    switch self {
    case .text(let text): try box.encode(text)
    case .list(let list): try box.encode(list)
    case .members(let members): try box.encode(members)
    case .other: try box.encodeNil()
    }
  }

  /// The text of a key set: of this one, or with this key alone.
  func keySet() throws -> [UInt8] {
    let text = String(decoding: try JSONEncoder().encode(self), as: UTF8.self)
    if case .members(let members) = self, members["keys"] != nil { return Array(text.utf8) }
    return Array("{\"keys\":[\(text)]}".utf8)
  }
}

@Suite("Wycheproof for RSA") struct RSAVectorTests {
  private struct Signatures: Decodable {
    struct Key: Decodable { let modulus: String, publicExponent: String }
    struct Case: Decodable { let tcId: Int, msg: String, sig: String, result: String }
    struct Group: Decodable { let publicKey: Key, tests: [Case] }
    let numberOfTests: Int, testGroups: [Group]
  }

  @Test("PKCS #1 v1.5 signatures of 2048 bits give every listed verdict")
  func signatures() throws {
    let suite = try vectors("rsa_signature_2048_sha256_test.json", as: Signatures.self)
    var checked = 0
    for group in suite.testGroups {
      // The file writes numbers with a sign byte in front.
      let modulus = try #require(Hex.decode(group.publicKey.modulus)).drop { $0 == 0 }
      let exponent = try #require(Hex.decode(group.publicKey.publicExponent)).drop { $0 == 0 }
      let key = try RSA.PublicKey(modulus: Array(modulus), exponent: Array(exponent))
      for test in group.tests {
        let message = try #require(Hex.decode(test.msg))
        let signature = try #require(Hex.decode(test.sig))
        // "acceptable" is what lenient readers take; we do not.
        #expect(
          key.verifies(signature, over: message) == (test.result == "valid"), "case \(test.tcId)")
        checked += 1
      }
    }
    #expect(checked == suite.numberOfTests)
  }

  private struct Tokens: Decodable {
    struct Case: Decodable {
      let tcId: Int, result: String, text: String

      private enum CodingKeys: String, CodingKey { case tcId, result, jws, jwe }

      init(from decoder: any Decoder) throws {
        let box = try decoder.container(keyedBy: CodingKeys.self)
        tcId = try box.decode(Int.self, forKey: .tcId)
        result = try box.decode(String.self, forKey: .result)
        // Some vectors hold the JSON serialization, which is not compact and must be refused too.
        text =
          (try? box.decode(String.self, forKey: .jws))
          ?? (try? box.decode(String.self, forKey: .jwe)) ?? "{}"
      }
    }
    struct Group: Decodable { let `public`: Document?, `private`: Document?, tests: [Case] }
    let numberOfTests: Int, testGroups: [Group]
  }

  /// Whether the token is accepted with the key of the set that its header names, or the only one.
  private func accepts(_ text: String, _ keys: Document?) throws -> Bool {
    guard let set = keys.flatMap({ try? RSAKeySet(parsing: $0.keySet()) }),
      let parts = try? CompactJWS.Parts(parsing: text, algorithm: .rs256),
      let key = parts.header.keyID.flatMap({ set[$0] })
    else { return false }
    return (try? parts.verified(by: key)) != nil
  }

  @Test(
    "tokens, keys and key sets: RS256 as listed, every other algorithm refused",
    arguments: [
      // Eight valid tokens, one of a suite for several algorithms, one in a key set.
      ("json_web_signature_test.json", 8), ("json_web_crypto_test.json", 1),
      ("json_web_key_test.json", 1),
    ])
  func tokens(file: String, valid: Int) throws {
    let suite = try vectors(file, as: Tokens.self)
    var accepted = 0
    var checked = 0
    for group in suite.testGroups {
      for test in group.tests {
        // A set of private keys is none to verify with, also when it says so.
        let isAccepted = try accepts(test.text, group.public)
        if isAccepted {
          #expect(test.result == "valid", "case \(test.tcId)")
          accepted += 1
        }
        let hasPrivate = try accepts(test.text, group.private)
        #expect(!hasPrivate, "case \(test.tcId)")
        checked += 1
      }
    }
    #expect(accepted == valid)
    #expect(checked == suite.numberOfTests)
  }

  private func jwk(_ change: [String: String?] = [:]) throws -> String {
    let suite = try vectors("json_web_signature_test.json", as: Tokens.self)
    let key = suite.testGroups.compactMap(\.public).first { document in
      guard case .members(let members) = document, case .text("RS256")? = members["alg"] else {
        return false
      }
      return true
    }
    guard case .members(var members)? = key else { throw JOSEError.keyMalformed }
    for (name, value) in change { members[name] = value.map { .text($0) } }
    return String(
      decoding: try JSONEncoder().encode(Document.members(members)), as: UTF8.self)
  }

  private func count(_ entries: String...) throws -> Int? {
    try? RSAKeySet(parsing: Array("{\"keys\":[\(entries.joined(separator: ","))]}".utf8)).count
  }

  @Test("a set leaves out what is for something else, and is refused when it can be misread")
  func sets() throws {
    #expect(try count(jwk()) == 1)
    #expect(try count(jwk(["alg": nil, "use": nil])) == 1)
    #expect(try count(jwk(["use": "enc"])) == 0)
    #expect(try count(jwk(["alg": "PS256"])) == 0)
    #expect(try count(jwk(["kid": nil])) == 0)
    #expect(try count(jwk(["kty": "EC"])) == 0)
    #expect(try count(jwk(["e": "AQ"])) == 0)
    #expect(try count(jwk(["e": "Ag"])) == 0)
    #expect(try count(jwk(["e": "AAEAAQ"])) == 0)
    #expect(try count(jwk(["n": "AQAB"])) == 0)
    #expect(try count(jwk(["d": "AQAB"])) == 0)
    #expect(try count() == nil)
    #expect(try count(jwk(), jwk(["kid": "other"])) == 2)
    #expect(try count(jwk(), jwk()) == nil)
    #expect(try count(jwk(), jwk(["use": "enc"])) == nil)
    #expect(try count(jwk(), #"{"kty":"oct","k":"AAAA","kid":"x"}"#) == nil)
    #expect(try count(jwk(), "5") == nil)
    #expect((try? RSAKeySet(parsing: Array("{}".utf8))) == nil)
    let many = try (0..<33).map { try jwk(["kid": "\($0)"]) }.joined(separator: ",")
    #expect(try count(many) == nil)
  }
}
