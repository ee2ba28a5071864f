// The small JSON reader of headers, claims and keys: what it keeps, what it refuses, and that no
// bytes make it trap. The corpus of the strict reader is that module's; this one is narrower still.

import Clocks
import JOSE
import Testing

@Suite("JSON members") struct JSONMembersTests {
  private func members(_ text: String) -> JSONMembers? {
    try? JSONMembers(parsing: Array(text.utf8))
  }

  @Test(
    "values are kept as far as tokens need them",
    arguments: [
      (#"{"a":"x"}"#, .string("x")), (#"{"a":"\u0041\n\ud83d\ude00"}"#, .string("A\n😀")),
      (#"{"a":0}"#, .integer(0)), (#"{"a":-5}"#, .integer(-5)), (#"{"a":1.0}"#, .otherNumber),
      (#"{"a":1e3}"#, .otherNumber), (#"{"a":9223372036854775807}"#, .integer(.max)),
      (#"{"a":9223372036854775808}"#, .otherNumber), (#"{"a":true}"#, .boolean(true)),
      (#"{"a":null}"#, .null), (#"{"a":[]}"#, .strings([])),
      (#"{"a":["x","y"]}"#, .strings(["x", "y"])), (#"{"a":["x",1]}"#, .nested),
      (#"{"a":{"b":[1,{}]}}"#, .nested), (" {\t\"a\" :\r\n\"x\" } ", .string("x")),
    ] as [(String, JSONMembers.Value)])
  func values(text: String, expected: JSONMembers.Value) {
    #expect(members(text)?["a"] == expected)
  }

  @Test(
    "what has two readings, or none, is refused",
    arguments: [
      "", "{", "}", "[]", "null", #"{"a":1,"a":2}"#, #"{"a":1,"\u0061":2}"#, #"{"a":01}"#,
      #"{"a":+1}"#, #"{"a":.5}"#, #"{"a":1.}"#, #"{"a":1e}"#, #"{"a":-}"#, #"{"a":1}x"#,
      #"{"a":1},"#, #"{"a":1,}"#, #"{,"a":1}"#, #"{a:1}"#, #"{'a':1}"#, #"{"a":tru}"#,
      #"{"a":True}"#, #"{"a":NaN}"#, #"{"a":"\x"}"#, #"{"a":"\u12"}"#, #"{"a":"\ud800"}"#,
      #"{"a":"\ud800\u0041"}"#, #"{"a":"\udc00"}"#, "{\"a\":\"\n\"}", "{\"a\":\"\u{0}\"}",
      #"{"a":"x}"#, #"{"a" "b"}"#, #"{"a":[1,]}"#, "\u{feff}{}", #"{"a":{"b":1,"b":1}}"#,
      "{\"a\":" + String(repeating: "[", count: 2000) + String(repeating: "]", count: 2000) + "}",
    ])
  func refused(text: String) { #expect(members(text) == nil) }

  @Test(
    "bad UTF-8 is refused", arguments: [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x82]])
  func encoding(bytes: [UInt8]) {
    let text = Array(#"{"a":""#.utf8) + bytes + Array(#""}"#.utf8)
    #expect(throws: JOSEError.notAnObject) { try JSONMembers(parsing: text) }
  }

  @Test("no change of valid bytes makes a reader trap") func mutations() throws {
    let seed = Randomness.uint64()
    var state = seed
    func next() -> UInt64 {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return state
    }
    let keys = SigningKeys.generateFile()
    let token = try SigningKeys(file: keys).sign(TokenTests.claims, type: .session)
    var refusals = 0
    for _ in 0..<5_000 {
      var file = keys
      var text = Array(token.utf8)
      for _ in 0...(next() % 4) {
        file[Int(next() % UInt64(file.count))] = UInt8(truncatingIfNeeded: next())
        text[Int(next() % UInt64(text.count))] = UInt8(truncatingIfNeeded: next())
        if next() % 8 == 0 { file.removeLast(Int(next() % UInt64(file.count - 1))) }
      }
      if (try? JSONMembers(parsing: file)) == nil { refusals += 1 }
      _ = try? CompactJWS.Parts(parsing: String(decoding: text, as: UTF8.self))
    }
    #expect(refusals > 0, "seed \(seed)")
  }
}
