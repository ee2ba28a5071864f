// The constants of byte sets,
// against the grammar's text.

import Testing

@testable import HTTPCodec

@Suite("Byte sets") struct ByteSetTests {
  static let letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
  static let visible = String(decoding: (0x21...0x7e as ClosedRange<UInt8>), as: UTF8.self)

  static func without(_ bytes: String) -> String { visible.filter { !bytes.contains($0) } }

  @Test("hold what the grammar says and nothing else")
  func contents() {
    let sets: [(ByteSet, String)] = [
      (.token, Self.letters + "!#$%&'*+-.^_`|~"), (.requestName, Self.letters + "!#$%&'*+-.^`|~"),
      (.path, Self.letters + "-._~!$&'()*+,;=:@%/"), (.query, Self.without("#\"<>\\")),
      (.host, Self.letters + "-._"), (.cookieValue, Self.without("\",;\\")),
    ]
    for (set, text) in sets {
      let expected = Set(text.utf8)
      for byte in 0...255 as ClosedRange<UInt8> {
        #expect(set.contains(byte) == expected.contains(byte), "\(byte) of \(text)")
      }
    }
  }

  @Test("controls are found wherever a word of eight bytes begins")
  func controls() {
    for byte in 0...255 as ClosedRange<UInt8> {
      for count in [1, 7, 8, 9, 17] {
        for place in 0..<count {
          var bytes = [UInt8](repeating: 0xff, count: count)
          bytes[place] = byte
          let found = bytes.withUnsafeBytes { bytes in
            bytes.baseAddress.map { LineScanner.controlIndex($0, from: 0, to: count) }
          }
          #expect(found == (byte < 0x20 || byte == 0x7f ? place : count))
        }
      }
    }
  }
}
