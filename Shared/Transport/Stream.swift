// A connected socket, plain or under TLS, as the task that owns it sees it: reads and writes that
// never wait and say what happened, and a watch that tells when to try again. Loop-confined.

import Bytes
import CLinux
import EventLoop
import Glibc
import Posix

/// What a read did.
public enum ReadResult: Equatable {
  /// So many bytes came, at least one.
  case bytes(Int)
  /// Nothing now; the watch tells when.
  case wouldBlock
  /// The peer ended its side cleanly.
  case end
  /// Reset, truncated under TLS, or broken otherwise.
  case failed
}

/// What a write did.
public enum WriteResult: Equatable {
  /// So many bytes went, at least one.
  case bytes(Int)
  /// No room now; the watch tells when.
  case wouldBlock
  /// The peer is gone or the session broken.
  case failed
}

/// A connected byte stream that belongs to one task of one loop.
public final class Stream {
  /// The loop that watches the socket.
  public let loop: EventLoop
  private let watch: Watch
  private var number: Int32
  private var session: TLSSession?
  /// Whether there is a session: cheaper to ask than the reference, which would be counted.
  private var hasSession = false

  /// Takes over a connected non-blocking socket.
  /// - Throws: `Errno` when the loop can not watch it; the socket is closed then.
  public init(
    owning descriptor: consuming Descriptor, loop: EventLoop, parker: Parker?
  ) throws(Errno) {
    watch = try loop.watch(descriptor.number, parker: parker)
    self.loop = loop
    number = descriptor.release()
  }

  deinit { close() }

  /// The task that waits for this stream; a pooled stream changes hands.
  public var parker: Parker? {
    get { watch.parker }
    set { watch.parker = newValue }
  }

  /// Whether `close` was not called yet.
  public var isOpen: Bool { number >= 0 }
  /// The descriptor's number for socket options, -1 when closed.
  public var descriptor: Int32 { number }
  /// Whether a read may find something now.
  public var canRead: Bool { watch.canRead || (hasSession && session?.hasBuffered == true) }
  /// Whether the peer ended or reset its side, as far as the kernel told.
  public var peerClosed: Bool { watch.peerClosed }
  /// Whether the kernel reported room or failure, which ends a connect.
  var isConnected: Bool { watch.canWrite || watch.peerClosed }
  /// Whether bytes travel under TLS.
  public var isSecure: Bool { hasSession }

  /// Reads what is there, up to the size of `target`.
  public func read(into target: UnsafeMutableRawBufferPointer) -> ReadResult {
    guard number >= 0 else { return .failed }
    if hasSession, let session { return session.read(into: target) }
    return rawRead(into: target)
  }

  /// Writes as much of `bytes` as there is room for.
  public func write(_ bytes: UnsafeRawBufferPointer) -> WriteResult {
    guard number >= 0 else { return .failed }
    if hasSession, let session { return session.write(bytes) }
    return rawWrite(bytes)
  }

  /// Reads into the free end of `buffer`, which has room.
  public func read(into buffer: Buffer) -> ReadResult {
    let result = read(into: buffer.writable)
    if case .bytes(let count) = result { buffer.produce(count) }
    return result
  }

  /// Writes from the front of `buffer` what goes; `.bytes` tells how much.
  public func write(from buffer: Buffer) -> WriteResult {
    let result = write(buffer.readable)
    if case .bytes(let count) = result { buffer.consume(count) }
    return result
  }

  /// Ends our side: close_notify under TLS, FIN below.
  public func endWriting() {
    guard number >= 0 else { return }
    session?.sendCloseNotify()
    shutdown(number, Int32(SHUT_WR))
  }

  /// Closes the socket. With `reset` the peer sees a reset instead of a clean end.
  public func close(reset: Bool = false) {
    guard number >= 0 else { return }
    if reset {
      var option = linger(l_onoff: 1, l_linger: 0)
      setsockopt(number, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    } else {
      session?.sendCloseNotify()
    }
    session = nil
    hasSession = false
    loop.forget(watch)
    _ = Glibc.close(number)
    number = -1
  }

  // MARK: Below TLS

  func rawRead(into target: UnsafeMutableRawBufferPointer) -> ReadResult {
    guard watch.canRead else { return .wouldBlock }
    while true {
      let count = bindery_recv(number, target.baseAddress, target.count, 0)
      if count > 0 {
        // A short read drained the socket (epoll(7)), unless the end is still to be read.
        if count < target.count && !watch.peerClosed { watch.canRead = false }
        return .bytes(count)
      }
      if count == 0 { return .end }
      switch errno {
      case EINTR: continue
      case EAGAIN:
        watch.canRead = false
        return .wouldBlock
      default: return .failed
      }
    }
  }

  func rawWrite(_ bytes: UnsafeRawBufferPointer) -> WriteResult {
    while true {
      let count = bindery_send(number, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
      if count >= 0 {
        if count < bytes.count { watch.canWrite = false }
        return .bytes(count)
      }
      switch errno {
      case EINTR: continue
      case EAGAIN:
        watch.canWrite = false
        return .wouldBlock
      default: return .failed
      }
    }
  }

  // MARK: TLS

  /// Puts the stream under TLS; call `handshake` next, until it is done.
  public func secure(_ session: TLSSession) {
    session.attach(to: self)
    self.session = session
    hasSession = true
  }

  /// The TLS session, when there is one.
  public var tls: TLSSession? { session }
}
