// Answers what happens to files that are not what they should be: refused, and not one byte of
// them changed. A lost database must never come back as an empty one.

import Glibc
import Testing

@testable import Database

@Suite("File images") struct FileImageTests {
  let scratch = Scratch()

  /// Opens as a service does and as the runner does; returns what each met, and that the file is
  /// as it was.
  private func attempt(_ kind: DatabaseFile.Kind = .bindery) -> [DatabaseError?] {
    let file = DatabaseFile(kind, in: scratch.path)
    let before = scratch.bytes("\(kind.rawValue).sqlite")
    var met: [DatabaseError?] = []
    do throws(DatabaseError) {
      let connection = try Connection(file, as: .auth)
      try SchemaCheck.admit(connection)
      met.append(nil)
    } catch {
      met.append(error)
    }
    do throws(DatabaseError) {
      _ = try MigrationRunner(directory: scratch.path).run()
      met.append(nil)
    } catch {
      met.append(error)
    }
    #expect(scratch.bytes("\(kind.rawValue).sqlite") == before, "the file was changed")
    return met
  }

  @Test("a missing database is missing, not empty") func missing() {
    #expect(throws: DatabaseError.refused(.missing)) {
      try Connection(DatabaseFile(.bindery, in: scratch.path), as: .auth)
    }
    #expect(scratch.names.isEmpty)
  }

  @Test("an empty file is refused") func empty() {
    scratch.write([], to: "bindery.sqlite")
    #expect(attempt() == [.refused(.empty), .refused(.empty)])
  }

  @Test("a log without its database is refused") func logAlone() throws {
    _ = try MigrationRunner(directory: scratch.path).run()
    unlink("\(scratch.path)/bindery.sqlite")
    let log = scratch.bytes("bindery.sqlite-wal")
    #expect(throws: DatabaseError.refused(.missing)) {
      try MigrationRunner(directory: scratch.path).run()
    }
    #expect(scratch.bytes("bindery.sqlite-wal") == log && !log.isEmpty)
  }

  @Test("text, noise and a database cut short are refused", arguments: 0..<4)
  func noise(kind: Int) throws {
    var image: [UInt8]
    switch kind {
    case 0: image = Array(repeating: 0, count: 8192)
    case 1: image = (0..<8192).map { _ in UInt8.random(in: 0...255) }
    case 2: image = Array("no database".utf8)
    default:
      try settle()
      image = Array(scratch.bytes("bindery.sqlite").prefix(3000))
    }
    for name in scratch.names { unlink("\(scratch.path)/\(name)") }
    scratch.write(image, to: "bindery.sqlite")
    for met in attempt() {
      switch met {
      case .damaged, .disk, .refused(.foreign): break
      default: Issue.record("\(String(describing: met))")
      }
    }
  }

  @Test("a page of noise is found when it is read, and ends the connection") func page() throws {
    try settle()
    var image = scratch.bytes("bindery.sqlite")
    for index in 4096..<image.count { image[index] = UInt8.random(in: 0...255) }
    for name in scratch.names where name.hasSuffix("-wal") || name.hasSuffix("-shm") {
      unlink("\(scratch.path)/\(name)")
    }
    scratch.write(image, to: "bindery.sqlite")
    var met: DatabaseError?
    do throws(DatabaseError) {
      let connection = try Connection(DatabaseFile(.bindery, in: scratch.path), as: .auth)
      defer {
        #expect(throws: DatabaseError.unusable) { try connection.execute("SELECT 1") }
      }
      _ = try connection.first("SELECT count(*) FROM users") { (row) throws(DatabaseError) in
        try row.integer(0)
      }
    } catch {
      met = error
    }
    #expect(met?.isFatal == true, "when it is opened or when it is read")
  }

  @Test("another program's database, and our other one, are refused") func foreign() throws {
    try settle()
    let tokens = scratch.bytes("tokens.sqlite")
    for name in scratch.names { unlink("\(scratch.path)/\(name)") }
    scratch.write(tokens, to: "bindery.sqlite")
    let other = DatabaseFile.Kind.tokens.applicationID
    #expect(
      attempt() == [
        .refused(.foreign(applicationID: other)), .refused(.foreign(applicationID: other)),
      ])
  }

  @Test("our other database's log does not turn this one into it") func foreignLog() throws {
    _ = try MigrationRunner(directory: scratch.path).run()
    let log = scratch.bytes("tokens.sqlite-wal")
    try settle()
    for name in scratch.names where name != "bindery.sqlite" {
      unlink("\(scratch.path)/\(name)")
    }
    scratch.write(log, to: "bindery.sqlite-wal")
    for met in attempt() { #expect(met != nil) }
  }

  @Test("a file that may only be read is refused for writing") func readOnly() throws {
    let file = try scratch.migrated()
    _ = try Connection(file, as: .auth)  // leaves log and index, as running services do
    chmod(scratch.path, 0o777)  // the probe is another user when the tests run as root
    for suffix in ["", "-wal", "-shm"] { chmod(file.path + suffix, 0o444) }
    let before = scratch.bytes("bindery.sqlite")
    #expect(try ProbeRun("open", scratch.path, "none").lines == ["read-only"])
    #expect(scratch.bytes("bindery.sqlite") == before)
  }

  @Test("a link, a second name, a folder are refused") func nature() throws {
    let path = DatabaseFile(.bindery, in: scratch.path).path
    let file = try scratch.migrated()
    rename(path, path + ".moved")
    symlink(path + ".moved", path)
    #expect(throws: DatabaseError.refused(.notARegularFile)) { try Connection(file, as: .auth) }
    unlink(path)
    link(path + ".moved", path)
    #expect(throws: DatabaseError.refused(.hardLinked)) { try Connection(file, as: .auth) }
    unlink(path)
    mkdir(path, 0o770)
    #expect(throws: DatabaseError.refused(.notARegularFile)) { try Connection(file, as: .auth) }
    rmdir(path)
  }

  @Test("network file systems are refused by their number") func networks() {
    for magic: UInt32 in [0x6969, 0xff53_4d42, 0x0102_1997, 0x6573_5546] {
      #expect(DatabaseFile.isNetworkFileSystem(magic))
    }
    for magic: UInt32 in [0xef53, 0x0102_1994, 0x794c_7630, 0x5846_5342, 0x9123_683e] {
      #expect(!DatabaseFile.isNetworkFileSystem(magic))  // ext4, tmpfs, overlay, XFS, Btrfs
    }
  }

  @Test("a database without WAL is refused") func journalMode() throws {
    let file = try scratch.migrated()
    let pair = try CheckpointPair(file)
    _ = try pair.round()
    _ = try pair.round()
    var image = scratch.bytes("bindery.sqlite")
    image[18] = 1  // the header's two format versions: 1 is a rollback journal
    image[19] = 1
    for name in scratch.names { unlink("\(scratch.path)/\(name)") }
    scratch.write(image, to: "bindery.sqlite")
    #expect(throws: DatabaseError.rule("journal_mode", code: -1)) {
      try Connection(file, as: .auth)
    }
  }

  @Test("files are the group's too, whatever the process's mask") func modes() throws {
    let old = umask(0o077)
    defer { umask(old) }
    let file = try scratch.migrated()
    let connection = try Connection(file, as: .auth)
    try connection.execute("INSERT INTO users (id) VALUES (1)")
    for suffix in ["", "-wal", "-shm"] {
      var facts = stat()
      #expect(lstat(file.path + suffix, &facts) == 0 && facts.st_mode & 0o777 == 0o660)
    }
  }

  /// Migrates and brings everything from the logs into the databases.
  private func settle() throws {
    _ = try MigrationRunner(directory: scratch.path).run()
    for kind in DatabaseFile.Kind.allCases {
      let pair = try CheckpointPair(DatabaseFile(kind, in: scratch.path))
      for _ in 0..<3 { _ = try pair.round() }
    }
  }
}
