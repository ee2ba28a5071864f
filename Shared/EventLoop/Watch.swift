// What epoll last said about one descriptor. Edge-triggered: a flag stays up until a read or write
// that would block takes it down, so nothing is asked of the kernel twice. Loop-confined.

import CLinux

/// The readiness of one registered descriptor.
public final class Watch {
  let slot: UInt32
  let generation: UInt32
  /// The task that wants to know; it may change hands with the descriptor.
  public var parker: Parker?
  /// A read may find bytes, a connection or the end.
  public var canRead = false
  /// A write may find room.
  public var canWrite = false
  /// The peer sent its end, reset, or the socket failed; reads tell which.
  public private(set) var peerClosed = false

  init(slot: UInt32, generation: UInt32, parker: Parker?) {
    self.slot = slot
    self.generation = generation
    self.parker = parker
  }

  func note(_ events: UInt32) {
    if events & (EPOLLRDHUP.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0 {
      peerClosed = true
      canRead = true
      if events & (EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0 { canWrite = true }
    }
    // A report of room alone wakes nobody who had room before: most of them tell of our own sends.
    var news = peerClosed
    if events & EPOLLIN.rawValue != 0 {
      canRead = true
      news = true
    }
    if events & EPOLLOUT.rawValue != 0 && !canWrite {
      canWrite = true
      news = true
    }
    if news { parker?.unpark() }
  }
}
