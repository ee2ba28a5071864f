// Answers which schemas a build accepts, that a failed migration leaves nothing, that what the
// executables carry is what the folder holds, and that no other file checkpoints.

import Bytes
import Glibc
import Migrations
import Testing

@testable import Database

@Suite("Migrations") struct MigrationTests {
  let scratch = Scratch()

  private func files(_ texts: [String]) -> [MigrationFile] {
    texts.enumerated().map { index, text in
      MigrationFile(name: "000\(index + 1)_step", text: Array("-- database: bindery\n\(text)".utf8))
    }
  }

  private func run(_ texts: [String]) throws(DatabaseError) -> [Int] {
    try MigrationRunner(
      directory: scratch.path, migrations: try Migration.parse(files(texts)),
      patience: .seconds(5)
    ).run().map(\.number)
  }

  private func pending(code texts: [String]) throws(DatabaseError) -> [Int] {
    let connection = try Connection(DatabaseFile(.bindery, in: scratch.path), as: .auth)
    return try SchemaCheck.pending(
      known: try Migration.parse(files(texts)), applied: try SchemaCheck.applied(connection)
    ).map(\.number)
  }

  static let one = "CREATE TABLE users (id INTEGER PRIMARY KEY) STRICT;"
  static let two = "ALTER TABLE users ADD COLUMN name TEXT;"
  static let three = "ALTER TABLE users ADD COLUMN photo BLOB;"

  @Test("run once, in order, and only what is new") func order() throws {
    #expect(try run([Self.one, Self.two]) == [1, 2])
    #expect(try run([Self.one, Self.two]) == [])
    #expect(try run([Self.one, Self.two, Self.three]) == [3])
  }

  @Test("code N-1 runs on schema N; N-2 and N+1 do not") func versions() throws {
    _ = try run([Self.one, Self.two, Self.three])
    #expect(try pending(code: [Self.one, Self.two, Self.three]) == [])
    #expect(try pending(code: [Self.one, Self.two]) == [])
    #expect(throws: DatabaseError.schema(.newer(number: 3))) { try pending(code: [Self.one]) }
    #expect(try pending(code: [Self.one, Self.two, Self.three, Self.three]) == [4])
  }

  @Test("a migration may say that older code cannot follow") func needs() throws {
    _ = try run([Self.one, Self.two, "-- needs: 0003\n" + Self.three])
    #expect(throws: DatabaseError.schema(.newer(number: 3))) {
      try pending(code: [Self.one, Self.two])
    }
  }

  @Test("a text that changed after it ran is refused") func changed() throws {
    _ = try run([Self.one, Self.two])
    #expect(throws: DatabaseError.schema(.changed(number: 2))) {
      try pending(code: [Self.one, Self.two + " "])
    }
    #expect(throws: DatabaseError.schema(.changed(number: 2))) {
      try run([Self.one, Self.two + " ", Self.three])
    }
  }

  @Test("one that fails in the middle leaves nothing of itself") func failing() throws {
    _ = try run([Self.one])
    for bad in [
      "CREATE TABLE x (y) STRICT;", "SELECT 1; COMMIT;", "ATTACH ':memory:' AS x;",
      "PRAGMA user_version = 3;", "INSERT INTO nowhere VALUES (1);", "SAVEPOINT a;",
    ] {
      #expect(throws: DatabaseError.self, "\(bad)") {
        try run([Self.one, "CREATE TABLE activity (id INTEGER PRIMARY KEY) STRICT; " + bad])
      }
      let connection = try Connection(DatabaseFile(.bindery, in: scratch.path), as: .auth)
      let tables = try connection.first(
        "SELECT count(*) FROM sqlite_schema WHERE name = 'activity'"
      ) { (row) throws(DatabaseError) in try row.integer(0) }
      #expect(tables == 0, "\(bad)")
    }
  }

  @Test(
    "files that break the rules are refused",
    arguments: [
      ("1_x", "-- database: bindery\n"), ("0000_x", "-- database: bindery\n"),
      ("0001", "-- database: bindery\n"), ("0001_x", "SELECT 1;\n"),
      ("0001_x", "-- database: other\n"), ("+001_x", "-- database: bindery\n"),
      ("0001_x", "-- database: bindery\n-- needs: 0002\n"),
    ])
  func malformed(name: String, text: String) {
    #expect(throws: DatabaseError.self) {
      try Migration.parse([MigrationFile(name: name, text: Array(text.utf8))])
    }
  }

  @Test("two runners take turns") func turns() async throws {
    let path = scratch.path
    let counts = try await withThrowingTaskGroup(of: Int.self) { group in
      for _ in 0..<4 {
        group.addTask { try MigrationRunner(directory: path).run().count }
      }
      return try await group.reduce(into: [Int]()) { $0.append($1) }
    }
    #expect(counts.sorted() == [0, 0, 0, try Migration.embedded().count])
  }

  @Test("every table that the migrations create has an owner") func owners() throws {
    for migration in try Migration.embedded() {
      for line in String(decoding: migration.text, as: UTF8.self).split(separator: "\n")
      where line.hasPrefix("CREATE TABLE ") {
        let table = String(line.split(separator: " ")[2])
        #expect(TableOwnership.tables[table]?.owners.isEmpty == false, "\(table)")
      }
    }
  }

  static let root = #filePath.split(separator: "/").dropLast(3).reduce("") { "\($0)/\($1)" }

  @Test("the executables carry exactly what the folder holds") func embedded() throws {
    let names = Self.list(Self.root + "/migrations").filter { $0.hasSuffix(".sql") }.sorted()
    #expect(MigrationFile.all.map { $0.name + ".sql" } == names)
    for file in MigrationFile.all {
      #expect(Self.read(Self.root + "/migrations/\(file.name).sql") == file.text)
    }
  }

  @Test("no file but CheckpointPair checkpoints") func onlyCheckpointer() {
    // Spelt apart, or this file would find itself.
    let calls = ["sqlite3_wal" + "_checkpoint", "wal" + "_checkpoint"]
    var seen: Set<String> = []
    for folder in ["Shared", "Services", "migrations", "deploy"] {
      Self.walk(Self.root + "/" + folder) { path in
        let text = String(decoding: Self.read(path), as: UTF8.self)
        if calls.contains(where: { text.contains($0) }) { seen.insert(path) }
      }
    }
    #expect(seen == [Self.root + "/Shared/Database/CheckpointPair.swift"])
  }

  static func list(_ path: String) -> [String] {
    guard let folder = opendir(path) else { return [] }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if !name.hasPrefix(".") { names.append(name) }
    }
    return names
  }

  static func walk(_ path: String, _ visit: (String) -> Void) {
    for name in list(path) {
      var facts = stat()
      guard lstat("\(path)/\(name)", &facts) == 0 else { continue }
      if facts.st_mode & S_IFMT == S_IFDIR {
        walk("\(path)/\(name)", visit)
      } else if [".swift", ".sql", ".h", ".sh"].contains(where: { name.hasSuffix($0) })
        || !name.contains(".")
      {
        visit("\(path)/\(name)")
      }
    }
  }

  static func read(_ path: String) -> [UInt8] {
    guard let file = fopen(path, "r") else { return [] }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = fread(&chunk, 1, chunk.count, file), count > 0 {
      bytes += chunk[..<count]
    }
    return bytes
  }
}
