// Names the error that a system call left behind. Pure data:
// what to do about it is the caller's.

import Glibc

/// The number of a failed system call.
public struct Errno: Error, Equatable, Sendable {
  /// The value of `errno`.
  public let code: Int32

  /// The error with number `code`.
  public init(code: Int32) { self.code = code }

  /// The error of the last call on this thread.
  public static var last: Errno { Errno(code: errno) }

  /// Its symbolic name where it is a common one, for logs.
  public var name: StaticString {
    switch code {
    case EPERM: "EPERM"
    case ENOENT: "ENOENT"
    case EINTR: "EINTR"
    case EIO: "EIO"
    case EBADF: "EBADF"
    case EAGAIN: "EAGAIN"
    case ENOMEM: "ENOMEM"
    case EACCES: "EACCES"
    case EEXIST: "EEXIST"
    case EINVAL: "EINVAL"
    case EMFILE: "EMFILE"
    case ENFILE: "ENFILE"
    case ENOSPC: "ENOSPC"
    case EROFS: "EROFS"
    case EPIPE: "EPIPE"
    case EADDRINUSE: "EADDRINUSE"
    case EADDRNOTAVAIL: "EADDRNOTAVAIL"
    case ENETUNREACH: "ENETUNREACH"
    case ECONNABORTED: "ECONNABORTED"
    case ECONNRESET: "ECONNRESET"
    case ETIMEDOUT: "ETIMEDOUT"
    case ECONNREFUSED: "ECONNREFUSED"
    case EHOSTUNREACH: "EHOSTUNREACH"
    default: "errno"
    }
  }
}
