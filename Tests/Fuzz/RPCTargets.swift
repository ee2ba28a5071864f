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
    case .status: decode(StatusCall.self, call)
    case .shred: decode(ShredCall.self, call)
    case .refresh: decode(RefreshCall.self, call)
    case .unwrap: decode(UnwrapCall.self, call)
    case .revokeUpstream: decode(RevokeUpstreamCall.self, call)
    case .revocationSettled: decode(RevocationSettledCall.self, call)
    case .keys: decode(KeysCall.self, call)
    case .rotate: decode(RotateCall.self, call)
    case .mail: decode(MailCall.self, call)
    case .tidy: decode(TidyCall.self, call)
    case .resetToken: decode(ResetTokenCall.self, call)
    case .unwrapForKey: decode(UnwrapForKeyCall.self, call)
    case .planSet: decode(PlanSetCall.self, call)
    case .billingContact: decode(BillingContactCall.self, call)
    case .billingUser: decode(BillingUserCall.self, call)
    case .billingCheckout: decode(BillingCheckoutCall.self, call)
    case .billingVerify: decode(BillingVerifyCall.self, call)
    case .billingQuantity: decode(BillingQuantityCall.self, call)
    case .billingPortal: decode(BillingPortalCall.self, call)
    case .billingForget: decode(BillingForgetCall.self, call)
    case .billingTrail: decode(BillingTrailCall.self, call)
    case .webhooksReplay: decode(WebhooksReplayCall.self, call)
    }
  }
}

private func decode<C: Call>(_: C.Type, _ call: IncomingCall) {
  _ = try? Payload.decode(C.Request.self, from: call.request)
}
