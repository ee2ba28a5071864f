// What does the codec cost? Prints nanoseconds for each of the steps that every request takes, the
// best of many rounds. Not a test: numbers depend on the machine; compare two on the same one.

import Bytes
import Glibc
import HTTPCodec
import StrictJSON

private func nanoseconds() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// The best time of one `step`, over rounds of a thousand.
@inline(never)
private func measure(_ name: String, bytes: Int, _ step: () -> Int) {
  var best = UInt64.max
  var sum = 0
  for _ in 0..<200 {
    let start = nanoseconds()
    for _ in 0..<1000 { sum &+= step() }
    best = min(best, nanoseconds() - start)
  }
  precondition(sum != 0)
  let tenths = best / 100
  print("\(name): \(tenths / 10).\(tenths % 10) ns, \(bytes) bytes")
}

private let post = Array(
  """
  POST /mcp/linear/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA \
  HTTP/1.1\r
  Host: bindery.example.com\r
  Accept: application/json, text/event-stream\r
  Accept-Encoding: gzip, deflate, br\r
  Accept-Language: *\r
  Connection: keep-alive\r
  User-Agent: node\r
  Content-Type: application/json\r
  MCP-Protocol-Version: 2025-11-25\r
  Mcp-Session-Id: 3f0c8a52-1b7e-4c36-9f0e-6a1d2b3c4d5e-0123456789abcdef\r
  Sec-Fetch-Mode: cors\r
  Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r
  Content-Length: 130\r
  \r

  """.utf8)
private let answer = Array(
  """
  HTTP/1.1 200 OK\r
  Date: Sat, 21 Nov 2026 06:20:08 GMT\r
  Content-Type: text/event-stream\r
  Transfer-Encoding: chunked\r
  Connection: keep-alive\r
  Cache-Control: no-cache, no-transform\r
  Mcp-Session-Id: 3f0c8a52-1b7e-4c36-9f0e-6a1d2b3c4d5e\r
  Server: cloudflare\r
  X-Request-Id: 0123456789abcdef0123456789abcdef\r
  \r

  """.utf8)
private let call = Array(
  """
  {"method":"tools/call","params":{"name":"search_issues","arguments":{"query":"is:open label:bug",\
  "limit":20}},"jsonrpc":"2.0","id":17}
  """.utf8)
private let event = Array(
  "event: message\r\ndata: \(String(repeating: "{\"jsonrpc\":\"2.0\"}", count: 64))\r\n\r\n".utf8)
private let chunk = Array("3e8\r\n\(String(repeating: "x", count: 1000))\r\n".utf8)

post.withUnsafeBytes { bytes in
  let head = RequestHead()
  measure("request head", bytes: bytes.count) {
    (try? head.parse(bytes, limits: HeadLimits())) ?? 0
  }
}
answer.withUnsafeBytes { bytes in
  let head = ResponseHead()
  measure("response head", bytes: bytes.count) {
    (try? head.parse(bytes, limits: HeadLimits(), answering: .post)) ?? 0
  }
}
call.withUnsafeBytes { bytes in
  measure("JSON-RPC peek", bytes: bytes.count) { JSONRPCPeek(bytes).methodRange?.count ?? 0 }
  measure("JSON check", bytes: bytes.count) {
    do {
      try checkJSON(bytes)
      return 1
    } catch { return 0 }
  }
}
event.withUnsafeBytes { bytes in
  var scanner = EventStreamScanner()
  measure("event scanner", bytes: bytes.count) {
    scanner.scan(bytes)
    return scanner.isAtBoundary ? 1 : 0
  }
}
chunk.withUnsafeBytes { bytes in
  let buffer = Buffer(capacity: 4096)
  var body = BodyDecoder(.chunked)
  measure("chunk of 1000", bytes: bytes.count) {
    buffer.append(bytes)
    var count = 0
    while let piece = try? body.next(from: buffer) { count += piece.count }
    return count
  }
}
private let dateBuffer = Buffer(capacity: 64)
measure("date", bytes: 29) {
  dateBuffer.clear()
  dateBuffer.append(httpDate: 1_795_242_008)
  return dateBuffer.count
}
