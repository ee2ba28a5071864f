// Where does a chunk end? One row for each spelling that two decoders could read differently, each
// decoded whole, at every cut and a byte at a time.

import Bytes
import HTTPCodec
import Testing

@Suite("Chunks") struct ChunkTests {
  enum Outcome: Equatable {
    /// The body, and how many bytes follow it.
    case body(String, rest: Int)
    case incomplete
    case refused(ChunkError)
  }

  static let rows: [(String, Outcome)] = [
    ("0\r\n\r\n", .body("", rest: 0)), ("5\r\nhello\r\n0\r\n\r\n", .body("hello", rest: 0)),
    ("5\r\nhello\r\n1\r\n!\r\n00\r\n\r\nGET", .body("hello!", rest: 3)),
    ("A\r\n0123456789\r\n0\r\n\r\n", .body("0123456789", rest: 0)),
    ("0000000000000002\r\nhi\r\n0\r\n\r\n", .body("hi", rest: 0)),
    ("2;a=b;c=\"d e\"\r\nhi\r\n0;x\r\n\r\n", .body("hi", rest: 0)),
    ("2;\t\r\nhi\r\n0\r\n\r\n", .body("hi", rest: 0)),
    ("2\r\n\r\n\r\n0\r\n\r\n", .body("\r\n", rest: 0)),
    ("0\r\nVary: *\r\nContent-Type: a/b\r\nX: \r\n\r\n", .body("", rest: 0)),
    ("", .incomplete), ("5", .incomplete), ("5\r", .incomplete), ("5\r\nhell", .incomplete),
    ("5\r\nhello", .incomplete), ("5\r\nhello\r\n0\r\n", .incomplete),
    ("0\r\nX: y\r\n", .incomplete),
    // Sizes.
    ("00000000000000002\r\nhi", .refused(.size)), ("10000000000000000\r\n", .refused(.size)),
    ("8000000000000000\r\n", .refused(.size)), ("FFFFFFFFFFFFFFFF\r\n", .refused(.size)),
    ("7FFFFFFFFFFFFFFF\r\nx", .incomplete),
    ("+2\r\nhi", .refused(.size)), ("-2\r\nhi", .refused(.size)), ("0x2\r\nhi", .refused(.size)),
    ("0_2\r\nhi", .refused(.size)), (" 2\r\nhi", .refused(.size)), ("2 \r\nhi", .refused(.size)),
    ("2\t\r\nhi", .refused(.size)), ("2 ;a\r\nhi", .refused(.size)), ("\r\nhi", .refused(.size)),
    (";a\r\nhi", .refused(.size)), ("g\r\nhi", .refused(.size)), ("２\r\nhi", .refused(.size)),
    ("2,\r\nhi", .refused(.size)), ("\u{0}2\r\nhi", .refused(.size)),
    // Line ends.
    ("2\nhi\r\n", .refused(.lineEnd(10))), ("2\rhi\r\n", .refused(.lineEnd(UInt8(ascii: "h")))),
    ("2\r\rhi", .refused(.lineEnd(13))), ("2;a\nhi", .refused(.lineEnd(10))),
    ("2;a\rb\r\nhi", .refused(.lineEnd(UInt8(ascii: "b")))),
    ("2;a\u{0}\r\nhi", .refused(.lineEnd(0))), ("2;\u{7f}\r\nhi", .refused(.lineEnd(127))),
    ("2\r\nhi\n0\r\n\r\n", .refused(.lineEnd(10))),
    ("2\r\nhi0\r\n\r\n", .refused(.lineEnd(UInt8(ascii: "0")))),
    ("2\r\nhi!\r\n", .refused(.lineEnd(UInt8(ascii: "!")))),
    ("2\r\nhi\r0\r\n", .refused(.lineEnd(UInt8(ascii: "0")))), ("0\n\n", .refused(.lineEnd(10))),
    ("0\r\n\n", .refused(.trailer)), ("0\r\n\rx", .refused(.lineEnd(UInt8(ascii: "x")))),
    // Trailers.
    ("0\r\nno colon\r\n\r\n", .refused(.trailer)), ("0\r\n: x\r\n\r\n", .refused(.trailer)),
    ("0\r\nX : y\r\n\r\n", .refused(.trailer)), ("0\r\n X: y\r\n\r\n", .refused(.trailer)),
    ("0\r\nX_Y: y\r\n\r\n", .refused(.trailer)), ("0\r\nX\r\n\r\n", .refused(.trailer)),
    ("0\r\nX: y\n\r\n", .refused(.lineEnd(10))), ("0\r\nX: \u{0}\r\n", .refused(.lineEnd(0))),
    ("0\r\nX: y\rz\r\n", .refused(.lineEnd(UInt8(ascii: "z")))),
    ("0\r\nContent-Length: 2\r\n\r\n", .refused(.trailerForbidden(.contentLength))),
    ("0\r\nX: y\r\nHOST: a\r\n\r\n", .refused(.trailerForbidden(.host))),
    ("0\r\nTransfer-Encoding: chunked\r\n\r\n", .refused(.trailerForbidden(.transferEncoding))),
    ("0\r\nAuthorization: x\r\n\r\n", .refused(.trailerForbidden(.authorization))),
    (
      "0\r\nMcp-Param-A-Very-Long-Name-That-Goes-On-And-On: x\r\n\r\n",
      .refused(.trailerForbidden(.mcpParameter))
    ),
    ("0\r\nAccess-Control-Request-Headers-And-More: x\r\n\r\n", .body("", rest: 0)),
  ]

  @Test("have one reading, wherever they are cut", arguments: rows)
  func verdict(text: String, expected: Outcome) {
    let bytes = Array(text.utf8)
    #expect(decode(bytes, cuts: []) == expected)
    #expect(decode(bytes, cuts: Array(0...bytes.count)) == expected, "a byte at a time")
    for cut in 0...bytes.count {
      #expect(decode(bytes, cuts: [cut]) == expected, "cut at \(cut)")
    }
  }

  @Test("keep to their limits exactly")
  func limits() {
    func of(_ text: String) -> Outcome { decode(Array(text.utf8), cuts: []) }
    func x(_ count: Int) -> String { String(repeating: "x", count: count) }
    #expect(of("0;\(x(254))\r\n\r\n") == .body("", rest: 0))
    #expect(of("0;\(x(255))\r\n\r\n") == .refused(.sizeLineTooLong))
    let chunk = "1;\(x(128))\r\n!\r\n"
    #expect(of(String(repeating: chunk, count: 128)) == .incomplete)
    #expect(of(String(repeating: chunk, count: 129)) == .refused(.extensionsTooLong))
    #expect(of("0\r\nX: \(x(8190))\r\n\r\n") == .refused(.trailersTooLong))
    #expect(of("0\r\nX: \(x(8000))\r\n\r\n") == .body("", rest: 0))
  }

  @Test("come in pieces no larger than asked for")
  func piecesAtMost() throws {
    let buffer = Buffer(capacity: 64)
    buffer.append("a\r\n0123456789\r\n0\r\n\r\nrest")
    var body = BodyDecoder(.chunked)
    var pieces: [String] = []
    while let piece = try body.next(from: buffer, atMost: 4) {
      pieces.append(String(decoding: piece, as: UTF8.self))
    }
    #expect(pieces == ["0123", "4567", "89"])
    #expect(body.isComplete)
    #expect(buffer.count == 4)
  }

  @Test("written are read back")
  func written() {
    let buffer = Buffer(capacity: 8)
    let text = String(repeating: "hello ", count: 100)
    Array(text.utf8).withUnsafeBytes { buffer.append(chunk: $0) }
    buffer.append(chunk: UnsafeRawBufferPointer(start: nil, count: 0))
    buffer.appendLastChunk()
    #expect(decode(Array(buffer.readable), cuts: []) == .body(text, rest: 0))
  }

  @Test("bodies of a length and bodies without an end")
  func otherFramings() throws {
    let buffer = Buffer(capacity: 8)
    buffer.append("hello, rest")
    var body = BodyDecoder(.length(5))
    let piece = try #require(try body.next(from: buffer))
    #expect(piece.elementsEqual("hello".utf8))
    #expect(body.isComplete && buffer.count == 6)
    #expect(try body.next(from: buffer) == nil)
    #expect(BodyDecoder.none.isComplete && BodyDecoder(.length(0)).isComplete)
    var endless = BodyDecoder(.untilClose)
    #expect(try endless.next(from: buffer)?.count == 6)
    #expect(!endless.isComplete && endless.endsWithConnection)
    var huge = BodyDecoder(.length(.max))
    buffer.append("x")
    #expect(try huge.next(from: buffer)?.count == 1)
  }

  private func decode(_ bytes: [UInt8], cuts: [Int]) -> Outcome {
    var decoder = ChunkDecoder()
    var body: [UInt8] = []
    var start = 0
    for cut in cuts + [bytes.count] {
      let piece = Array(bytes[start..<cut])
      var offset = 0
      while offset < piece.count, !decoder.isEnd {
        do throws(ChunkError) {
          let step = try piece[offset...].withUnsafeBytes { rest in
            Result { () throws(ChunkError) in try decoder.next(rest) }
          }.get()
          body += piece[(offset + step.payload.lowerBound)..<(offset + step.payload.upperBound)]
          offset += step.consumed
        } catch { return .refused(error) }
      }
      if decoder.isEnd {
        return .body(
          String(decoding: body, as: UTF8.self), rest: bytes.count - start - offset)
      }
      start = cut
    }
    return .incomplete
  }
}
