// Holds sealed format v1 to vectors that another
// implementation computed and that never change.

import Bytes
import Testing

@testable import Vault

@Suite("Sealed format v1") struct SealedVectorTests {
  struct File: Decodable {
    let vectors: [Vector]
    let fingerprint: [Fingerprint]
    // swift-format-ignore: AlwaysUseLowerCamelCase
    let session_tag: [Tag]
  }
  struct Vector: Decodable {
    let name: String
    let mode: UInt8
    let key, fingerprint, salt, plaintext, sealed: HexBytes
    let table, row, connection, owner, field: String
    let generation: UInt64
  }
  struct Fingerprint: Decodable {
    // swift-format-ignore: AlwaysUseLowerCamelCase
    let key_text: String
    let fingerprint: String
  }
  struct Tag: Decodable {
    // swift-format-ignore: AlwaysUseLowerCamelCase
    let data_key, session, tag: HexBytes
  }

  @Test("gives the frozen bytes and reads them") func vectors() throws {
    let file = try VectorFile.decode(File.self, from: "sealed-v1.json")
    let engine = SealEngine()
    #expect(file.vectors.count == 12)
    for vector in file.vectors {
      let context = place(vector)
      let mode = try #require(SealedValue.Mode(rawValue: vector.mode))
      let fingerprint = KeyFingerprint(
        bits: vector.fingerprint.bytes.reduce(0) { $0 << 8 | UInt64($1) })
      let sealed = raw(vector.plaintext.bytes) { plain in
        raw(vector.key.bytes) { key in
          raw(vector.salt.bytes) { salt in
            engine.seal(
              plain, mode: mode, fingerprint: fingerprint, key: key, context: context, salt: salt)
          }
        }
      }
      #expect(sealed == vector.sealed.bytes, "\(vector.name)")
      let value = PlacedValue(vector.sealed.bytes, at: context)
      let opened = try raw(vector.key.bytes) { key throws(SealError) in
        try engine.open(value, mode: mode, fingerprint: fingerprint, key: key) {
          plain throws(SealError) in [UInt8](plain)
        }
      }
      #expect(opened == vector.plaintext.bytes, "\(vector.name)")
    }
  }

  /// The place of a vector, through the constructors that the services use.
  private func place(_ vector: Vector) -> SealContext {
    switch vector.table {
    case "credentials":
      .credentialWrap(
        credential: vector.row, connection: vector.connection, owner: vector.owner)
    case "connections": .managedWrap(connection: vector.connection, owner: vector.owner)
    default:
      .tokenBlob(
        connection: vector.connection, owner: vector.owner, generation: vector.generation)
    }
  }

  @Test("gives the published fingerprints") func fingerprints() throws {
    let file = try VectorFile.decode(File.self, from: "sealed-v1.json")
    for row in file.fingerprint {
      let print = raw(Array(row.key_text.utf8)) { KeyFingerprint(ofHexText: $0) }
      #expect(print.description == row.fingerprint)
    }
    #expect(file.fingerprint[0].fingerprint == "60e05bd1b195af2f")
  }

  @Test("gives the frozen session tags, another for another data key") func tags() throws {
    let file = try VectorFile.decode(File.self, from: "sealed-v1.json")
    let engine = SealEngine()
    for row in file.session_tag {
      let key = DataKey(secret: raw(row.data_key.bytes) { Secret(copying: $0) })
      let tag = raw(row.session.bytes) { engine.sessionTag(of: $0, under: key) }
      #expect(tag.text == Base64URL.encode(row.tag.bytes))
      #expect(raw(Array(tag.text.utf8)) { tag.matches($0) })
      #expect(!raw(Array(tag.text.utf8.dropLast())) { tag.matches($0) })
      let other = DataKey.random()
      let foreign = raw(row.session.bytes) { engine.sessionTag(of: $0, under: other) }
      #expect(!raw(Array(foreign.text.utf8)) { tag.matches($0) })
    }
  }
}
