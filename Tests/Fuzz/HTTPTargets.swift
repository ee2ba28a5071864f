// HTTP: heads, chunks and event streams. Beside not crashing they must read alike whatever pieces
// the bytes come in; the first byte of an input chooses the size of the pieces.

import Bytes
import HTTPCodec

/// The bytes behind the first, and the size of pieces that the first asks for; long inputs come in
/// no more than a hundred pieces, or a run would take too long.
private func pieces(
  _ bytes: UnsafeRawBufferPointer
) -> (bytes: UnsafeRawBufferPointer, size: Int)? {
  guard let first = bytes.first else { return nil }
  return (
    UnsafeRawBufferPointer(rebasing: bytes[1...]), max(Int(first % 16) + 1, bytes.count / 100)
  )
}

/// `bytes` up to `count`, in memory of their own so that a read behind their end is found.
private func copy(_ bytes: UnsafeRawBufferPointer, _ count: Int) -> [UInt8] {
  Array(bytes[..<count])
}

private struct RequestVerdict: Equatable {
  var length: Int?
  var error: HeadError?
  var framing = BodyFraming.none
  var keepAlive = false
  var fields = 0
  var target: [UInt8] = []
  var path: String?

  init(_ head: RequestHead, _ bytes: UnsafeRawBufferPointer) {
    do throws(HeadError) {
      length = try head.parse(bytes, limits: HeadLimits())
    } catch { self.error = error }
    guard length != nil else { return }
    framing = head.framing
    keepAlive = head.keepAlive
    fields = head.count
    target = Array(head.target(in: bytes))
    path = head.originTarget(in: bytes)?.path
    var lengths = 0
    for field in head.fields {
      let value = field.value(in: bytes)
      promise(!field.name(in: bytes).isEmpty, "a field has a name")
      promise(FieldValue.isClean(value), "a value has no control bytes")
      _ = head.isHopByHop(field, in: bytes)
      if field.known == .contentLength || field.known == .transferEncoding { lengths += 1 }
    }
    promise(lengths <= 1, "one framing")
    promise(framing != .untilClose, "a request has an end")
    promise(head.minorVersion == 0 || head.first(.host) != nil, "HTTP/1.1 has a Host")
    if let path {
      promise(path.first == "/" && !path.contains("//"), "a canonical path")
      promise(!path.split(separator: "/").contains { $0 == "." || $0 == ".." }, "no dot segment")
    }
  }
}

func fuzzRequests(_ input: UnsafeRawBufferPointer) {
  guard let (bytes, size) = pieces(input) else { return }
  let whole = copy(bytes, bytes.count).withUnsafeBytes { RequestVerdict(RequestHead(), $0) }
  let head = RequestHead()
  var count = 0
  var parts: RequestVerdict?
  while count < bytes.count, parts?.length == nil, parts?.error == nil {
    count = min(count + size, bytes.count)
    parts = copy(bytes, count).withUnsafeBytes { RequestVerdict(head, $0) }
  }
  promise(bytes.isEmpty || parts == whole, "a request reads alike in pieces")
}

func fuzzResponses(_ input: UnsafeRawBufferPointer) {
  guard let (bytes, size) = pieces(input), let first = input.first else { return }
  let method: Method = [.get, .post, .head, .delete][Int(first >> 6)]
  func verdict(_ head: ResponseHead, _ bytes: [UInt8]) -> (Int?, HeadError?) {
    bytes.withUnsafeBytes { bytes in
      do throws(HeadError) {
        let length = try head.parse(bytes, limits: HeadLimits(), answering: method)
        if length != nil {
          for field in head.fields {
            promise(FieldValue.isClean(field.value(in: bytes)), "a value has no control bytes")
          }
          promise((100...599).contains(head.status), "a status has three digits")
          promise(head.framing != .untilClose || !head.keepAlive, "an open end closes")
          _ = head.isEventStream(in: bytes)
        }
        return (length, nil)
      } catch { return (nil, error) }
    }
  }
  let whole = verdict(ResponseHead(), copy(bytes, bytes.count))
  let head = ResponseHead()
  var count = 0
  var parts: (Int?, HeadError?) = (nil, nil)
  while count < bytes.count, parts.0 == nil, parts.1 == nil {
    count = min(count + size, bytes.count)
    parts = verdict(head, copy(bytes, count))
  }
  promise(parts == whole, "an answer reads alike in pieces")
}

func fuzzChunks(_ input: UnsafeRawBufferPointer) {
  guard let (bytes, size) = pieces(input) else { return }
  func decode(_ step: Int) -> (body: [UInt8], rest: Int, error: ChunkError?) {
    var decoder = BodyDecoder(.chunked)
    let buffer = Buffer(capacity: 16)
    var body: [UInt8] = []
    var fed = 0
    do throws(ChunkError) {
      while fed < bytes.count, !decoder.isComplete {
        let end = min(fed + step, bytes.count)
        buffer.append(UnsafeRawBufferPointer(rebasing: bytes[fed..<end]))
        fed = end
        while let piece = try decoder.next(from: buffer, atMost: step) { body += piece }
      }
    } catch { return (body, 0, error) }
    return (body, decoder.isComplete ? bytes.count - fed + buffer.count : 0, nil)
  }
  let whole = decode(.max)
  let parts = decode(size)
  promise(whole.body.count <= bytes.count, "a body has no more bytes than came")
  promise(parts == whole, "chunks read alike in pieces")
}

func fuzzEventStream(_ input: UnsafeRawBufferPointer) {
  guard let (bytes, size) = pieces(input), !bytes.isEmpty else { return }
  func part(_ range: Range<Int>) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: bytes[range])
  }
  let expected = events(bytes, bytes.count)
  if let parts = events(bytes, size), let expected {
    promise(parts == expected, "events read alike in pieces")
  }
  // Comments between the events change nothing, and neither does one before the first byte.
  var scanner = EventStreamScanner()
  var beaten: [UInt8] = Array(":\n\n".utf8)
  beaten.reserveCapacity(bytes.count * 2)
  for index in bytes.indices {
    let behind = scanner.scanBehindOurs(part(index..<(index + 1)))
    beaten += behind.restored
    if behind.dropped == 0 { beaten.append(bytes[index]) }
    if scanner.isAtBoundary { beaten += [UInt8(ascii: ":"), 10, 10] }
  }
  if let expected, let found = beaten.withUnsafeBytes({ events($0, $0.count) }) {
    promise(found == expected, "comments between events change nothing")
  }
}

/// The events of a stream that comes in pieces of `step` bytes; nil when one is too long.
private func events(_ bytes: UnsafeRawBufferPointer, _ step: Int) -> [ServerSentEvent]? {
  var parser = EventStreamParser(eventBytesMax: 512)
  var found: [ServerSentEvent] = []
  var start = 0
  while start < bytes.count {
    let end = min(start + step, bytes.count)
    while start < end {
      do throws(EventStreamError) {
        let (consumed, event) = try parser.next(
          UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
        promise(consumed > 0, "a parser moves on")
        start += consumed
        if let event { found.append(event) }
      } catch { return nil }
    }
  }
  return found
}
