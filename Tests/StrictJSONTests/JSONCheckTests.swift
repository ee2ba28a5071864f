// The rules that the published cases do not reach: limits, duplicate names however they are
// spelled, text that is none, time that grows no faster than the input.

import Glibc
import StrictJSON
import Testing

/// The error for `text`, or nil when it is taken.
func refusal(_ text: String, _ limits: JSONLimits = JSONLimits()) -> JSONError? {
  refusal(Array(text.utf8), limits)
}

func refusal(_ bytes: [UInt8], _ limits: JSONLimits = JSONLimits()) -> JSONError? {
  bytes.withUnsafeBytes { bytes in
    do throws(JSONError) {
      try checkJSON(bytes, limits: limits)
      return nil
    } catch { return error }
  }
}

/// Processor time of this thread, which the load of the machine does not change.
private func threadSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

@Suite("JSON check") struct JSONCheckTests {
  static let rows: [(String, JSONError?)] = [
    (#"{"a":1,"b":{"a":1},"c":[{"a":1},{"a":1}]}"#, nil),  // one name in several objects
    (#"{"a":1,"a":2}"#, .duplicateName(at: 8)),  // first or last wins
    (#"{"a":1,"\u0061":2}"#, .duplicateName(at: 8)),  // compared before or after decoding
    (#"{"\u00e9":1,"é":2}"#, .duplicateName(at: 13)),
    ("{\"e\u{301}\":1,\"\u{e9}\":2}", nil),  // equal for Swift's String, different bytes
    (#"{"\ud83d\ude00":1,"😀":2}"#, .duplicateName(at: 19)),
    (#"{"":1,"":2}"#, .duplicateName(at: 7)),
    (#"{"a":{"b":1,"b":2}}"#, .duplicateName(at: 13)),
    (#"{"a":1,"A":2}"#, nil),
    (#"["\ud800"]"#, .loneSurrogate(at: 2)),
    (#"["\ud800\ud800"]"#, .loneSurrogate(at: 2)),
    (#"["\udc00"]"#, .loneSurrogate(at: 2)),
    (#"["\ud800x"]"#, .loneSurrogate(at: 2)),
    (#"["\ud800\n"]"#, .loneSurrogate(at: 2)),
    (#"{"\ud800":1}"#, .loneSurrogate(at: 2)),
    ("[1,]", .syntax(at: 3)), ("[,1]", .syntax(at: 1)), ("{,}", .syntax(at: 1)),
    (#"{"a":1,}"#, .syntax(at: 7)), (#"{"a"}"#, .syntax(at: 4)), ("[1}", .syntax(at: 2)),
    (#"{"a":1]"#, .syntax(at: 6)), ("{a:1}", .syntax(at: 1)), ("{'a':1}", .syntax(at: 1)),
    ("[01]", .syntax(at: 2)), ("[+1]", .syntax(at: 1)), ("[.5]", .syntax(at: 1)),
    ("[1.]", .syntax(at: 3)), ("[1e]", .syntax(at: 3)), ("[-]", .syntax(at: 2)),
    ("[0x1]", .syntax(at: 2)), ("[NaN]", .syntax(at: 1)), ("[Infinity]", .syntax(at: 1)),
    ("[1] x", .syntax(at: 4)), ("[1][2]", .syntax(at: 3)), ("// c\n1", .syntax(at: 0)),
    ("\u{feff}{}", .syntax(at: 0)),  // a byte order mark is text to some readers
    ("[\"\t\"]", .syntax(at: 2)), ("[\"\u{0}\"]", .syntax(at: 2)),
    ("\u{a0}1", .syntax(at: 0)), ("\u{c}1", .syntax(at: 0)),
    ("", .truncated), (" ", .truncated), ("[", .truncated), (#"{"a"#, .truncated),
    (#"{"a":"#, .truncated), ("tru", .truncated), ("-", .truncated), (#""\"#, .truncated),
    (#""\u12"#, .truncated), ("[1", .truncated), ("[1,", .truncated), ("1e+", .truncated),
    ("1", nil), ("-0.5e+10", nil), (#""""#, nil), ("null", nil), (" true\r\n\t", nil),
    ("\"\u{7f}\u{10ffff}\"", nil),
  ]

  @Test("takes what has one reading and refuses the rest", arguments: rows)
  func verdict(text: String, expected: JSONError?) {
    #expect(refusal(text) == expected)
  }

  static let encodings: [[UInt8]] = [
    [0x80], [0xbf], [0xc0, 0xaf], [0xc1, 0xbf], [0xe0, 0x80, 0xaf], [0xe0, 0x9f, 0xbf],
    [0xed, 0xa0, 0x80], [0xed, 0xbf, 0xbf], [0xf0, 0x80, 0x80, 0x80], [0xf4, 0x90, 0x80, 0x80],
    [0xf5, 0x80, 0x80, 0x80], [0xff], [0xfe], [0xc3], [0xe2, 0x82], [0xf0, 0x9f, 0x98],
    [0xc3, 0x28], [0xe2, 0x28, 0xa1], [0xf0, 0x28, 0x8c, 0xbc],
  ]

  @Test("refuses bytes that are not UTF-8, in values and in names", arguments: encodings)
  func encoding(bytes: [UInt8]) {
    let quote = UInt8(ascii: "\"")
    for text in [[quote] + bytes + [quote], Array("{\"a".utf8) + bytes + Array("\":1}".utf8)] {
      guard case .encoding = refusal(text) else {
        Issue.record("\(bytes) passed")
        continue
      }
    }
  }

  @Test("agrees with Swift's own UTF-8 over every two-byte and many three-byte sequences")
  func everySequence() {
    for first in 0x80...0xff as ClosedRange<UInt8> {
      for second in 0...0xff as ClosedRange<UInt8> {
        for tail in [[], [0x80], [0xbf], [0x80, 0x80], [0xbf, 0xbf]] as [[UInt8]] {
          let bytes = [first, second] + tail
          let controls = bytes.contains { $0 < 0x20 || $0 == 0x22 || $0 == 0x5c }
          guard !controls else { continue }
          let expected = String(validating: bytes, as: UTF8.self) != nil
          #expect(isWellFormed([0x22] + bytes + [0x22]) == expected, "\(bytes)")
        }
      }
    }
  }

  @Test("holds to its limits exactly")
  func limits() {
    func nested(_ depth: Int) -> String {
      String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }
    #expect(refusal(nested(64)) == nil)
    #expect(refusal(nested(65)) == .tooDeep)
    var small = JSONLimits()
    small.depthMax = 2
    #expect(refusal(#"{"a":{}}"#, small) == nil)
    #expect(refusal(#"{"a":{"b":[]}}"#, small) == .tooDeep)
    #expect(refusal("12345678", JSONLimits(bytesMax: 8)) == nil)
    #expect(refusal("123456789", JSONLimits(bytesMax: 8)) == .tooLarge)
  }

  @Test("finds duplicates among many names")
  func manyNames() {
    for count in [11, 12, 13, 14, 1000] {
      let names = (0..<count).map { "\"n\($0)\":\($0)" }
      #expect(refusal("{" + names.joined(separator: ",") + "}") == nil)
      for twin in [0, count / 2, count - 1] {
        let text = "{" + (names + ["\"n\(twin)\":1"]).joined(separator: ",") + "}"
        guard case .duplicateName = refusal(text) else {
          Issue.record("the second n\(twin) of \(count) passed")
          continue
        }
      }
    }
  }

  @Test("reads in one way wherever a word of eight bytes begins")
  func alignment() {
    for shift in 0..<20 {
      let blanks = String(repeating: " ", count: shift)
      let text = String(repeating: "x", count: shift)
      #expect(refusal("\(blanks)[\"\(text)\"]") == nil)
      #expect(refusal("\(blanks)[\"\(text)\\\"\(text)é\(text)\"]") == nil)
      #expect(refusal("[\"\(text)\u{1f}\(text)\"]") == .syntax(at: 2 + shift))
    }
  }

  @Test(
    "takes time in proportion to the input", arguments: ["names", "escapes", "nesting", "text"])
  func linear(shape: String) {
    func text(_ count: Int) -> [UInt8] {
      let parts: [String] =
        switch shape {
        case "names": (0..<count).map { "\"name\($0)\":\($0)" }
        case "escapes": (0..<count).map { "\"\\u0061\($0)\":1" }
        case "nesting": (0..<count).map { "\"n\($0)\":{\"a\":[[[1]]]}" }
        default: ["\"a\":\"" + String(repeating: "é\\n long text ", count: count) + "\""]
        }
      return Array(("{" + parts.joined(separator: ",") + "}").utf8)
    }
    func seconds(_ bytes: [UInt8]) -> Double {
      (0..<5).map { _ in
        let start = threadSeconds()
        _ = refusal(bytes, JSONLimits(bytesMax: .max))
        return threadSeconds() - start
      }.min() ?? 0
    }
    let small = seconds(text(2000))
    let large = seconds(text(16_000))
    #expect(large < small * 8 * 5, "eight times the input took \(large / small) times as long")
  }
}
