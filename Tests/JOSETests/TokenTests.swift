// What our own tokens promise: only the right kind, key, issuer, audience and time get in. Each row
// is a way in which somebody's tokens were once forged.

import Bytes
import Clocks
import JOSE
import Testing

@Suite("Signed tokens") struct TokenTests {
  static let start = UnixTime(seconds: 1_800_000_000)
  static let keys = try? SigningKeys(file: SigningKeys.generateFile())
  static let claims = Claims(
    issuer: "http://127.0.0.1:8080", subject: "u", audience: "bindery-api", issuedAt: start,
    expiry: start.advanced(bySeconds: 900), session: "s")
  static let expectation = Claims.Expectation(
    issuer: "http://127.0.0.1:8080", audience: "bindery-api")

  private func verdict(
    _ text: String, type: TokenType = .session, after seconds: Int64 = 0,
    _ change: (inout Claims.Expectation) -> Void = { _ in }
  ) throws -> Result<Claims, JOSEError> {
    let keys = try #require(Self.keys)
    var expectation = Self.expectation
    change(&expectation)
    do throws(JOSEError) {
      return .success(
        try keys.verify(
          text, type: type, expectation: expectation,
          now: Self.start.advanced(bySeconds: seconds)))
    } catch { return .failure(error) }
  }

  @Test("a token of ours is believed until its end and the leeway") func life() throws {
    let token = try #require(Self.keys).sign(Self.claims, type: .session)
    #expect(try verdict(token) == .success(Self.claims))
    #expect(try verdict(token, after: 929) == .success(Self.claims))
    #expect(try verdict(token, after: 930) == .failure(.expired))
    #expect(try verdict(token, after: -30) == .success(Self.claims))
    #expect(try verdict(token, after: -31) == .failure(.notYetValid))
  }

  @Test("another kind, issuer, audience or key is refused") func strangers() throws {
    let keys = try #require(Self.keys)
    let token = keys.sign(Self.claims, type: .session)
    #expect(try verdict(token, type: .access) == .failure(.typeRefused))
    #expect(
      try verdict(token) { $0.issuer = "http://127.0.0.1:8081" } == .failure(.claimRefused(.issuer))
    )
    #expect(try verdict(token) { $0.audience = "x" } == .failure(.claimRefused(.audience)))
    let foreign = try SigningKeys(file: SigningKeys.generateFile())
    #expect(try verdict(foreign.sign(Self.claims, type: .session)) == .failure(.keyUnknown))
  }

  @Test("each flipped bit of a token is refused") func flips() throws {
    let token = Array(try #require(Self.keys).sign(Self.claims, type: .session).utf8)
    for index in token.indices {
      for bit in 0..<7 {
        var changed = token
        changed[index] ^= 1 << bit
        let text = String(decoding: changed, as: UTF8.self)
        guard case .failure = try verdict(text) else {
          Issue.record("byte \(index) bit \(bit) was accepted")
          return
        }
      }
    }
  }

  static let headers: [(String, JOSEError)] = [
    (#"{"alg":"none"}"#, .algorithmRefused),
    (#"{"alg":"HS256"}"#, .algorithmRefused),
    (#"{"alg":"es256"}"#, .algorithmRefused),
    (#"{"alg":["ES256"]}"#, .algorithmRefused),
    (#"{"kid":"a"}"#, .algorithmRefused),
    (#"{"alg":"ES256","jwk":{}}"#, .headerRefused),
    (#"{"alg":"ES256","jku":"https://x"}"#, .headerRefused),
    (#"{"alg":"ES256","x5u":"https://x"}"#, .headerRefused),
    (#"{"alg":"ES256","x5c":[]}"#, .headerRefused),
    (#"{"alg":"ES256","crit":["exp"]}"#, .headerRefused),
    (#"{"alg":"ES256","b64":false}"#, .headerRefused),
    (#"{"alg":"ES256","zip":"DEF"}"#, .headerRefused),
    (#"{"alg":"ES256","kid":7}"#, .headerRefused),
    (#"{"alg":"ES256","alg":"ES256"}"#, .notAnObject),
    (#"{"alg":"none","\u0061lg":"ES256"}"#, .notAnObject),
    (#"{"alg":"ES256"} x"#, .notAnObject),
    (#"["ES256"]"#, .notAnObject),
    ("", .notAnObject),
  ]  // each row is one way a token has chosen its own verification somewhere

  @Test("a header that chooses its own verification is refused", arguments: headers)
  func header(text: String, expected: JOSEError) {
    let token = Base64URL.encode(Array(text.utf8)) + ".e30." + String(repeating: "A", count: 86)
    #expect(throws: expected) { try CompactJWS.Parts(parsing: token) }
  }

  @Test(
    "only three canonical parts are read",
    arguments: ["", ".", "..", "a.b", "e30.e30.AA.AA", "e30=.e30.AA", "e3 0.e30.AA", "e31.e30.AB"])
  func shape(text: String) {
    #expect(throws: JOSEError.self) { try CompactJWS.Parts(parsing: text) }
  }

  @Test("a token beyond the bound is not decoded") func size() {
    let text = String(repeating: "A", count: CompactJWS.textBytesMax) + ".e30.AA"
    #expect(throws: JOSEError.notCompact) { try CompactJWS.Parts(parsing: text) }
  }
}

@Suite("Signing keys") struct SigningKeysTests {
  @Test("a file read back signs as before, and a new key goes behind") func file() throws {
    let first = try SigningKeys(file: SigningKeys.generateFile())
    let token = first.sign(TokenTests.claims, type: .session)
    let second = try SigningKeys(file: first.fileAddingKey())
    #expect(second.active.keyID != first.active.keyID)
    #expect(
      try second.verify(
        token, type: .session, expectation: TokenTests.expectation, now: TokenTests.start)
        == TokenTests.claims)
  }

  @Test(
    "old keys go from the front, and the one that signs never",
    arguments: [(-1, 3), (0, 3), (1, 2), (2, 1), (3, 1), (Int.max, 1)])
  func dropping(count: Int, left: Int) throws {
    var keys = try SigningKeys(file: SigningKeys.generateFile())
    for _ in 0..<2 { keys = try SigningKeys(file: keys.fileAddingKey()) }
    let rest = try SigningKeys(file: keys.file(droppingFirst: count))
    #expect(rest.publicKeys.map(\.keyID) == keys.publicKeys.suffix(left).map(\.keyID))
    #expect(rest.active.keyID == keys.active.keyID)
  }

  @Test("the published set has both keys and no private member") func publicSet() throws {
    let first = try SigningKeys(file: SigningKeys.generateFile())
    let keys = try SigningKeys(file: first.fileAddingKey())
    let set = try JSONMembers(parsing: keys.publicSet)
    guard case .objects(let entries)? = set["keys"] else {
      Issue.record("not a key set")
      return
    }
    #expect(entries.count == 2)
    for entry in entries {
      #expect(entry["d"] == nil)
      #expect(throws: Never.self) { try P256.PublicKey(jwk: entry) }
    }
  }

  @Test("a thumbprint is that of RFC 7638") func thumbprint() throws {
    // The key of RFC 7515 A.3; its thumbprint computed with another implementation.
    let x = try #require(Base64URL.decode("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"))
    let y = try #require(Base64URL.decode("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"))
    let d = try #require(Base64URL.decode("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"))
    let key = try P256.PrivateKey(scalar: d, publicKey: P256.PublicKey(x: x, y: y))
    #expect(SigningKey(key).keyID == "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U")
  }

  @Test("halves that do not fit, points off the curve and broken files are refused") func bad()
    throws
  {
    let one = P256.PrivateKey.generate()
    let other = P256.PrivateKey.generate()
    #expect(throws: JOSEError.keyMalformed) {
      try P256.PrivateKey(scalar: one.exportScalar(), publicKey: other.publicKey)
    }
    #expect(throws: JOSEError.keyMalformed) {
      try P256.PublicKey(x: one.publicKey.x, y: other.publicKey.y)
    }
    #expect(throws: JOSEError.keyMalformed) {
      try P256.PrivateKey(scalar: [UInt8](repeating: 0, count: 32))
    }
    #expect(throws: JOSEError.keyMalformed) {
      try P256.PrivateKey(scalar: [UInt8](repeating: 0xff, count: 32))
    }
    for text in ["", "{}", #"{"keys":[]}"#, #"{"keys":[{}]}"#, #"{"keys":["a"]}"#] {
      #expect(throws: JOSEError.self) { try SigningKeys(file: Array(text.utf8)) }
    }
  }
}
