// One TLS connection over one stream. OpenSSL reads and writes the stream through a BIO of ours,
// which knows epoll's edges and so saves the reads that would find nothing. Loop-confined.

import COpenSSL
import Glibc
import Posix

/// How far a handshake is.
public enum HandshakeResult: Equatable {
  case done
  /// Waiting for the peer.
  case wouldBlock
  /// Refused: certificate, name, version, or not TLS at all.
  case failed(TLSFailure)
}

/// Why a TLS handshake failed, as far as it concerns a reader of logs.
public enum TLSFailure: Equatable, Sendable {
  /// The peer's certificate does not verify; the number is OpenSSL's X509_V_ERR_ code.
  case certificate(Int)
  /// Anything else in the protocol.
  case protocolError
}

/// A TLS session of one side of one stream.
public final class TLSSession {
  private let ssl: OpaquePointer
  private unowned var stream: Stream!
  private var broken = false

  /// A session of `context`, as server or client; `SSL_free` is its end.
  init(context: OpaquePointer, server: Bool) {
    ssl = SSL_new(context)
    if server { SSL_set_accept_state(ssl) } else { SSL_set_connect_state(ssl) }
  }

  deinit {
    // Freed without a farewell, it would take the ticket it left behind with it: OpenSSL marks a
    // session whose end was not announced as not resumable, for every holder.
    SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN)
    SSL_free(ssl)
  }

  var pointer: OpaquePointer { ssl }

  func attach(to stream: Stream) {
    self.stream = stream
    let bio = BIO_new(Self.method)
    BIO_set_data(bio, Unmanaged.passUnretained(stream).toOpaque())
    BIO_set_init(bio, 1)
    SSL_set_bio(ssl, bio, bio)
  }

  /// Whether bytes wait inside OpenSSL, which epoll knows nothing of.
  var hasBuffered: Bool { SSL_has_pending(ssl) == 1 }

  /// Whether an earlier session was resumed.
  public var isResumed: Bool { SSL_session_reused(ssl) == 1 }

  /// Goes on with the handshake.
  public func handshake() -> HandshakeResult {
    ERR_clear_error()
    let code = SSL_do_handshake(ssl)
    if code == 1 { return .done }
    switch SSL_get_error(ssl, code) {
    case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return .wouldBlock
    default:
      broken = true
      let verdict = SSL_get_verify_result(ssl)
      return .failed(verdict == X509_V_OK ? .protocolError : .certificate(verdict))
    }
  }

  func read(into target: UnsafeMutableRawBufferPointer) -> ReadResult {
    guard !broken else { return .failed }
    ERR_clear_error()
    var count = 0
    let code = SSL_read_ex(ssl, target.baseAddress, target.count, &count)
    if code == 1 { return .bytes(count) }
    switch SSL_get_error(ssl, code) {
    case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return .wouldBlock
    case SSL_ERROR_ZERO_RETURN: return .end
    default:
      broken = true  // also the end without close_notify: a truncation
      return .failed
    }
  }

  func write(_ bytes: UnsafeRawBufferPointer) -> WriteResult {
    guard !broken else { return .failed }
    guard bytes.count > 0 else { return .bytes(0) }
    ERR_clear_error()
    var count = 0
    let code = SSL_write_ex(ssl, bytes.baseAddress, bytes.count, &count)
    if code == 1 { return .bytes(count) }
    switch SSL_get_error(ssl, code) {
    case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return .wouldBlock
    default:
      broken = true
      return .failed
    }
  }

  func sendCloseNotify() {
    guard !broken, SSL_is_init_finished(ssl) == 1 else { return }
    ERR_clear_error()
    SSL_shutdown(ssl)
  }

  // Unsafe for the checker alone: made once, then only read.
  nonisolated(unsafe) private static let method: OpaquePointer = {
    let method: OpaquePointer = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream")
    BIO_meth_set_read(method) { bio, target, count in
      bindery_bio_clear_retry(bio)
      let stream = Unmanaged<Stream>.fromOpaque(BIO_get_data(bio)).takeUnretainedValue()
      switch stream.rawRead(into: .init(start: target, count: Int(count))) {
      case .bytes(let count): return Int32(count)
      case .wouldBlock:
        bindery_bio_retry_read(bio)
        return -1
      case .end: return 0
      case .failed: return -1
      }
    }
    BIO_meth_set_write(method) { bio, bytes, count in
      bindery_bio_clear_retry(bio)
      let stream = Unmanaged<Stream>.fromOpaque(BIO_get_data(bio)).takeUnretainedValue()
      switch stream.rawWrite(.init(start: bytes, count: Int(count))) {
      case .bytes(let count): return Int32(count)
      case .wouldBlock:
        bindery_bio_retry_write(bio)
        return -1
      case .failed: return -1
      }
    }
    BIO_meth_set_ctrl(method) { _, command, _, _ in command == BIO_CTRL_FLUSH ? 1 : 0 }
    return method
  }()
}
