// What a process says to another over its socket. Beside not crashing: the same frames and the same
// refusal whatever pieces the bytes come in, frames that write back to the bytes they were read
// from, and no request handed on that the caller table does not allow.

import RPC

/// All frames of a stream and the error that ended it; the version is agreed after a greeting.
private struct StreamVerdict: Equatable {
  var frames: [Frame] = []
  var error: FrameError?

  init(_ bytes: UnsafeRawBufferPointer, piece: Int) {
    var decoder = FrameDecoder()
    var start = 0
    while start < bytes.count {
      let end = min(start + piece, bytes.count)
      decoder.append(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
      start = end
      do throws(FrameError) {
        while let frame = try decoder.next() {
          frames.append(frame)
          if frame.kind == .greeting { decoder.version = 1 }
        }
      } catch {
        self.error = error
        return
      }
    }
  }
}

func fuzzRPCFrames(_ input: UnsafeRawBufferPointer) {
  guard let first = input.first, input.count > 1 else { return }
  let bytes = UnsafeRawBufferPointer(rebasing: input[1...])
  let whole = StreamVerdict(bytes, piece: bytes.count)
  promise(StreamVerdict(bytes, piece: Int(first % 16) + 1) == whole, "pieces do not matter")
  let written = whole.frames.flatMap { $0.encoded() }
  promise(written.elementsEqual(bytes.prefix(written.count)), "frames write back as they came")
  var peer = Service.operator
  for frame in whole.frames {
    switch frame.kind {
    case .greeting:
      if let introduction = try? Greeting.admit(frame) {
        promise(introduction.version == 1, "an agreed version is one of ours")
        promise(introduction.build.utf8.count <= 64, "a build name is short")
        peer = introduction.peer
      }
    case .call: admitCall(frame, from: peer)
    case .reply: _ = try? Payload.decode(StatusCall.Response.self, from: frame.payload[...])
    case .refusal: _ = CallFrame.refusal(frame.payload)
    }
  }
}

private func admitCall(_ frame: Frame, from peer: Service) {
  for service in Service.allCases {
    guard let call = try? CallFrame.admit(frame.payload, from: peer, at: service) else { continue }
    promise(call.name.rule.callers.contains(peer), "only the callers of the table call")
    promise(call.name.rule.answeredBy.contains(service), "only who answers is asked")
    switch call.name {
    case .status: _ = try? Payload.decode(StatusCall.Request.self, from: call.request)
    case .shred: _ = try? Payload.decode(ShredCall.Request.self, from: call.request)
    case .refresh: _ = try? Payload.decode(RefreshCall.Request.self, from: call.request)
    case .unwrap: _ = try? Payload.decode(UnwrapCall.Request.self, from: call.request)
    case .revokeUpstream:
      _ = try? Payload.decode(RevokeUpstreamCall.Request.self, from: call.request)
    case .revocationSettled:
      _ = try? Payload.decode(RevocationSettledCall.Request.self, from: call.request)
    case .keys: _ = try? Payload.decode(KeysCall.Request.self, from: call.request)
    case .rotate: _ = try? Payload.decode(RotateCall.Request.self, from: call.request)
    case .mail: _ = try? Payload.decode(MailCall.Request.self, from: call.request)
    case .tidy: _ = try? Payload.decode(TidyCall.Request.self, from: call.request)
    case .resetToken: _ = try? Payload.decode(ResetTokenCall.Request.self, from: call.request)
    case .unwrapForKey:
      _ = try? Payload.decode(UnwrapForKeyCall.Request.self, from: call.request)
    }
  }
}
