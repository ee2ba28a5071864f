// How events become lines, what happens when the reader of the log stands still, and that nothing
// queued is lost on a flush.

import Clocks
import Glibc
import Posix
import Testing

@testable import Logging

@Suite("Log lines") struct LogLineTests {
  private func line(_ fields: KeyValuePairs<StaticString, LogValue>, at time: Int64 = 0) -> String {
    String(
      decoding: LogLine.render(
        milliseconds: time, level: .info, service: "edge", event: "ready", fields: fields),
      as: UTF8.self)
  }

  @Test("are one JSON object with the fixed fields first")
  func shape() {
    #expect(
      line(["port": 8080, "tls": true, "why": "asked", "ms": .duration(.microseconds(1_234_567))])
        == #"{"ts":"1970-01-01T00:00:00.000Z","level":"info","service":"edge","event":"ready","#
        + #""port":8080,"tls":true,"why":"asked","ms":1234.567}"# + "\n")
  }

  static let times: [(Int64, String)] = [
    (951_782_399_999, "2000-02-28T23:59:59.999Z"), (951_782_400_000, "2000-02-29T00:00:00.000Z"),
    (1_795_238_580_042, "2026-11-21T05:23:00.042Z"), (-1, "1969-12-31T23:59:59.999Z"),
    (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
  ]

  @Test("carry the time in UTC with milliseconds", arguments: times)
  func time(milliseconds: Int64, text: String) {
    #expect(line([:], at: milliseconds).hasPrefix(#"{"ts":"\#(text)""#))
  }

  @Test("cannot be broken by a literal or an odd number")
  func escapes() {
    let text = line([
      "q\"": "a\"b\\c\nd", "low": .count(Int64.min), "high": .count(UInt64.max),
      "long": .duration(.seconds(Int64.max)), "back": .duration(.seconds(Int64.min)),
    ])
    #expect(text.contains(#""q\"":"a\"b\\c?d","low":-9223372036854775808"#))
    #expect(text.utf8.filter { $0 == UInt8(ascii: "\n") }.count == 1)
  }

  static let publics: [(PublicText, String)] = [
    (.serviceID("linear"), "linear"), (.serviceID("Li\"near"), "(malformed)"),
    (.serviceID(""), "(malformed)"),
    (.idPrefix("11111111-2222-4333-8444-555555555555"), "11111111"),
    (.idPrefix("\u{e9}"), "(malformed)"), (.host("api.example.com"), "api.example.com"),
    (.host("user@evil"), "(malformed)"), (.fingerprint("60e05bd1b195af2f"), "60e05bd1b195af2f"),
    (.fingerprint("60e05bd1b195af2"), "(malformed)"), (.version("3.40.1"), "3.40.1"),
    (.place("oauth.client_authentication"), "oauth.client_authentication"), (.place("#3"), "#3"),
    (.place("a b"), "(malformed)"), (.place(String(repeating: "a", count: 65)), "(malformed)"),
  ]

  @Test("admit runtime text only in its narrow shapes", arguments: publics)
  func publicText(text: PublicText, expected: String) {
    #expect(String(decoding: text.bytes, as: UTF8.self) == expected)
  }

  @Test("show a client's network, not the client")
  func network() throws {
    let four = try #require(IPAddress("203.0.113.77"))
    let six = try #require(IPAddress("2001:db8:1:2:3::4"))
    #expect(PublicText.network(of: four).bytes == Array("203.0.113.0/24".utf8))
    #expect(PublicText.network(of: six).bytes == Array("2001:db8:1::/48".utf8))
  }
}

@Suite("Log sink") struct LogSinkTests {
  /// A pipe; the log writes into one end, the test reads the other.
  private func makePipe() -> (read: Int32, write: Int32) {
    var ends: [Int32] = [0, 0]
    precondition(pipe(&ends) == 0)
    return (ends[0], ends[1])
  }

  private func readText(_ descriptor: Int32, until mark: String) -> String {
    var text: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 65_536)
    while !String(decoding: text, as: UTF8.self).contains(mark) {
      let count = read(descriptor, &piece, piece.count)
      if count <= 0 { break }
      text += piece[..<count]
    }
    return String(decoding: text, as: UTF8.self)
  }

  @Test("writes lines in order and scrubbed, and a flush waits for them")
  func order() {
    let ends = makePipe()
    let sink = LogSink(descriptor: ends.write, service: "test")
    let log = Log(service: "test", level: .info, sink: sink)
    for number in 0..<100 { log.info("step", ["n": .count(number)]) }
    log.debug("hidden")
    log.error("end", ["token": "bnd_live_canary"])
    #expect(sink.flush(within: .seconds(10)))
    let text = readText(ends.read, until: "\"end\"")
    let lines = text.split(separator: "\n")
    #expect(lines.count == 101)
    #expect(lines[42].hasSuffix("\"n\":42}"))
    #expect(!text.contains("hidden") && !text.contains("canary"))
  }

  @Test("never makes the caller wait for a reader that stands still, and counts what it drops")
  func stuckReader() {
    let ends = makePipe()
    let sink = LogSink(descriptor: ends.write, service: "test")
    let log = Log(service: "test", level: .info, sink: sink)
    var slowest = Duration.zero
    for number in 0..<60_000 {
      let start = Instant.now
      log.info("flood", ["n": .count(number), "filler": "0123456789 0123456789 0123456789"])
      slowest = max(slowest, start.duration(to: .now))
    }
    #expect(sink.droppedLines > 0)
    // A blocked pipe would hold the caller for ever; the bound is loose for busy machines.
    #expect(slowest < .seconds(1))
    #expect(!sink.flush(within: .milliseconds(20)))
    let text = readText(ends.read, until: "log_lines_dropped")
    #expect(text.contains("\"count\":\(sink.droppedLines)"))
    #expect(sink.flush(within: .seconds(10)))
  }

  @Test("survives a reader that went away")
  func closedReader() {
    let ends = makePipe()
    close(ends.read)
    let sink = LogSink(descriptor: ends.write, service: "test")
    let log = Log(service: "test", level: .info, sink: sink)
    for _ in 0..<10 { log.info("into the void") }
    #expect(sink.flush(within: .seconds(10)))
    // Also for a line that came when the reader's end was known already.
    log.info("into the void")
    #expect(sink.flush(within: .seconds(10)))
  }
}
