// Thousands of requests, answers and bodies spoiled at random: none may stop the process, and none
// may be read in two ways when it comes in other pieces. Each run prints its seed;
// BINDERY_TEST_SEED repeats one.

import Bytes
import FoundationEssentials
import Glibc
import HTTPCodec
import Testing

/// A small repeatable generator (SplitMix64).
private struct Dice: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }
}

@Suite("Spoiled messages") struct MutationTests {
  static let seed: UInt64 = {
    let given = ProcessInfo.processInfo.environment["BINDERY_TEST_SEED"].flatMap { UInt64($0) }
    return given ?? UInt64.random(in: 0...999_999_999)
  }()

  static let spoilers: [[UInt8]] = [
    [13], [10], [13, 10], [13, 10, 13, 10], [0], [9], [32], [0x7f], [0x80], [0xff], Array(":".utf8),
    Array(";".utf8), Array(",".utf8), Array("_".utf8), Array("0".utf8), Array("ffffffff".utf8),
    Array("Content-Length: 3\r\n".utf8), Array("Transfer-Encoding: chunked\r\n".utf8),
    Array("Host: b\r\n".utf8), Array(" HTTP/1.1".utf8), Array("%2e%2e/".utf8), Array("//".utf8),
    Array("Connection: close\r\n".utf8), Array("0\r\n\r\n".utf8),
  ]

  private func spoil(_ bytes: inout [UInt8], _ dice: inout Dice) {
    for _ in 0..<Int.random(in: 1...4, using: &dice) {
      let place = Int.random(in: 0...bytes.count, using: &dice)
      switch Int.random(in: 0..<5, using: &dice) {
      case 0 where place < bytes.count: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &dice)
      case 1 where place < bytes.count:
        bytes.removeSubrange(place..<min(place + Int.random(in: 1...8, using: &dice), bytes.count))
      case 2 where place < bytes.count:
        let piece = bytes[place..<min(place + Int.random(in: 1...40, using: &dice), bytes.count)]
        bytes.insert(contentsOf: Array(piece), at: Int.random(in: 0...bytes.count, using: &dice))
      case 3: bytes.removeSubrange(place...)
      default: bytes.insert(contentsOf: Self.spoilers.randomElement(using: &dice) ?? [], at: place)
      }
    }
  }

  private func cuts(_ count: Int, _ dice: inout Dice) -> [Int] {
    (0..<Int.random(in: 0...6, using: &dice)).map { _ in Int.random(in: 0...count, using: &dice) }
      .sorted()
  }

  @Test("requests are read alike in any pieces, and what is read obeys the rules")
  func requests() throws {
    var dice = Dice(state: Self.seed)
    var accepted = 0
    let files = try Corpus.files("valid").map(\.bytes).filter { $0.count < 2000 }
    let own = Array(
      """
      POST /mcp/linear/x?y=z HTTP/1.1\r\nHost: a.example:8080\r\nAccept: application/json, \
      text/event-stream\r\nTransfer-Encoding: chunked\r\nMcp-Session-Id: 1\r\n\r\n5;a=b\r\nhello\
      \r\n0\r\nVary: x\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc
      """.utf8)
    for _ in 0..<6000 {
      var bytes = Bool.random(using: &dice) ? own : files.randomElement(using: &dice) ?? own
      spoil(&bytes, &dice)
      let whole = Reading(bytes)
      let parts = Reading(bytes, cuts: cuts(bytes.count, &dice))
      #expect(parts == whole, "seed \(Self.seed): \(String(decoding: bytes, as: UTF8.self))")
      accepted += whole.messages.count
      for message in whole.messages { checkRules(message) }
    }
    #expect(accepted > 1000, "seed \(Self.seed)")
  }

  private func checkRules(_ message: Message) {
    let names = message.fields.map { $0.prefix { $0 != ":" }.lowercased() }
    let lengths = names.filter { $0 == "content-length" }.count
    let codings = names.filter { $0 == "transfer-encoding" }.count
    #expect(lengths + codings <= 1, "seed \(Self.seed)")
    switch message.framing {
    case .none: #expect(lengths + codings == 0, "seed \(Self.seed)")
    case .length(let length):
      #expect(lengths == 1 && UInt64(message.body.count) <= length, "seed \(Self.seed)")
    case .chunked: #expect(codings == 1 && message.minorVersion == 1, "seed \(Self.seed)")
    case .untilClose: Issue.record("seed \(Self.seed): a request without an end")
    }
    if message.minorVersion == 1 {
      #expect(names.filter { $0 == "host" }.count == 1, "seed \(Self.seed)")
    }
    for field in message.fields {
      #expect(!field.utf8.contains { $0 < 0x20 && $0 != 9 || $0 == 0x7f }, "seed \(Self.seed)")
    }
  }

  @Test("event streams, forms, cookies, URLs and paths stop nothing")
  func others() {
    var dice = Dice(state: Self.seed)
    let texts = [
      "event: endpoint\r\ndata: /m?s=1\r\n\r\nid: 7\ndata: x\n\n", "a=1&b=x+y%20&c",
      "s=abc; t=\"x\"", "https://a.example:8443/b%20c?d=e", "/mcp/linear/abc%C3%A9", "[::1]:80",
    ].map { Array($0.utf8) }
    for _ in 0..<20_000 {
      var bytes = texts.randomElement(using: &dice) ?? []
      spoil(&bytes, &dice)
      let text = String(decoding: bytes, as: UTF8.self)
      _ = try? Form(parsing: bytes)
      _ = try? Cookies.value("s", in: text)
      if let url = WebURL(text) { #expect(WebURL(url.description) == url, "seed \(Self.seed)") }
      _ = Authority(bytes)
      bytes.withUnsafeBytes { bytes in
        _ = Target.canonicalPath(bytes)
        var parser = EventStreamParser(eventBytesMax: 64)
        var scanner = EventStreamScanner()
        scanner.scan(bytes)
        var offset = 0
        while offset < bytes.count,
          let step = try? parser.next(UnsafeRawBufferPointer(rebasing: bytes[offset...]))
        {
          offset += step.consumed
        }
      }
    }
  }

  @Test("reading a byte at a time takes time in proportion to the bytes")
  func linear() throws {
    func steps(_ fields: Int) -> [UInt8] {
      let lines = (0..<fields).map { "X-Field-\($0): " + String(repeating: "v", count: 250) }
      let text = "POST / HTTP/1.1\r\nHost: a\r\n" + lines.joined(separator: "\r\n") + "\r\n\r\n"
      return Array(text.utf8)
    }
    func seconds(_ bytes: [UInt8]) -> Double {
      (0..<5).map { _ in
        let head = RequestHead()
        let start = threadSeconds()
        bytes.withUnsafeBytes { bytes in
          for count in 1...bytes.count {
            _ = try? head.parse(
              UnsafeRawBufferPointer(rebasing: bytes[..<count]), limits: HeadLimits())
          }
        }
        return threadSeconds() - start
      }.min() ?? 0
    }
    let small = seconds(steps(12))
    let large = seconds(steps(96))
    #expect(large < small * 8 * 3, "eight times the head took \(large / small) times as long")
  }

  @Test("forms, cookies, streams and lists take time in proportion to their length")
  func linearText() throws {
    let readers: [(String, (Int) -> [UInt8], ([UInt8]) -> Void)] = [
      (
        "forms", { Array(String(repeating: "a%20b=c+d&", count: $0).utf8) },
        { _ = try? Form(parsing: $0, pairsMax: .max).repeatedName }
      ),
      (
        "cookies", { Array(String(repeating: "a=b; ", count: $0).utf8) },
        { bytes in _ = try? bytes.withUnsafeBytes { try Cookies.value("s", in: $0) } }
      ),
      (
        "events", { Array(String(repeating: "data: a\n", count: $0).utf8) },
        { bytes in
          var parser = EventStreamParser(eventBytesMax: .max)
          _ = try? bytes.withUnsafeBytes { try parser.next($0) }
        }
      ),
      (
        "chunks", { Array(String(repeating: "1\r\nx\r\n", count: $0).utf8) },
        { bytes in
          let buffer = Buffer(capacity: 64)
          buffer.append(bytes)
          var body = BodyDecoder(.chunked)
          while (try? body.next(from: buffer)) ?? nil != nil {}
        }
      ),
    ]
    for (name, make, read) in readers {
      func seconds(_ count: Int) -> Double {
        let bytes = make(count)
        return (0..<5).map { _ in
          let start = threadSeconds()
          read(bytes)
          return threadSeconds() - start
        }.min() ?? 0
      }
      let small = seconds(1250)
      let large = seconds(10_000)
      #expect(large < small * 8 * 3, "\(name): eight times the bytes, \(large / small) the time")
    }
  }
}

/// Processor time of this thread, which the load of the machine does not change.
private func threadSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}
