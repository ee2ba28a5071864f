// Folders and databases for the tests of this target.
// No tests here.

import Clocks
import Glibc
import Migrations
import Testing

@testable import Database

/// A folder that goes when the test ends.
final class Scratch: Sendable {
  let path: String

  init() {
    let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    path = "\(base)/bindery-database-\(Randomness.uint64())"
    precondition(mkdir(path, 0o770) == 0)
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

  func write(_ bytes: [UInt8], to name: String) {
    guard let file = fopen("\(path)/\(name)", "w") else { return }
    fwrite(bytes, 1, bytes.count, file)
    fclose(file)
  }

  /// A file of the databases with this schema instead of the real one, migrated.
  func migrated(_ schema: String = Scratch.schema) throws(DatabaseError) -> DatabaseFile {
    let files = [MigrationFile(name: "0001_test", text: Array(schema.utf8))]
    let runner = MigrationRunner(
      directory: path, migrations: try Migration.parse(files), patience: .seconds(5))
    _ = try runner.run()
    return DatabaseFile(.bindery, in: path)
  }

  /// Tables whose owners TableOwnership knows, small ones.
  static let schema = """
    -- database: bindery
    CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, photo BLOB) STRICT;
    CREATE TABLE activity (id INTEGER PRIMARY KEY, at_ms INTEGER) STRICT;
    """
}
