// The 2024-11-05 transport tells the client, in a first event, where to post its messages. Rewrites
// that address to one of ours which carries the upstream's, sealed with the connection's tag, so
// that nothing is stored and no other connection can use it.

import Bytes
import HTTPClient
import HTTPCodec
import Vault

/// Rewrites the `endpoint` event at the start of a legacy stream.
struct LegacyEndpoint {
  enum Step {
    case waiting
    /// The event went out; from now on bytes pass as they are.
    case done
    /// No endpoint event, or one that leads elsewhere.
    case refused
  }

  private static let firstEventBytesMax = 8192

  private let prefix: [UInt8]
  private let service: UpstreamService
  private var seen: [UInt8] = []

  init(prefix: [UInt8], service: UpstreamService) {
    self.prefix = prefix
    self.service = service
  }

  /// Takes bytes of the stream until its first event is whole.
  mutating func take(
    _ piece: UnsafeRawBufferPointer, into output: Buffer,
    tag: (UnsafeRawBufferPointer) -> String?
  ) -> Step {
    seen.append(contentsOf: piece)
    guard let end = Self.endOfFirstEvent(seen) else {
      return seen.count > Self.firstEventBytesMax ? .refused : .waiting
    }
    let event = Self.fields(seen[..<end])
    guard event.name.elementsEqual("endpoint".utf8),
      let target = resolve(event.data), let mark = target.withUnsafeBytes(tag)
    else { return .refused }
    output.append("event: endpoint\ndata: ")
    output.append(prefix)
    output.append("/messages?sessionId=")
    output.append(text: Base64URL.encode(target))
    output.append(byte: UInt8(ascii: "."))
    output.append(text: mark)
    output.append("\n\n")
    seen.withUnsafeBytes { output.append(UnsafeRawBufferPointer(rebasing: $0[end...])) }
    return .done
  }

  /// The index behind the empty line that ends the first event, once it is there.
  private static func endOfFirstEvent(_ bytes: [UInt8]) -> Int? {
    var start = bytes.starts(with: [0xef, 0xbb, 0xbf]) ? 3 : 0
    var isEmpty = true  // an event without a field is none
    var index = start
    while index < bytes.count {
      guard bytes[index] == 0x0a || bytes[index] == 0x0d else {
        index += 1
        continue
      }
      var next = index + 1
      if bytes[index] == 0x0d {
        guard next < bytes.count else { return nil }
        if bytes[next] == 0x0a { next += 1 }
      }
      if index == start {
        if !isEmpty { return next }
      } else if bytes[start] != UInt8(ascii: ":") {
        isEmpty = false
      }
      start = next
      index = next
    }
    return nil
  }

  private static func fields(_ bytes: ArraySlice<UInt8>) -> (name: [UInt8], data: [UInt8]) {
    var name: [UInt8] = []
    var data: [UInt8] = []
    for line in bytes.split(whereSeparator: { $0 == 0x0a || $0 == 0x0d }) {
      let colon = line.firstIndex(of: UInt8(ascii: ":")) ?? line.endIndex
      var value = line[min(colon + 1, line.endIndex)...]
      if value.first == 0x20 { value.removeFirst() }
      if line[..<colon].elementsEqual("event".utf8) { name = Array(value) }
      if line[..<colon].elementsEqual("data".utf8) { data = Array(value) }
    }
    return (name, data)
  }

  /// The upstream's message target (path and query) when it is on the upstream's own origin.
  private func resolve(_ data: [UInt8]) -> [UInt8]? {
    guard !data.isEmpty, data.count <= 2048, data.allSatisfy({ (0x21...0x7e).contains($0) }) else {
      return nil
    }
    if data[0] == UInt8(ascii: "/") {
      return data.count > 1 && data[1] == UInt8(ascii: "/") ? nil : data
    }
    if data.contains(UInt8(ascii: ":")) {
      guard let url = WebURL(String(decoding: data, as: UTF8.self)),
        Origin(url) == service.origin
      else {
        return nil
      }
      return Array(url.target.utf8)
    }
    // Relative to the folder of the stream's address.
    let path = service.target.prefix { $0 != UInt8(ascii: "?") }
    guard let slash = path.lastIndex(of: UInt8(ascii: "/")) else { return nil }
    return Array(path[...slash]) + data
  }

  /// The upstream's target in `sessionId`, when the tag is this connection's; else nil.
  static func open(
    _ text: UnsafeRawBufferPointer, engine: SealEngine, key: borrowing DataKey
  ) -> [UInt8]? {
    // Clients may add parameters of their own behind ours.
    let end = text.firstIndex(of: UInt8(ascii: "&")) ?? text.count
    guard let dot = text[..<end].firstIndex(of: UInt8(ascii: ".")),
      let target = Base64URL.decode(.init(rebasing: text[..<dot]))
    else { return nil }
    let tag = UnsafeRawBufferPointer(rebasing: text[(dot + 1)..<end])
    let matches = target.withUnsafeBytes {
      engine.sessionTag(of: $0, under: key).matches(tag)
    }
    return matches ? target : nil
  }
}
