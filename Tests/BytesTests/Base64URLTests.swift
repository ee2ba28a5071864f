// Holds base64url to RFC 4648 and to one text for each byte string: whatever encoding would not
// write is refused, in every place of a text and at every length.

import Bytes
import Testing

@Suite("Base64url") struct Base64URLTests {
  static let rows: [([UInt8], String)] = [
    ([], ""), (Array("f".utf8), "Zg"), (Array("fo".utf8), "Zm8"), (Array("foo".utf8), "Zm9v"),
    (Array("foob".utf8), "Zm9vYg"), (Array("fooba".utf8), "Zm9vYmE"),
    (Array("foobar".utf8), "Zm9vYmFy"), ([0xfb, 0xff, 0xbf], "-_-_"),
  ]  // RFC 4648 section 10, and the two characters that are not base64's

  @Test("writes and reads the published texts", arguments: rows)
  func published(bytes: [UInt8], text: String) {
    #expect(Base64URL.encode(bytes) == text)
    #expect(Base64URL.decode(text) == bytes)
  }

  @Test("reads back every length, and nothing with one character changed") func lengths() {
    for count in 0...70 {
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 151 &+ count &* 89) }
      let text = Array(Base64URL.encode(bytes).utf8)
      #expect(text.count == Base64URL.encodedLength(of: count))
      #expect(decoded(text) == bytes)
      for place in text.indices {
        for character in UInt8.min...UInt8.max where character != text[place] {
          var other = text
          other[place] = character
          // Either it is no text, or it is the one text of other bytes.
          guard let found = decoded(other) else { continue }
          #expect(found != bytes && Array(Base64URL.encode(found).utf8) == other)
        }
      }
    }
  }

  @Test("refuses every foreign character in every place") func foreign() {
    let alphabet = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
    for count in [2, 3, 4, 6, 7, 8, 86] {
      for place in 0..<count {
        for character in UInt8.min...UInt8.max where !alphabet.contains(character) {
          var text = [UInt8](repeating: UInt8(ascii: "A"), count: count)
          text[place] = character
          #expect(decoded(text) == nil, "\(character) at \(place) of \(count)")
        }
      }
    }
  }

  @Test(
    "refuses padding, a lone character and dangling bits",
    arguments: ["Zg==", "Zm8=", "Zm9v=", "Z", "Zm9vY", "Zh", "Zm9", "Zm9vYh"])
  func refused(text: String) { #expect(Base64URL.decode(text) == nil) }

  private func decoded(_ text: [UInt8]) -> [UInt8]? {
    text.withUnsafeBytes { Base64URL.decode($0) }
  }
}
