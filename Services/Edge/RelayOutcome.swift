// What a relayed exchange comes to, what it asks of its caller, and how long it may take. Data and
// promises only; the work is in Relay.

import Bytes
import HTTPCodec

/// How a relayed exchange ended.
enum RelayOutcome: Equatable {
  /// The whole answer went to the client.
  case complete
  /// Nothing went to the client yet: an answer of ours is owed.
  case refused(Refusal)
  /// The client left or took nothing.
  case clientGone
  /// Cut in the middle: by the upstream, a revocation or the end of the process.
  case cut(StreamEnd)
}

/// Why a stream was cut after its head went out.
enum StreamEnd: Equatable {
  case upstream
  case revoked
  case draining
  case stalled
}

/// What a relay asks about the heads of its exchange.
protocol AnswerWriter: AnyObject {
  /// Writes the head for the client into `output` up to the framing fields, from the upstream's
  /// `head` in `bytes`; or says that the answer is not to be passed on.
  func writeHead(
    of head: ResponseHead, in bytes: UnsafeRawBufferPointer, to output: Buffer
  ) -> Refusal?
  /// Sees a piece of an event stream and writes what goes to the client in its place.
  /// False when it is not a stream that may be passed on.
  func transform(_ piece: UnsafeRawBufferPointer, into output: Buffer) -> Bool
  /// Whether `transform` changes bodies; otherwise it is never called.
  var transforms: Bool { get }
}

/// Time limits of a relay.
struct RelayLimits {
  /// Until the head of the answer, and between parts of an answer that is no stream.
  var answerSeconds = 300
  /// Between heartbeats on a silent event stream.
  var heartbeatSeconds = 15
  /// For a connection to the upstream, with TLS.
  static let connectSeconds = 5
  /// A request body up to this size is kept until the answer begins.
  static let keptBodyBytesMax = 64 * 1024
  /// From the first byte of an answer's head to its end.
  static let headSeconds = 10
  /// Before a request body must keep a rate, and the rate.
  static let bodyGraceSeconds = 10
  static let bodyBytesPerSecondMin = 500
  /// Rounds of a busy exchange between two looks at everything else.
  static let roundsPerTurn = 16
  /// Interim answers (1xx) before the real one.
  static let interimMax = 8
  /// What chunk framing adds to a piece: size line and line ends.
  static let chunkOverhead = 32
}
