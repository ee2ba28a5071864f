// Why did a call not bring an answer? Three questions decide which case: whose fault it was,
// whether the call may have been carried out, and whether it may be made again.

/// What a caller gets instead of a response.
public enum RPCError: Error, Equatable, Sendable {
  /// Nobody answers at the socket. Nothing was sent.
  case unreachable(Service)
  /// The peer went away with the call under way: it may have been carried out.
  case disconnected(Service)
  /// No answer in time: it may have been carried out.
  case deadlineExceeded(Service)
  /// Too many calls of ours wait for this peer. Nothing was sent.
  case overloaded(Service)
  /// The peer answered no.
  case refused(Service, Refusal)
  /// The peer's answer cannot be read: its fault.
  case malformedResponse(Service)
  /// The process at the socket is not the one we look for, or cannot talk with us.
  case wrongPeer(Service)
  /// Our request does not fit a frame: our fault.
  case requestTooLarge(Int)

  /// True when the call certainly was not carried out, so that making it again is safe.
  public var isSurelyUndone: Bool {
    switch self {
    case .unreachable, .overloaded, .wrongPeer, .requestTooLarge: true
    case .disconnected, .deadlineExceeded, .malformedResponse: false
    case .refused(_, let refusal):
      switch refusal {
      case .unknownCall, .notAllowed, .malformedRequest, .overloaded, .draining, .conflict: true
      case .deadlineExceeded, .failed, .other: false
      }
    }
  }
}
