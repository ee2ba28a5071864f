// What stands inside the payload of a call and of a refusal, and the check that comes before
// any of a stranger's JSON is decoded: is this a call we answer, and may this peer make it?
//
//   call:    name length u8 | name | JSON of the request
//   refusal: name of the refusal, ASCII

/// The answering side's reasons to say no; these cross the wire by name.
public enum Refusal: String, Error, Sendable, CaseIterable {
  /// The answering side has no call of this name (perhaps it is older).
  case unknownCall = "unknown_call"
  case notAllowed = "not_allowed"
  case malformedRequest = "malformed_request"
  /// Its queue is full; nothing was done.
  case overloaded
  case deadlineExceeded = "deadline_exceeded"
  /// It is stopping; nothing was done.
  case draining
  /// The object is in a state in which this must not be done.
  case conflict
  /// It tried and could not.
  case failed
  /// A refusal that this build has no name for.
  case other
}

/// A call as the answering side reads it, before its request is decoded.
public struct IncomingCall: Equatable, Sendable {
  public let name: CallName
  public let request: ArraySlice<UInt8>
}

/// The payload of call frames.
public enum CallFrame {
  /// The payload of a call.
  static func encode(_ name: CallName, request: [UInt8]) throws(PayloadError) -> [UInt8] {
    let label = name.wireBytes
    guard 1 + label.count + request.count <= Frame.payloadBytesMax else {
      throw .tooLarge(request.count)
    }
    var payload: [UInt8] = []
    payload.reserveCapacity(1 + label.count + request.count)
    payload.append(UInt8(label.count))
    payload.append(contentsOf: label)
    payload.append(contentsOf: request)
    return payload
  }

  /// Admits a call frame of `peer` at `service`, or says why not.
  public static func admit(
    _ payload: [UInt8], from peer: Service, at service: Service
  ) throws(Refusal) -> IncomingCall {
    guard let first = payload.first, payload.count > Int(first), first > 0 else {
      throw .malformedRequest
    }
    let end = 1 + Int(first)
    guard
      let name = CallName.allCases.first(where: { $0.wireBytes.elementsEqual(payload[1..<end]) })
    else { throw .unknownCall }
    let rule = name.rule
    guard rule.answeredBy.contains(service) else { throw .unknownCall }
    guard rule.callers.contains(peer) else { throw .notAllowed }
    return IncomingCall(name: name, request: payload[end...])
  }

  /// The refusal that a payload names.
  public static func refusal(_ payload: [UInt8]) -> Refusal {
    Refusal.allCases.first { $0.rawValue.utf8.elementsEqual(payload) } ?? .other
  }
}

extension CallName {
  fileprivate var wireBytes: UnsafeBufferPointer<UInt8> {
    UnsafeBufferPointer(start: label.utf8Start, count: label.utf8CodeUnitCount)
  }
}
