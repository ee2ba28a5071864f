// The tool's two mouths: results go to standard output, the rest to standard error. Nothing else
// in the system writes to standard output.

import Glibc

/// Standard output and standard error.
struct Console: Sendable {
  /// Writes a result.
  func write(_ text: String) { Self.put(text, on: 1) }

  /// Writes one line for the person who watches.
  func complain(_ line: String) { Self.put(line + "\n", on: 2) }

  private static func put(_ text: String, on descriptor: Int32) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count > 0 {
        rest = rest.dropFirst(count)
      } else if errno != EINTR {
        return
      }
    }
  }
}
