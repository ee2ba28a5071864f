// Why a message head was refused, one case for each rule, and the status that a client is told.
// A head from an upstream that is refused has no status: it is the upstream's fault, never shown.

/// Why a head was refused. The connection must be closed.
public enum HeadError: Error, Equatable, Sendable {
  /// The first line is longer than allowed.
  case requestLineTooLong
  /// The head has more bytes or field lines than allowed.
  case headTooLong, fieldsTooMany
  /// CR without LF, LF without CR, or another control where none may stand.
  case controlByte(UInt8)
  /// The request line is not `method SP target SP version`.
  case requestLine
  /// The target is none of the forms that this method takes, or holds a byte that no URI has.
  case target
  /// The status line is not `version SP three digits`.
  case statusLine
  /// An HTTP version that is not spoken here.
  case version
  /// CONNECT and TRACE: never.
  case methodRefused
  /// A field line without a colon, with an empty name, a blank before the colon or at its start, or
  /// with a byte that names do not have (an underscore in a request is one).
  case fieldName
  /// A field that may stand once stands twice.
  case fieldRepeated(KnownField)
  /// No Host where there must be one, or one that is no `host[:port]`, or not the target's.
  case host
  /// Content-Length is not one plain decimal number.
  case contentLength
  /// Transfer-Encoding is not exactly `chunked`, or stands in a message that cannot have it.
  case transferEncoding
  /// Both Content-Length and Transfer-Encoding.
  case framingConflict
  /// Expect asks for something other than `100-continue`.
  case expectation
  /// An answer that has no body claims one.
  case bodyForbidden

  /// The status that a client is answered with.
  public var status: Int {
    switch self {
    case .controlByte, .requestLine, .target, .statusLine, .fieldName, .fieldRepeated, .host,
      .contentLength, .transferEncoding, .framingConflict, .bodyForbidden:
      400
    case .requestLineTooLong: 414
    case .expectation: 417
    case .headTooLong, .fieldsTooMany: 431
    case .methodRefused: 501
    case .version: 505
    }
  }
}
