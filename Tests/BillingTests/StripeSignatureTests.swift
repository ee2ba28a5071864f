// The signature matrix: which headers are believed, over which bytes, at which time. Each row
// is one way in which a forger or a careless proxy could differ from Stripe.

import Bytes
import Clocks
import Configuration
import Testing

@testable import Stripe
@testable import bindery_billing

@Suite("Stripe signature") struct StripeSignatureTests {
  static let body = Array(#"{"id":"evt_1","object":"event"}"#.utf8)
  static let time: Int64 = 1_700_000_000
  static let main = secret("whsec_test_secret")
  static let old = secret("whsec_old_secret")
  /// HMAC-SHA256 of `1700000000.` and the body above, computed with another implementation.
  static let published = "0c8670ed117751cc551a20e35839447075c42800ea3cf3e8a2fbda99cd1e6edd"

  static func secret(_ text: String) -> WebhookSecret {
    var bytes = Array(text.utf8)
    return WebhookSecret(SecretSetting(wiping: &bytes))
  }

  static func sign(_ text: String, _ secret: WebhookSecret, body: [UInt8] = body) -> String {
    let message = Array(text.utf8) + [UInt8(ascii: ".")] + body
    return Hex.encode(message.withUnsafeBytes { secret.authenticate($0) })
  }

  static func judge(
    _ headers: [String], body: [UInt8] = body, secrets: [WebhookSecret] = [main],
    now: Int64 = time
  ) -> SignatureError? {
    do throws(SignatureError) {
      try StripeSignature.admit(
        headers: headers.map { Array($0.utf8) }, body: body, secrets: secrets,
        now: UnixTime(seconds: now))
      return nil
    } catch { return error }
  }

  static let good = sign("1700000000", main)
  static let goodOld = sign("1700000000", old)
  static let wrong = String(repeating: "0", count: 64)

  static let rows: [(String, SignatureError?)] = [
    ("t=1700000000,v1=\(good)", nil),
    ("v1=\(good),t=1700000000", nil),  // the order says nothing
    ("t=1700000000,v1=\(wrong),v1=\(good)", nil),  // any v1 will do
    ("t=1700000000,v1=\(good),v1=\(wrong)", nil),
    ("t=1700000000,v1=\(good),v0=\(wrong)", nil),  // v0 is of test mode, and passed over
    ("t=1700000000,v1=\(good.uppercased())", nil),
    ("t=1700000000,v1=\(good),v2=x,whatever", nil),
    ("t=1700000000,v1=short,v1=\(good)", nil),
    ("t=1700000000,,v1=\(good),", nil),
    ("", .timestampMissing),
    ("t=1700000000", .signatureMissing),
    ("v1=\(good)", .timestampMissing),
    ("t=1700000000,v0=\(good)", .signatureMissing),  // v0 must not count
    ("t=1700000000,v1=", .noMatch),
    ("t=1700000000,v1=\(wrong)", .noMatch),
    ("t=1700000000,v1=\(goodOld)", .noMatch),  // another endpoint's secret
    ("t=1700000000,v1=\(good.dropLast())", .noMatch),
    ("t=1700000000,v1=\(good)0", .noMatch),
    ("t=1700000000,v1=\(good.dropLast())g", .noMatch),
    ("t=1700000000,v1= \(good)", .noMatch),  // blanks belong to the value
    ("t=1700000000, v1=\(good)", .signatureMissing),
    ("t=1700000000,V1=\(good)", .signatureMissing),  // names are bytes
    ("T=1700000000,v1=\(good)", .timestampMissing),
    ("t=1700000001,v1=\(good)", .noMatch),  // the time is signed
    ("t=1700000000,t=1700000000,v1=\(good)", .timestampRepeated),
    ("t=1700000000,v1=\(good),t=1", .timestampRepeated),
    ("t=,v1=\(good)", .timestampMalformed),
    ("t=+1700000000,v1=\(good)", .timestampMalformed),
    ("t=-1700000000,v1=\(good)", .timestampMalformed),
    ("t=01700000000,v1=\(good)", .timestampMalformed),
    ("t=1700000000.0,v1=\(good)", .timestampMalformed),
    ("t=1_700_000_000,v1=\(good)", .timestampMalformed),
    ("t=0x6553F100,v1=\(good)", .timestampMalformed),
    ("t= 1700000000,v1=\(good)", .timestampMalformed),
    ("t=1700000000 ,v1=\(good)", .timestampMalformed),
    ("t=９,v1=\(good)", .timestampMalformed),  // a digit, but not ASCII
    ("t=9223372036854775808,v1=\(good)", .timestampMalformed),  // Int64.max + 1
    ("t=99999999999999999999999999,v1=\(good)", .timestampMalformed),
    ("t=1e9,v1=\(good)", .timestampMalformed),
    ("t1700000000,v1=\(good)", .timestampMissing),
  ]

  @Test("is believed for exactly the right headers", arguments: rows)
  func header(text: String, expected: SignatureError?) {
    #expect(Self.judge([text]) == expected)
  }

  @Test("needs one header, not none and not two") func headerCount() {
    let header = "t=1700000000,v1=\(Self.good)"
    #expect(Self.judge([]) == .headerMissing)
    #expect(Self.judge([header, header]) == .headerRepeated)
  }

  @Test("agrees with another implementation") func published() {
    #expect(Self.good == Self.published)
  }

  static let ages: [(Int64, SignatureError?)] = [
    (0, nil), (299, nil), (300, nil), (301, .outsideTolerance(seconds: 301)),
    (-299, nil), (-300, nil), (-301, .outsideTolerance(seconds: -301)),
    (86_400, .outsideTolerance(seconds: 86_400)),
  ]

  @Test("lives 300 seconds both ways", arguments: ages)
  func tolerance(age: Int64, expected: SignatureError?) {
    #expect(Self.judge(["t=1700000000,v1=\(Self.good)"], now: Self.time + age) == expected)
  }

  @Test("of the farthest times neither passes nor traps") func farthest() {
    for text in ["0", "9223372036854775807"] {
      let header = "t=\(text),v1=\(Self.sign(text, Self.main))"
      for now in [Int64.min, 0, Self.time, Int64.max] where "\(now)" != text {
        switch Self.judge([header], now: now) {
        case .outsideTolerance: break
        case let other: Issue.record("\(text) at \(now): \(String(describing: other))")
        }
      }
    }
  }

  @Test("holds under each secret while one is rolled") func rolling() {
    for code in [Self.good, Self.goodOld] {
      let header = ["t=1700000000,v1=\(code)"]
      #expect(Self.judge(header, secrets: [Self.old, Self.main]) == nil)
      #expect(Self.judge(header, secrets: []) == .noMatch)
    }
  }

  @Test("is over the raw bytes") func rawBytes() {
    for body in [
      Array("{\r\n}".utf8), [], [0x1F, 0x8B, 0x08, 0x00], [UInt8](repeating: 0x20, count: 1 << 20),
    ] {
      let header = ["t=1700000000,v1=\(Self.sign("1700000000", Self.main, body: body))"]
      #expect(Self.judge(header, body: body) == nil)
      #expect(Self.judge(header, body: body + [0x0A]) == .noMatch)
    }
  }

  @Test("of a thousand v1 costs one HMAC per secret") func thousand() {
    let many = String(repeating: "v1=\(Self.wrong),", count: 1_000)
    let body = [UInt8](repeating: 0x61, count: 1 << 20)
    let start = Instant.now
    let code = Self.sign("1700000000", Self.main, body: body)
    let header = ["t=1700000000,\(many)v1=\(code)"]
    #expect(Self.judge(header, body: body, secrets: [Self.old, Self.main]) == nil)
    // A generous bound that a thousand HMACs of a megabyte would miss by far.
    #expect(start.duration(to: .now) < .seconds(5))
  }

  @Test("of a spoiled header is refused, or is still the right one") func spoiled() {
    let good = Array("t=1700000000,v1=\(Self.good),v0=\(Self.wrong)".utf8)
    let seed = UInt64.random(in: 0...UInt64.max)
    var dice = Dice(state: seed)
    for _ in 0..<20_000 {
      var header = good
      for _ in 0...Int.random(in: 0...3, using: &dice) {
        let place = Int.random(in: 0..<header.count, using: &dice)
        switch UInt8.random(in: 0...2, using: &dice) {
        case 0: header[place] = UInt8.random(in: 0...255, using: &dice)
        case 1: header.remove(at: place)
        default: header.insert(Array(",=tv1 0".utf8).randomElement(using: &dice) ?? 0, at: place)
        }
      }
      guard let fields = try? StripeSignature.parse(header) else { continue }
      let verdict = Self.judge([String(decoding: header, as: UTF8.self)])
      if verdict == nil {
        #expect(fields.timestampText.elementsEqual("1700000000".utf8), "seed \(seed)")
        #expect(fields.signatures.map { Hex.encode($0) }.contains(Self.good), "seed \(seed)")
      }
    }
  }
}

/// Chance that can be replayed from its seed (SplitMix64).
private struct Dice: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
    return word ^ (word >> 31)
  }
}
