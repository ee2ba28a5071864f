// The way up: the request's body, framed anew, as the client sends it and the upstream takes it.
// Nothing is written before everything that came with the head was found sound.

import Bytes
import Clocks
import EventLoop
import HTTPClient
import HTTPCodec
import HTTPServer
import Transport

extension Relay {
  /// Fills `up` before it writes: the head and what is there of the body go out together, and a
  /// body that is broken from the start is refused before the upstream sees a byte.
  func pushUp() -> Bool {
    var moved = false
    while failure == nil {
      while !requestDone && !answerEnded && failure == nil && fillUp() { moved = true }
      guard failure == nil, !up.isEmpty else { return moved }
      switch upstreamStream.write(from: up) {
      case .bytes(let count):
        if count > 0 { touchedUpstream = true }
        moved = true
        if let since = blockedSince { blockedNanoseconds += loop.now.nanoseconds(since: since) }
        blockedSince = up.isEmpty ? nil : loop.now
        if !up.isEmpty { return moved }
      case .wouldBlock: return moved
      case .failed:
        // The upstream may have answered and closed before it read everything; the answer is
        // looked for, and nothing more is sent.
        up.clear(wiping: true)
        requestDone = true
        abandoned = true
        return true
      }
    }
    return moved
  }

  /// Moves body bytes from the client into `up`; false when there are none now.
  func fillUp() -> Bool {
    guard room(in: up) > RelayLimits.chunkOverhead else { return false }
    while true {
      do throws(ChunkError) {
        if let piece = try client.body.next(from: client.input, atMost: room(in: up)) {
          bytesUp += UInt64(piece.count)
          keep(piece)
          append(piece, to: up, chunked: reframesRequest)
          return true
        }
      } catch {
        failure = sentHead ? .cut(.upstream) : .refused(.malformed(status: 400))
        return false
      }
      if client.body.isComplete {
        requestDone = true
        armForAnswer()
        if reframesRequest { up.append("0\r\n\r\n") }
        return true
      }
      switch clientStream.read(into: client.roomyInput()) {
      case .bytes: continue
      case .wouldBlock: return false
      case .end, .failed:
        failure = .clientGone
        return false
      }
    }
  }

  func keep(_ piece: UnsafeRawBufferPointer) {
    guard let count = kept?.count else { return }
    if count + piece.count <= RelayLimits.keptBodyBytesMax {
      kept?.append(contentsOf: piece)
    } else {
      kept = nil
    }
  }

  /// The request's body when it was small and the answer did not begin.
  func takeKeptBody() -> [UInt8]? {
    defer { kept = nil }
    return requestDone ? kept : nil
  }

  /// What fits into `buffer` beside its chunk framing without growing it; appending compacts.
  func room(in buffer: Buffer) -> Int {
    max(EventLoop.bufferBytes - buffer.count - RelayLimits.chunkOverhead, 1)
  }

  func append(_ piece: UnsafeRawBufferPointer, to buffer: Buffer, chunked: Bool) {
    guard !piece.isEmpty else { return }  // an empty chunk would be the end
    if chunked {
      buffer.append(hexadecimal: UInt64(piece.count))
      buffer.append("\r\n")
      buffer.append(piece)
      buffer.append("\r\n")
    } else {
      buffer.append(piece)
    }
  }
}
