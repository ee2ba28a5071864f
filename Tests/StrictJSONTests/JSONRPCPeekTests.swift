// Whose id does an error answer? Rows are messages in which
// a careless look finds the wrong one.

import StrictJSON
import Testing

@Suite("JSON-RPC peek") struct JSONRPCPeekTests {
  /// The id as text, or the name of the case.
  func id(_ text: String) -> String {
    let bytes = Array(text.utf8)
    return bytes.withUnsafeBytes { bytes in
      let peek = JSONRPCPeek(bytes)
      switch peek.identity {
      case .absent: return "absent"
      case .unknown: return "unknown"
      case .null: return "null"
      case .value: return peek.id.map { String(decoding: $0, as: UTF8.self) } ?? "-"
      }
    }
  }

  func method(_ text: String) -> String? {
    let bytes = Array(text.utf8)
    return bytes.withUnsafeBytes { bytes in
      JSONRPCPeek(bytes).method.map { String(decoding: $0, as: UTF8.self) }
    }
  }

  static let rows: [(String, String)] = [
    (#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#, "7"),
    (#"{"method":"ping","params":{"id":1},"id":2}"#, "2"),  // the nested one comes first
    (#"{"id":2,"params":{"id":1}}"#, "2"),
    (#"{"params":{"id":1}}"#, "absent"),  // only a nested one
    (#"{"params":[{"id":1}]}"#, "absent"),
    (#"{"params":"\"id\":5"}"#, "absent"),  // inside a string
    (#"{"\u0069d":3}"#, #"3"#),  // escaped name
    (#"{"id":"a\"b"}"#, #""a\"b""#), (#"{"id":"é"}"#, #""é""#),
    (#"{"id":-1.5e3}"#, "-1.5e3"), (#"{"id":null}"#, "null"),
    (#"{"id":1,"id":2}"#, "unknown"), (#"{"id":1,"\u0069\u0064":1}"#, "unknown"),  // which one?
    (#"{"id":{"a":1}}"#, "unknown"), (#"{"id":[1]}"#, "unknown"), (#"{"id":true}"#, "unknown"),
    (#"{"ID":1}"#, "absent"), (#"{"id ":1}"#, "absent"),
    (#"[{"id":1}]"#, "unknown"), ("1", "unknown"), (#""id""#, "unknown"), ("", "unknown"),
    (#"{"id":1,"params":{"#, "1"),  // cut off behind it
    (#"{"id":1"#, "unknown"),  // perhaps 12
    (#"{"id":1 "#, "1"), (#"{"id":"ab"#, "unknown"), (#"{"id":"ab""#, #""ab""#),
    (#"{"id":"#, "unknown"), (#"{"params":{"a":"#, "unknown"), (#"{"id":nul"#, "unknown"),
    (#"{"id":1,}"#, "unknown"), (#"{"id":1} x"#, "unknown"), (#"{"id":01}"#, "unknown"),
    (#"{"id":"\ud800"}"#, "unknown"), ("{\"id\":\"a\u{1}\"}", "unknown"),
    (
      #"{"id":"\#(String(repeating: "x", count: 254))"}"#,
      #""\#(String(repeating: "x", count: 254))""#
    ),
    (#"{"id":"\#(String(repeating: "x", count: 255))"}"#, "unknown"),
  ]

  @Test("finds the outermost id or none", arguments: rows)
  func identity(text: String, expected: String) { #expect(id(text) == expected) }

  @Test("finds the method")
  func methods() {
    #expect(method(#"{"method":"tools/call","params":{"method":"x"}}"#) == "tools/call")
    #expect(method(#"{"params":{"method":"x"}}"#) == nil)
    #expect(method(#"{"method":"a","method":"b"}"#) == nil)
    #expect(method(#"{"method":"a\u0062"}"#) == nil)
    #expect(method(#"{"method":7}"#) == nil)
    #expect(method(#"{"method":"tools/call","par"#) == "tools/call")
    #expect(method(#"{"method":"tools/ca"#) == nil)
  }

  @Test("never changes its mind when more of the message comes")
  func prefixes() {
    let texts =
      Self.rows.map(\.0) + [
        #"{"jsonrpc":"2.0","method":"m","params":{"a":[1,{"id":9}]},"id":"q-1","x":null}"#
      ]
    for text in texts {
      let bytes = Array(text.utf8)
      let whole = id(text)
      for count in 0..<bytes.count {
        let part = Array(bytes[..<count])
        part.withUnsafeBytes { part in
          guard let value = JSONRPCPeek(part).id else { return }
          let said = String(decoding: value, as: UTF8.self)
          #expect(said == whole || whole == "unknown", "\(text) at \(count)")
        }
      }
    }
  }
}
