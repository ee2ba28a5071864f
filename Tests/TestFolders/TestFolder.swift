// Where does a test put its files? In a folder of its own that vanishes, with all that is in it,
// when nobody holds it any more. Shared by the targets of the unit tests; no tests here.

import FoundationEssentials
import Glibc

/// A folder that goes with its last owner.
public final class TestFolder: Sendable {
  public let path: String

  /// - Parameter name: what `/tmp` shows while the test runs.
  public init(_ name: String) {
    var template = Array("/tmp/bindery-\(name)-XXXXXX".utf8CString)
    precondition(mkdtemp(&template) != nil, "no folder for a test: \(errno)")
    path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}
