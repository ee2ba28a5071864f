// The way down: the answer's head and body, read as strictly as a request and written anew. An
// answer that breaks a rule, or ends before its end, never looks complete to the client.

import Bytes
import Clocks
import EventLoop
import HTTPClient
import HTTPCodec
import HTTPServer
import Transport

extension Relay {
  func pullDown(_ writer: some AnswerWriter) -> Bool {
    guard output.count < EventLoop.bufferBytes / 2 else { return false }
    var moved = false
    while !answerEnded && failure == nil {
      if sentHead, decodeBody(writer) {
        moved = true
        if output.count >= EventLoop.bufferBytes / 2 { return true }
        continue
      }
      if answerEnded || failure != nil { return true }
      if !sentHead, !down.isEmpty, readHead(writer) {
        moved = true
        continue
      }
      if failure != nil { return true }
      guard upstreamStream.canRead else { return moved }
      if down.writable.isEmpty { down.reserve(1) }
      switch upstreamStream.read(into: down) {
      case .bytes:
        moved = true
        noteAnswerBytes()
      case .wouldBlock: return moved
      case .end:
        upstreamEnded(clean: true)
        return true
      case .failed:
        upstreamEnded(clean: false)
        return true
      }
    }
    return moved
  }

  /// An answer's head that has begun must end soon, however many bytes it has.
  func noteAnswerBytes() {
    if sentHead {
      armForAnswer()
    } else if !answerBegan {
      answerBegan = true
      timer.arm(afterSeconds: RelayLimits.headSeconds)
    }
  }

  func upstreamEnded(clean: Bool) {
    upstreamPersists = false
    guard sentHead else {
      failure = .refused(
        upstream.uses > 1 && !touchedUpstream ? .upstreamUnreachable : .upstreamBroken)
      return
    }
    if clean && body.endsWithConnection {
      endAnswer()
    } else {
      failure = .cut(.upstream)
    }
  }

  /// Parses the upstream's head and writes the client's; false when more bytes are needed.
  func readHead(_ writer: some AnswerWriter) -> Bool {
    let head = upstream.head
    let length: Int
    do throws(HeadError) {
      guard let found = try head.parse(down.readable, limits: HeadLimits(), answering: method)
      else { return false }
      length = found
    } catch {
      failure = .refused(.upstreamBroken)
      return false
    }
    status = head.status
    if status < 200 {
      // Interim answers mean nothing here; 101 would make a tunnel, which nobody asked for.
      interim += 1
      guard status != 101, interim <= RelayLimits.interimMax else {
        failure = .refused(.upstreamBroken)
        return false
      }
      down.consume(length)
      return true
    }
    body = BodyDecoder(head.framing)
    upstreamPersists = head.keepAlive && !body.endsWithConnection && !abandoned
    isEventStream = head.isEventStream(in: down.readable)
    isEncoded = head.first(.contentEncoding) != nil
    if let refusal = writer.writeHead(of: head, in: down.readable, to: output) {
      output.clear()
      failure = .refused(refusal)
      return false
    }
    down.consume(length)
    writeFraming(head)
    sentHead = true
    armForAnswer()
    if body.isComplete {
      guard down.isEmpty else { return distrust() }
      endAnswer()
    }
    if isEventStream { upstream.head.release() }
    return true
  }

  func writeFraming(_ head: ResponseHead) {
    var persists = keepAlive && !client.isDraining
    switch head.framing {
    case .none:
      if head.status != 204 && head.status != 304 && method != .head {
        output.append("content-length: 0\r\n")
      }
    case .length(let length) where !isEventStream:
      output.append("content-length: ")
      output.append(decimal: length)
      output.append("\r\n")
    default:
      if clientIsModern {
        chunksAnswer = true
        output.append("transfer-encoding: chunked\r\n")
      } else {
        persists = false
      }
    }
    clientPersists = persists
    output.append(persists ? "\r\n" : "connection: close\r\n\r\n")
  }

  /// Moves decoded body bytes into the client's output; false when more must be read.
  func decodeBody(_ writer: some AnswerWriter) -> Bool {
    do throws(ChunkError) {
      guard let piece = try body.next(from: down, atMost: room(in: output)) else {
        if body.isComplete {
          guard down.isEmpty else { return distrust() }
          endAnswer()
          return true
        }
        return false
      }
      if body.isComplete && !down.isEmpty { return distrust() }
      bytesDown += UInt64(piece.count)
      let passed = isEventStream ? followed(piece, writer) : piece
      if isEventStream && writer.transforms {
        guard transform(passed, writer) else { return false }
      } else {
        append(passed, to: output, chunked: chunksAnswer)
      }
      if body.isComplete { endAnswer() }
      return true
    } catch { return distrust() }
  }

  /// Follows an event stream; gives what of `piece` goes on. Behind a heartbeat a byte order mark
  /// would be text.
  private func followed(
    _ piece: UnsafeRawBufferPointer, _ writer: some AnswerWriter
  ) -> UnsafeRawBufferPointer {
    guard beganWithBeat else {
      events.scan(piece)
      return piece
    }
    let behind = events.scanBehindOurs(piece)
    behind.restored.withUnsafeBytes {
      if writer.transforms {
        _ = transform($0, writer)
      } else {
        append($0, to: output, chunked: chunksAnswer)
      }
    }
    return UnsafeRawBufferPointer(rebasing: piece[behind.dropped...])
  }

  /// Takes back an answer of which nothing went to the client, else cuts it: after a broken chunk, or
  /// bytes behind the end, whose sender did not mean this framing, nothing of it can be trusted.
  func distrust() -> Bool {
    if wroteDown {
      failure = .cut(.upstream)
    } else {
      output.clear()
      sentHead = false
      failure = .refused(.upstreamBroken)
    }
    return false
  }

  func transform(_ piece: UnsafeRawBufferPointer, _ writer: some AnswerWriter) -> Bool {
    let scratch = Buffer(pool: loop.buffers)
    guard writer.transform(piece, into: scratch) else {
      failure = .cut(.upstream)
      return false
    }
    if !scratch.isEmpty { append(scratch.readable, to: output, chunked: chunksAnswer) }
    return true
  }

  func endAnswer() {
    guard !answerEnded else { return }
    answerEnded = true
    if chunksAnswer { output.append("0\r\n\r\n") }
  }

  func flushDown() -> Bool {
    guard !output.isEmpty else { return false }
    switch clientStream.write(from: output) {
    case .bytes(let count):
      if count > 0 {
        wroteDown = true
        kept = nil
      }
      armForAnswer()
      return count > 0
    case .wouldBlock: return false
    case .failed:
      failure = .clientGone
      return false
    }
  }
}
