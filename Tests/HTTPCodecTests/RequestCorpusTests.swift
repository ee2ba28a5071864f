// Walks the published requests. Those listed as invalid must be refused, and those listed as valid
// must be read alike wherever they are cut. The publisher's server is laxer than this one in
// places; each such file is listed with the rule that refuses it here.

import HTTPCodec
import Testing

@Suite("Published requests") struct RequestCorpusTests {
  /// Invalid only under limits that the publisher's test sets, and within ours.
  static let withinOurLimits: Set<String> = [
    "006.http", "007.http", "008.http", "limit_header_default_01.http",
  ]

  /// Valid for the publisher, refused here.
  static let refusedOnPurpose: [String: HeadError] = [
    "002.http": .host, "003.http": .host,  // `0.0.0.0=5000` is no host and port
    "005.http": .target, "009.http": .target,  // a fragment in the target
    "014.http": .target,  // quotes in the target
    "027.http": .target,  // bare non-ASCII in the target
    "025.http": .transferEncoding, "025_line.http": .transferEncoding,  // gzip before chunked
    "rfc9112_smuggle_gzip_chunked_01.http": .transferEncoding,
    "029.http": .transferEncoding, "030.http": .transferEncoding,  // identity, then chunked
    "rfc9112_smuggle_te_identity_chunked_01.http": .transferEncoding,
    "028.http": .fieldName,  // a blank before the colon
    "040.http": .fieldName, "040_compat.http": .fieldName,  // underscores
    "compat_obs_fold.http": .fieldName, "compat_obs_fold_huge.http": .fieldName,
    "pp_01.http": .requestLine, "pp_02.http": .requestLine,  // PROXY lines are the transport's
    "pp_04.http": .requestLine, "pp_05.http": .requestLine,
    "rfc9112_target_absolute_userinfo_01.http": .host,
    "rfc9112_target_authority_connect_01.http": .methodRefused,
    "rfc9112_target_authority_ipv6_01.http": .methodRefused,
  ]

  @Test("listed as invalid are all refused")
  func invalid() throws {
    let files = try Corpus.files("invalid")
    #expect(files.count >= 68)
    for (name, bytes) in files {
      let end = Reading(bytes).end
      let isRefused = end != .clean && end != .closed
      #expect(isRefused == !Self.withinOurLimits.contains(name), "\(name): \(end)")
    }
  }

  @Test("listed as invalid get the same verdict wherever they are cut")
  func invalidCuts() throws {
    for (name, bytes) in try Corpus.files("invalid") { checkCuts(name, bytes) }
  }

  @Test("listed as valid are read, or refused by a rule of ours")
  func valid() throws {
    let files = try Corpus.files("valid")
    #expect(files.count >= 57)
    for (name, bytes) in files {
      let bytes = withHost(bytes)
      let reading = Reading(bytes)
      if name == "099.http" {
        #expect(reading.end == .incomplete)  // its body is shorter than its Content-Length
      } else if let error = Self.refusedOnPurpose[name] {
        #expect(reading.end == .head(error), "\(name)")
      } else {
        #expect(reading.end == .clean || reading.end == .closed, "\(name): \(reading)")
        #expect(!reading.messages.isEmpty, "\(name)")
      }
      checkCuts(name, bytes)
    }
  }

  @Test("without a Host are refused when they are HTTP/1.1")
  func hostless() throws {
    var seen = 0
    for (name, bytes) in try Corpus.files("valid") where Self.refusedOnPurpose[name] == nil {
      let text = String(decoding: bytes, as: UTF8.self)
      let firstLine = text.prefix { $0 != "\r\n" }
      guard firstLine.hasSuffix("HTTP/1.1"), withHost(bytes) != bytes else { continue }
      #expect(Reading(bytes).end == .head(.host), "\(name)")
      seen += 1
    }
    #expect(seen > 10)
  }

  /// Many of the files have no Host, which the publisher leaves to the application.
  private func withHost(_ bytes: [UInt8]) -> [UInt8] {
    let line = Array(" HTTP/1.1\r\n".utf8)
    let host = Array("\r\nhost:".utf8)
    let small = bytes.map { (0x41...0x5a).contains($0) ? $0 + 32 : $0 }
    guard small.firstRange(of: host) == nil else { return bytes }
    var result: [UInt8] = []
    var rest = bytes[...]
    while let range = rest.firstRange(of: line) {
      result += rest[..<range.upperBound] + Array("Host: example.com\r\n".utf8)
      rest = rest[range.upperBound...]
    }
    return result + rest
  }

  private func checkCuts(_ name: String, _ bytes: [UInt8]) {
    let whole = Reading(bytes)
    let byteByByte = Reading(bytes, cuts: Array(0...bytes.count))
    #expect(byteByByte == whole, "\(name) a byte at a time")
    // Long bodies say nothing new at every place; their heads and ends do.
    let places = bytes.count < 3000 ? Array(0...bytes.count) : Array(0...1500)
    for cut in places {
      let reading = Reading(bytes, cuts: [cut])
      guard reading != whole else { continue }
      Issue.record("\(name) cut at \(cut): \(reading) instead of \(whole)")
      return
    }
  }
}
