// Runs the published vectors of C2SP/wycheproof (Apache-2.0) for the primitives that the vault
// builds on. Source: testvectors aes_gcm, hkdf_sha256, hmac_sha256.

import Bytes
import Testing

@testable import Vault

@Suite("Wycheproof") struct WycheproofTests {
  struct File<Test: Decodable>: Decodable {
    struct Group: Decodable {
      let tests: [Test]
      let keySize: Int
      let ivSize: Int?
      let tagSize: Int?
    }
    let numberOfTests: Int
    let testGroups: [Group]
  }

  struct AEAD: Decodable {
    let tcId: Int
    let key, iv, aad, msg, ct, tag: HexBytes
    let result: String
  }

  @Test("AES-256-GCM agrees; other key, nonce and tag sizes are not supported") func gcm() throws {
    let file = try VectorFile.decode(File<AEAD>.self, from: "wycheproof/aes_gcm_test.json")
    let context = GCMContext()
    var supported = 0
    var refused: Set<String> = []
    for group in file.testGroups {
      for test in group.tests {
        guard group.keySize == 256, group.ivSize == 96, group.tagSize == 128 else {
          refused.insert("\(group.keySize)/\(group.ivSize ?? 0)/\(group.tagSize ?? 0)")
          continue
        }
        supported += 1
        check(test, context)
      }
    }
    #expect(supported == 66)
    // Key, nonce and tag sizes (bits) that exist in the file and have no way into GCMContext.
    #expect(refused.count == 44, "\(refused.sorted())")
    #expect(refused.allSatisfy { $0 != "256/96/128" })
  }

  private func check(_ test: AEAD, _ context: GCMContext) {
    let opened = raw(test.ct.bytes + test.tag.bytes) { sealed in
      raw(test.key.bytes) { key in
        raw(test.iv.bytes) { nonce in
          raw(test.aad.bytes) { header -> [UInt8]? in
            var plain = [UInt8](repeating: 0xff, count: test.ct.bytes.count)
            let good = plain.withUnsafeMutableBytes {
              context.open(sealed, key: key, nonce: nonce, authenticating: header, into: $0)
            }
            if !good { #expect(plain.allSatisfy { $0 == 0 }, "case \(test.tcId) left plaintext") }
            return good ? plain : nil
          }
        }
      }
    }
    #expect(opened == (test.result == "valid" ? test.msg.bytes : nil), "case \(test.tcId)")
    guard test.result == "valid" else { return }
    var sealed = [UInt8](repeating: 0, count: test.msg.bytes.count + 16)
    raw(test.msg.bytes) { plain in
      raw(test.key.bytes) { key in
        raw(test.iv.bytes) { nonce in
          raw(test.aad.bytes) { header in
            sealed.withUnsafeMutableBytes {
              context.seal(plain, key: key, nonce: nonce, authenticating: header, into: $0)
            }
          }
        }
      }
    }
    #expect(sealed == test.ct.bytes + test.tag.bytes, "case \(test.tcId)")
  }

  struct Derivation: Decodable {
    let tcId: Int
    let ikm, salt, info, okm: HexBytes
    let size: Int
    let result: String
  }

  @Test("HKDF-SHA256 agrees") func hkdf() throws {
    let file = try VectorFile.decode(
      File<Derivation>.self, from: "wycheproof/hkdf_sha256_test.json")
    let context = HashContext()
    var run = 0
    for test in file.testGroups.flatMap(\.tests) {
      guard test.result == "valid" else {
        #expect(test.size > 255 * 32, "the only invalid ones ask for more than HKDF gives")
        continue
      }
      var output = [UInt8](repeating: 0, count: test.size)
      raw(test.ikm.bytes) { key in
        raw(test.salt.bytes) { salt in
          raw(test.info.bytes) { info in
            output.withUnsafeMutableBytes {
              context.hkdf(key: key, salt: salt, info: info, into: $0)
            }
          }
        }
      }
      #expect(output == test.okm.bytes, "case \(test.tcId)")
      run += 1
    }
    #expect(run >= 80 && file.numberOfTests == 86)
  }

  struct MAC: Decodable {
    let tcId: Int
    let key, msg, tag: HexBytes
    let result: String
  }

  @Test("HMAC-SHA256 agrees") func hmac() throws {
    let file = try VectorFile.decode(File<MAC>.self, from: "wycheproof/hmac_sha256_test.json")
    let context = HashContext()
    for group in file.testGroups {
      for test in group.tests {
        let mac = raw(test.key.bytes) { key in
          raw(test.msg.bytes) { context.hmac(key: key, message: $0) }
        }
        let same = Array(mac.bytes[..<((group.tagSize ?? 256) / 8)]) == test.tag.bytes
        #expect(same == (test.result == "valid"), "case \(test.tcId)")
      }
    }
    #expect(file.numberOfTests == 174)
  }
}
