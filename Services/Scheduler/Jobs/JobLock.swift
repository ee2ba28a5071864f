// Who runs a job? Whoever holds the kernel's lock on its file: two schedulers that were started by
// mistake run it once. The kernel lets go when the holder dies, whatever killed it, so no lock is
// ever left behind; a file without a lock means nothing.

import Glibc
import Posix

/// A lock that is held as long as this lives.
final class JobLock: Sendable {
  private let descriptor: Descriptor

  private init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }

  /// Takes the lock of the job `name`; nil when somebody has it. May wait for the disk, so not for
  /// event loops.
  static func take(_ name: JobName, in folder: String) throws(Errno) -> JobLock? {
    if mkdir(folder, 0o750) != 0, errno != EEXIST { throw .last }
    let number = open("\(folder)/job-\(name.label)", O_RDWR | O_CREAT | O_CLOEXEC, 0o660)
    guard number >= 0 else { throw .last }
    let descriptor = Descriptor(owning: number)
    while flock(number, LOCK_EX | LOCK_NB) != 0 {
      if errno == EWOULDBLOCK { return nil }
      guard errno == EINTR else { throw .last }
    }
    return JobLock(descriptor)
  }
}
