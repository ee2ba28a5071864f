// A data folder with both databases, for the tests of this target.
// No tests here.

import Clocks
import Database
import Glibc

@testable import Vault

/// A folder that goes when the test ends.
final class Place: Sendable {
  let path: String

  init() throws(DatabaseError) {
    let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    path = "\(base)/bindery-vault-\(Randomness.uint64())"
    precondition(mkdir(path, 0o770) == 0)
    _ = try MigrationRunner(directory: path).run()
  }

  deinit {
    for name in names { unlink("\(path)/\(name)") }
    rmdir(path)
  }

  var names: [String] {
    guard let folder = opendir(path) else { return [] }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names
  }

  func bytes(_ name: String) -> [UInt8] {
    guard let file = fopen("\(path)/\(name)", "r") else { return [] }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = fread(&chunk, 1, chunk.count, file), count > 0 {
      bytes += chunk[..<count]
    }
    return bytes
  }

  func tokens() throws(DatabaseError) -> Connection {
    try Connection(DatabaseFile(.tokens, in: path), as: .scheduler)
  }

  /// A random identifier of 36 characters, as connections, people and credentials have.
  static func identifier() -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for (index, byte) in Randomness.bytes(count: 36).enumerated() {
      let dash = index == 8 || index == 13 || index == 18 || index == 23
      text.append(dash ? UInt8(ascii: "-") : digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
  }
}
