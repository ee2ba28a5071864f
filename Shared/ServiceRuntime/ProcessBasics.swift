// What every process does before anything else, on its first thread: keep descriptors 0 to 2
// open, ignore SIGPIPE, leave signals to the one thread that waits for them, hand files to the
// group, and make the folders of the settings.

import Glibc

/// Why the folders of the settings cannot be used; the number is errno.
public enum FolderError: Error, Equatable, Sendable {
  case notMade(path: String, Int32)
}

enum ProcessBasics {
  /// Opens what is closed of 0, 1 and 2, so that no database ever gets such a number and is
  /// printed into.
  static func keepStandardDescriptors() {
    while true {
      let descriptor = open("/dev/null", O_RDWR)
      if descriptor < 0 { return }
      if descriptor > 2 {
        close(descriptor)
        return
      }
    }
  }

  /// The signals that end or reload a process, blocked here so that `sigwaitinfo` gets them.
  static func claimSignals() -> sigset_t {
    signal(SIGPIPE, SIG_IGN)
    // A parent may have left these ignored (nohup does), and an ignored signal is never waited for.
    for number in [SIGTERM, SIGHUP] { signal(number, SIG_DFL) }
    var signals = sigset_t()
    sigemptyset(&signals)
    for number in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&signals, number) }
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    return signals
  }

  /// Makes a folder and those above it that are missing.
  static func makeFolder(_ path: String, mode: mode_t) throws(FolderError) {
    var partial = path.hasPrefix("/") ? "/" : ""
    for part in path.split(separator: "/") {
      partial += partial.isEmpty || partial == "/" ? String(part) : "/\(part)"
      if mkdir(partial, mode) != 0, errno != EEXIST {
        throw .notMade(path: partial, errno)
      }
    }
  }
}
