// Walks the published Wycheproof vectors for what we accept: ES256 for our own tokens, RS256 for
// Clerk's, and nothing else. Vectors for other algorithms must all be refused, the valid ones too.

import Bytes
import FoundationEssentials
import JOSE
import Testing

private func vectors<Suite: Decodable>(_ name: String, as type: Suite.Type) throws -> Suite {
  let here = #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
  let bytes = try Data(contentsOf: URL(filePath: "/\(here)/Vectors/wycheproof/\(name)"))
  return try JSONDecoder().decode(type, from: bytes)
}

@Suite("Wycheproof") struct WycheproofTests {
  private struct Signatures: Decodable {
    struct Key: Decodable { let uncompressed: String }
    struct Case: Decodable { let tcId: Int, msg: String, sig: String, result: String }
    struct Group: Decodable { let publicKey: Key, tests: [Case] }
    let numberOfTests: Int, testGroups: [Group]
  }

  @Test("ECDSA over P-256 with raw signatures gives every listed verdict")
  func rawSignatures() throws {
    let suite = try vectors("ecdsa_secp256r1_sha256_p1363_test.json", as: Signatures.self)
    var checked = 0
    for group in suite.testGroups {
      let point = try #require(Hex.decode(group.publicKey.uncompressed))
      let key = try P256.PublicKey(x: Array(point[1..<33]), y: Array(point[33..<65]))
      for test in group.tests {
        let message = try #require(Hex.decode(test.msg))
        let signature = try #require(Hex.decode(test.sig))
        #expect(
          key.verifies(signature, over: message) == (test.result == "valid"), "case \(test.tcId)")
        checked += 1
      }
    }
    #expect(checked == suite.numberOfTests)
  }

  private struct Tokens: Decodable {
    struct Key: Decodable {
      let kty: String, alg: String?, crv: String?, x: String?, y: String?, use: String?
      let operations: [String]?

      private enum CodingKeys: String, CodingKey {
        case kty, alg, crv, x, y, use
        case operations = "key_ops"
      }
    }
    struct Case: Decodable { let tcId: Int, jws: JWS, result: String }
    struct Group: Decodable {
      let `public`: Key?, tests: [Case]
    }
    /// Some vectors hold the JSON serialization, which is not compact and must be refused too.
    struct JWS: Decodable {
      let text: String
      init(from decoder: any Decoder) throws {
        text = (try? decoder.singleValueContainer().decode(String.self)) ?? "{}"
      }
    }
    let testGroups: [Group]
  }

  @Test("JWS: ES256 as listed, every other algorithm refused")
  func tokens() throws {
    let suite = try vectors("json_web_signature_test.json", as: Tokens.self)
    var accepted = 0
    var checked = 0
    for group in suite.testGroups {
      let jwk = group.public.flatMap { try? P256.PublicKey(jwk: JSONMembers(parsing: text($0))) }
      for test in group.tests {
        let payload = jwk.flatMap { key in
          try? CompactJWS.Parts(parsing: test.jws.text).verified(by: key)
        }
        let expected = test.result == "valid" && jwk != nil
        #expect((payload != nil) == expected, "case \(test.tcId)")
        if payload != nil { accepted += 1 }
        checked += 1
      }
    }
    #expect(accepted == 2)  // the suite has two valid ES256 tokens
    #expect(checked == 401)
  }

  private func text(_ key: Tokens.Key) -> [UInt8] {
    var members = [("kty", key.kty)]
    let optional = [
      ("alg", key.alg), ("crv", key.crv), ("x", key.x), ("y", key.y), ("use", key.use),
    ]
    for case (let name, let value?) in optional { members.append((name, value)) }
    var text = members.map { "\"\($0)\":\"\($1)\"" }.joined(separator: ",")
    if let operations = key.operations {
      text += ",\"key_ops\":[" + operations.map { "\"\($0)\"" }.joined(separator: ",") + "]"
    }
    return Array("{\(text)}".utf8)
  }
}
