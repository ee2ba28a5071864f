// What may an upstream say about its body? One row for each answer that two readers could cut in
// two different places.

import HTTPCodec
import Testing

@Suite("Response heads") struct ResponseHeadTests {
  struct Answer: Equatable {
    var status: Int
    var framing: BodyFraming
    var keepAlive: Bool
  }

  static func answer(_ status: Int, _ framing: BodyFraming, _ keepAlive: Bool = true)
    -> Result<Answer, HeadError>
  {
    .success(Answer(status: status, framing: framing, keepAlive: keepAlive))
  }

  static let rows: [(String, Method, Result<Answer, HeadError>)] = [
    ("HTTP/1.1 200 OK\r\nContent-Length: 5", .get, answer(200, .length(5))),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", .post, answer(200, .chunked)),
    ("HTTP/1.1 200 OK", .get, answer(200, .untilClose, false)),
    ("HTTP/1.1 200 \r\nContent-Length: 0", .get, answer(200, .length(0))),
    ("HTTP/1.1 200\r\nContent-Length: 0", .get, answer(200, .length(0))),
    ("HTTP/1.1 599 caf\u{e9}\ttab\r\nContent-Length: 0", .get, answer(599, .length(0))),
    // Answers without a body, whatever they say about one.
    ("HTTP/1.1 204 No Content", .post, answer(204, .none)),
    ("HTTP/1.1 204 No Content\r\nContent-Length: 0", .post, answer(204, .none)),
    ("HTTP/1.1 204 No Content\r\nContent-Length: 5", .post, .failure(.bodyForbidden)),
    ("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked", .get, .failure(.bodyForbidden)),
    ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5", .get, answer(304, .none)),
    ("HTTP/1.1 200 OK\r\nContent-Length: 5", .head, answer(200, .none)),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", .head, answer(200, .none)),
    ("HTTP/1.1 100 Continue", .post, answer(100, .none)),
    ("HTTP/1.1 103 Early Hints\r\nLink: x", .post, answer(103, .none)),
    ("HTTP/1.1 100 Continue\r\nContent-Length: 5", .post, .failure(.bodyForbidden)),
    (
      "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade", .get, answer(101, .none, false)
    ),
    // Two framings, or none that can be believed.
    (
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked", .get,
      .failure(.framingConflict)
    ),
    (
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5", .get,
      .failure(.fieldRepeated(.contentLength))
    ),
    ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5", .get, .failure(.contentLength)),
    ("HTTP/1.1 200 OK\r\nContent-Length: +5", .get, .failure(.contentLength)),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked", .get, .failure(.transferEncoding)),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity", .get, .failure(.transferEncoding)),
    ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked", .get, .failure(.transferEncoding)),
    // Whether the connection can be used again.
    (
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close", .get,
      answer(200, .length(5), false)
    ),
    ("HTTP/1.0 200 OK\r\nContent-Length: 5", .get, answer(200, .length(5), false)),
    (
      "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive", .get,
      answer(200, .length(5))
    ),
    // Status lines.
    ("HTTP/1.1 099 x", .get, .failure(.statusLine)),
    ("HTTP/1.1 600 x", .get, .failure(.statusLine)),
    ("HTTP/1.1 20 x", .get, .failure(.statusLine)),
    ("HTTP/1.1 2000 x", .get, .failure(.statusLine)),
    ("HTTP/1.1 +20 x", .get, .failure(.statusLine)),
    ("HTTP/1.1  200 x", .get, .failure(.statusLine)),
    ("HTTP/1.1 200x", .get, .failure(.statusLine)),
    ("HTTP/1.1\t200 x", .get, .failure(.statusLine)),
    ("HTTP/2.0 200 OK", .get, .failure(.version)), ("ICY 200 OK", .get, .failure(.statusLine)),
    ("http/1.1 200 OK", .get, .failure(.statusLine)), ("", .get, .failure(.statusLine)),
    ("{\"error\":1}", .get, .failure(.statusLine)),
    // Lines.
    ("HTTP/1.1 200 OK\r\nX: a\r\n b", .get, .failure(.fieldName)),
    ("HTTP/1.1 200 OK\r\nX : a", .get, .failure(.fieldName)),
    ("HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b", .get, .failure(.controlByte(10))),
    ("HTTP/1.1 200 O\rK", .get, .failure(.controlByte(13))),
    ("HTTP/1.1 200 OK\r\nX: \u{0}", .get, .failure(.controlByte(0))),
    ("HTTP/1.1 200 OK\r\nx_request_id: a\r\nContent-Length: 1", .get, answer(200, .length(1))),
    (
      "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 1", .get,
      answer(200, .length(1))
    ),
  ]

  @Test("have one framing or are refused, however they are cut", arguments: rows)
  func verdict(text: String, method: Method, expected: Result<Answer, HeadError>) {
    let bytes = Array((text + "\r\n\r\n").utf8)
    let head = ResponseHead()
    for step in [bytes.count, 1, 3] {
      var found: Result<Answer, HeadError>?
      var count = 0
      while found == nil, count < bytes.count {
        count = min(count + step, bytes.count)
        let part = Array(bytes[..<count])
        found = part.withUnsafeBytes { part in
          do throws(HeadError) {
            guard let length = try head.parse(part, limits: HeadLimits(), answering: method) else {
              return nil
            }
            #expect(length == bytes.count)
            return .success(
              Answer(status: head.status, framing: head.framing, keepAlive: head.keepAlive))
          } catch { return .failure(error) }
        }
      }
      #expect(found == expected, "in steps of \(step)")
    }
  }

  @Test("know an event stream by its media type")
  func eventStream() throws {
    let types = [
      ("text/event-stream", true), ("Text/Event-Stream; charset=utf-8", true),
      ("text/event-stream ;x", true), ("text/event-streams", false), ("application/json", false),
    ]
    for (type, expected) in types {
      let bytes = Array("HTTP/1.1 200 OK\r\nContent-Type: \(type)\r\n\r\n".utf8)
      try bytes.withUnsafeBytes { bytes in
        let head = ResponseHead()
        _ = try #require(try head.parse(bytes, limits: HeadLimits(), answering: .get))
        #expect(head.isEventStream(in: bytes) == expected, "\(type)")
      }
    }
  }

  @Test("that never end are refused at the limit")
  func endless() {
    let bytes = Array(("HTTP/1.1 200 OK\r\n" + String(repeating: "X: y\r\n", count: 99)).utf8)
    let long = Array(("HTTP/1.1 200 OK\r\nX: " + String(repeating: "y", count: 40_000)).utf8)
    for (bytes, expected) in [(bytes + bytes, HeadError.fieldName), (long, .headTooLong)] {
      let head = ResponseHead()
      _ = bytes.withUnsafeBytes { bytes in
        #expect(throws: expected) {
          try head.parse(bytes, limits: HeadLimits(), answering: .get)
        }
      }
    }
  }
}
