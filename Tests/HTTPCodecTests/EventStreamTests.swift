// Where does an event end, and what does it say? Streams are cut at every byte, and comments are
// put in wherever the scanner allows it: the events must not change.

import HTTPCodec
import Testing

@Suite("Event streams") struct EventStreamTests {
  struct Event: Equatable {
    var type = "message"
    var data: String
    var id = ""
  }

  static let rows: [(String, [Event])] = [
    ("data: a\n\n", [Event(data: "a")]), ("data:a\r\n\r\n", [Event(data: "a")]),
    ("data:  a\r\r", [Event(data: " a")]),
    ("data: a\r\n\rdata: b\n\r", ["a", "b"].map { Event(data: $0) }),
    ("data: a\ndata: b\ndata\n\n", [Event(data: "a\nb\n")]),
    ("event: endpoint\ndata: /m?s=1\n\n", [Event(type: "endpoint", data: "/m?s=1")]),
    ("id: 7\ndata: a\n\ndata: b\n\n", [Event(data: "a", id: "7"), Event(data: "b", id: "7")]),
    ("id: 7\n\ndata: b\n\n", [Event(data: "b", id: "7")]),
    ("id: 7\ndata: a\n\nid\ndata: b\n\n", [Event(data: "a", id: "7"), Event(data: "b")]),
    ("id: a\u{0}b\ndata: x\n\n", [Event(data: "x")]),
    (": comment\ndata: a\n\n", [Event(data: "a")]),
    ("\u{feff}data: a\n\n", [Event(data: "a")]),  // one mark is skipped
    ("\u{feff}\u{feff}data: a\n\n", []), ("data: a\n\n\u{feff}data: b\n\n", [Event(data: "a")]),
    ("event: x\n\ndata: a\n\n", [Event(data: "a")]),  // a type without data is forgotten
    ("data\n\n", [Event(data: "")]), ("data:\n\n", [Event(data: "")]), ("\n\n\n", []),
    ("data: a\n", []), ("data: a", []), ("Data: a\n\n", []), (" data: a\n\n", []),
    ("other: a\ndata: b\n\n", [Event(data: "b")]), ("retry: 5\ndata: b\n\n", [Event(data: "b")]),
    ("data: é😀\n\n", [Event(data: "é😀")]),
    ("data: {\"a\":\":\"}\n\n", [Event(data: "{\"a\":\":\"}")]),
    ("\r\n\r\ndata: a\r\n\r\n", [Event(data: "a")]),
    ("data: a\n\n\ndata: b\n\n", ["a", "b"].map { Event(data: $0) }),
  ]

  @Test("are read alike wherever they are cut", arguments: rows)
  func events(text: String, expected: [Event]) throws {
    let bytes = Array(text.utf8)
    #expect(try events(bytes, cuts: []) == expected)
    #expect(try events(bytes, cuts: Array(0...bytes.count)) == expected)
    for cut in 0...bytes.count { #expect(try events(bytes, cuts: [cut]) == expected) }
  }

  @Test("keep their events when comments are put between them", arguments: rows)
  func heartbeats(text: String, expected: [Event]) throws {
    let bytes = Array(text.utf8)
    let beat = Array(":\n\n".utf8)
    for first in 1...max(1, min(5, bytes.count)) {
      var scanner = EventStreamScanner()
      #expect(scanner.isAtStart && scanner.isAtBoundary)
      var result = beat
      for piece in [Array(bytes.prefix(first))] + bytes.dropFirst(first).map({ [$0] }) {
        let behind = piece.withUnsafeBytes { scanner.scanBehindOurs($0) }
        result += behind.restored + piece.dropFirst(behind.dropped)
        if scanner.isAtBoundary { result += beat }
      }
      #expect(try events(result, cuts: []) == expected)
      #expect(result.count > bytes.count)
    }
  }

  @Test("lose their mark, and nothing that only begins like one, behind a comment of ours")
  func marks() {
    let mark: [UInt8] = [0xef, 0xbb, 0xbf]
    for (bytes, expected) in [
      (mark, []), (mark + [0x64], [0x64]), (mark + mark, mark), ([0xef, 0x64], [0xef, 0x64]),
      ([0xef, 0xbb, 0x0a], [0xef, 0xbb, 0x0a]), ([0x64] + mark, [0x64] + mark), ([0x0a], [0x0a]),
    ] as [([UInt8], [UInt8])] {
      for first in 0...bytes.count {
        for second in first...bytes.count {
          var scanner = EventStreamScanner()
          var result: [UInt8] = []
          for piece in [bytes[..<first], bytes[first..<second], bytes[second...]].map(Array.init) {
            let behind = piece.withUnsafeBytes { scanner.scanBehindOurs($0) }
            result += behind.restored + piece.dropFirst(behind.dropped)
          }
          #expect(result == expected, "\(bytes) cut at \(first) and \(second)")
        }
      }
    }
  }

  @Test("have the same boundaries wherever they are cut", arguments: rows)
  func boundaries(text: String, expected: [Event]) {
    let bytes = Array(text.utf8)
    for end in 0...bytes.count {
      var whole = EventStreamScanner()
      bytes[..<end].withUnsafeBytes { whole.scan($0) }
      for cut in 0...end {
        var parts = EventStreamScanner()
        bytes[..<cut].withUnsafeBytes { parts.scan($0) }
        bytes[cut..<end].withUnsafeBytes { parts.scan($0) }
        #expect(parts.isAtBoundary == whole.isAtBoundary, "\(end) cut at \(cut)")
      }
    }
  }

  @Test("have a boundary only between events")
  func places() {
    let rows: [(String, Bool)] = [
      ("", true), ("d", false), ("data: a", false), ("data: a\n", false), ("data: a\n\n", true),
      ("data: a\r", false), ("data: a\r\n", false), ("data: a\r\n\r", true),
      ("data: a\r\n\r\n", true), (": c", false), (": c\n", true), (":\n\n", true),
      ("id: 1\n: c\n", false), ("data: a\n\nd", false), ("\n", true), ("\u{feff}", true),
    ]
    for (text, expected) in rows {
      var scanner = EventStreamScanner()
      Array(text.utf8).withUnsafeBytes { scanner.scan($0) }
      #expect(scanner.isAtBoundary == expected, "\(text.debugDescription)")
    }
  }

  @Test("with too much in one event are refused")
  func bounds() {
    let long = Array(("data: " + String(repeating: "x", count: 200)).utf8)
    let many = Array(String(repeating: "data: xxxxxxxx\n", count: 20).utf8)
    for bytes in [long, many] {
      var parser = EventStreamParser(eventBytesMax: 100)
      let result = bytes.withUnsafeBytes { bytes in
        Result { () throws(EventStreamError) in try parser.next(bytes).consumed }
      }
      #expect(result == .failure(.eventTooLong))
    }
  }

  @Test("say when to come back in digits alone")
  func retry() throws {
    for (text, expected) in [("5", 5), ("05", 5), ("0", 0), ("+5", nil), ("5s", nil), ("", nil)]
      as [(String, UInt64?)]
    {
      var parser = EventStreamParser()
      try Array("retry: \(text)\n".utf8).withUnsafeBytes { _ = try parser.next($0) }
      #expect(parser.retryMilliseconds == expected, "\(text)")
    }
  }

  private func events(_ bytes: [UInt8], cuts: [Int]) throws -> [Event] {
    var parser = EventStreamParser()
    var found: [Event] = []
    var start = 0
    for cut in cuts + [bytes.count] {
      var offset = start
      start = cut
      while offset < cut {
        let step = try bytes[offset..<cut].withUnsafeBytes { try parser.next($0) }
        offset += step.consumed
        if let event = step.event {
          found.append(
            Event(
              type: String(decoding: event.type, as: UTF8.self),
              data: String(decoding: event.data, as: UTF8.self),
              id: String(decoding: event.lastID, as: UTF8.self)))
        }
      }
    }
    return found
  }
}
