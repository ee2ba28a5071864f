// Whether the second net under the log holds: planted canaries in every form that the house knows,
// and ordinary lines that must come through untouched.

import Bytes
import Testing

@testable import Logging

@Suite("Scrubbing") struct ScrubbingTests {
  static let secret: [UInt8] = (0..<64).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 11) }
  static let credential = Base64URL.encode(secret)

  static func percent(_ text: String, every: Int) -> String {
    var result = ""
    for (index, byte) in text.utf8.enumerated() {
      result +=
        index % every == 0
        ? "%" + Hex.encode([byte]).uppercased() : String(decoding: [byte], as: UTF8.self)
    }
    return result
  }

  /// Standard base64, written here because the house has only the URL form.
  static func base64(_ bytes: [UInt8]) -> String {
    let url = Base64URL.encode(bytes).utf8.map { byte in
      byte == UInt8(ascii: "-") ? UInt8(ascii: "+") : byte == UInt8(ascii: "_") ? 0x2f : byte
    }
    return String(decoding: url, as: UTF8.self)
      + String(repeating: "=", count: (3 - bytes.count % 3) % 3)
  }

  static let canaries: [(String, String)] = [
    ("raw", credential),
    ("raw half", Base64URL.encode(Array(secret.prefix(32)))),
    ("percent, all", percent(credential, every: 1)),
    ("percent, some", percent(credential, every: 7)),
    ("percent twice", percent(percent(credential, every: 1), every: 3)),
    ("hex of the text", Hex.encode(Array(credential.utf8))),
    ("hex of the bytes", Hex.encode(secret)),
    ("hex, upper case", Hex.encode(secret).uppercased()),
    ("base64 of the text", base64(Array(credential.utf8))),
    ("base64 of the bytes", base64(secret)),
    ("base64 with escaped slashes", base64(secret).replacing("/", with: "\\/")),
    ("base64, percent", base64(secret).replacing("+", with: "%2B").replacing("=", with: "%3D")),
    ("unicode escapes", credential.utf8.map { "\\u00" + Hex.encode([$0]) }.joined()),
  ]

  @Test("takes out a canary in every form and position", arguments: canaries)
  func canary(form: String, text: String) {
    for line in [
      #"{"a":"\#(text)"}"#, text, "x=\(text)&y", "GET /mcp/linear/\(text) HTTP/1.1",
      "Bearer \(text)", "\(text),\(text)",
    ] {
      let clean = String(decoding: Scrubbing.scrub(Array(line.utf8)), as: UTF8.self)
      #expect(!clean.contains(text), "\(form) in \(line)")
      for window in windows(of: text, length: 24) { #expect(!clean.contains(window)) }
    }
  }

  private func windows(of text: String, length: Int) -> [String] {
    let bytes = Array(text.utf8)
    return stride(from: 0, to: bytes.count - length, by: 8).map {
      String(decoding: bytes[$0..<$0 + length], as: UTF8.self)
    }
  }

  static let short: [(String, String)] = [
    ("bnd_live_abc.", "bnd_[REDACTED]."),
    ("key=userk_0123 next", "key=userk_[REDACTED] next"),
    ("spacek_zz", "spacek_[REDACTED]"),
    ("x/bnd_stg_q\"", "x/bnd_[REDACTED]\""),
    ("Authorization: Bearer abcdefgh12", "Authorization: Bearer [REDACTED]"),
    ("authorization: bEaReR   abcdefgh12;", "authorization: bEaReR   [REDACTED];"),
    ("Bearer%20abcdefgh12", "Bearer%20[REDACTED]"),
  ]

  @Test("takes out what follows a known prefix, however short", arguments: short)
  func prefix(line: String, expected: String) {
    #expect(String(decoding: Scrubbing.scrub(Array(line.utf8)), as: UTF8.self) == expected)
  }

  static let innocent = [
    "", "%", "%4", "\\", "\\u12", "bnd_", "Bearer", "Bearer  ", "100%",
    #"{"ts":"2026-11-21T05:23:00.123Z","level":"info","service":"edge","event":"ready","n":-5}"#,
    String(repeating: "a", count: 42), "0123456789abcdef 0123456789abcdef",
    "the bearer of this message is fine",
  ]

  @Test("leaves ordinary text alone", arguments: innocent)
  func untouched(line: String) {
    #expect(Scrubbing.scrub(Array(line.utf8)) == Array(line.utf8))
  }

  @Test(
    "costs linear time on lines made to be slow", arguments: ["bearer ", "bnd_ ", "%4", "ab.", "b"])
  func linear(piece: String) {
    // 1 MiB of each: a quadratic scan would take hours here.
    let line = Array(String(repeating: piece, count: (1 << 20) / piece.utf8.count).utf8)
    #expect(Scrubbing.scrub(line).count <= line.count)
  }
}
