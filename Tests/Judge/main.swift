// Says how our parsers read texts, for a comparison with other parsers (Tests/Judge/differ.py).
// Reads a length in four bytes, big-endian, and that many bytes, until the input ends. Of requests
// it writes `method target body` of each message in hexadecimal, then `end`; with the argument
// `json` it writes `good` or nothing, then `end`.

import Bytes
import Glibc
import HTTPCodec
import StrictJSON

private func read(_ count: Int) -> [UInt8]? {
  var bytes = [UInt8](repeating: 0, count: count)
  var filled = 0
  while filled < count {
    let found = bytes[filled...].withUnsafeMutableBytes { Glibc.read(0, $0.baseAddress, $0.count) }
    guard found > 0 else { return nil }
    filled += found
  }
  return bytes
}

private func hexadecimal(_ bytes: some Collection<UInt8>) -> String {
  bytes.isEmpty ? "-" : Hex.encode(Array(bytes))
}

/// The messages that are read whole, in order.
private func messages(_ bytes: [UInt8]) -> [String] {
  let buffer = Buffer(capacity: 64)
  buffer.append(bytes)
  let head = RequestHead()
  var found: [String] = []
  do {
    while let length = try head.parse(buffer.readable, limits: HeadLimits()) {
      let start = [
        hexadecimal(head.methodText(in: buffer.readable)),
        hexadecimal(head.target(in: buffer.readable)),
      ]
      let keepAlive = head.keepAlive
      buffer.consume(length)
      var decoder = BodyDecoder(head.framing)
      var body: [UInt8] = []
      while let piece = try decoder.next(from: buffer) { body += piece }
      guard decoder.isComplete else { break }
      found.append((start + [hexadecimal(body)]).joined(separator: " "))
      guard keepAlive, !buffer.isEmpty else { break }
    }
  } catch {}
  return found
}

private let readsJSON = CommandLine.arguments.dropFirst().first == "json"

while let prefix = read(4) {
  let length = prefix.reduce(0) { $0 << 8 | Int($1) }
  guard length <= 1 << 20, let bytes = read(length) else { break }
  let found = readsJSON ? (isWellFormed(bytes) ? ["good"] : []) : messages(bytes)
  let lines = Array((found + ["end\n"]).joined(separator: "\n").utf8)
  guard write(1, lines, lines.count) == lines.count else { break }
}
