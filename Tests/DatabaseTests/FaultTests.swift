// Answers what remains when a process dies or its disk does: migrations leave the old schema or the
// new one, acknowledged commits stay, a full disk passes, a failing one ends the connection.

import Clocks
import Glibc
import Testing

@testable import Database

@Suite("Faults") struct FaultTests {
  let scratch = Scratch()

  @Test("a migration killed at any change of a file leaves old or new") func migrations() throws {
    var number = 1
    var died = 0
    while number < 2000 {
      let place = Scratch()
      let run = try ProbeRun("migrate", place.path, "kill:\(number)")
      if run.signal != SIGKILL {
        #expect(run.status == 0)
        break
      }
      died += 1
      try expectWhole(place, killedAt: number)
      let runner = try MigrationRunner(directory: place.path)
      _ = try runner.run()
      for kind in DatabaseFile.Kind.allCases {
        try SchemaCheck.admit(try Connection(DatabaseFile(kind, in: place.path), as: .auth))
      }
      #expect(try runner.run().isEmpty, "a second run has nothing to do")
      number += 1
    }
    #expect(died > 50, "\(died) points")
  }

  /// Every migration that is recorded is there, and nothing of one that is not.
  private func expectWhole(_ place: Scratch, killedAt number: Int) throws {
    for kind in DatabaseFile.Kind.allCases {
      let connection: Connection
      do {
        connection = try Connection(DatabaseFile(kind, in: place.path), as: .auth)
      } catch DatabaseError.refused(.missing) {
        continue
      }
      let known = try Migration.embedded().filter { $0.database == kind }
      let applied = try SchemaCheck.applied(connection).map(\.number)
      #expect(applied == known.prefix(applied.count).map(\.number), "killed at \(number)")
      let tables = try connection.all(
        "SELECT name FROM sqlite_schema WHERE type = 'table' LIMIT 1000"
      ) { (row) throws(DatabaseError) in try row.text(0) }
      for migration in known {
        let text = String(decoding: migration.text, as: UTF8.self)
        let created = text.split(separator: "\n").filter { $0.hasPrefix("CREATE TABLE ") }
          .map { String($0.split(separator: " ")[2]) }
        let present = created.filter { tables.contains($0) }
        #expect(
          present == (applied.contains(migration.number) ? created : []), "killed at \(number)")
      }
    }
  }

  @Test("what was acknowledged outlives a kill at any change of a file") func kills() throws {
    var died = 0
    for number in stride(from: 1, through: 120, by: 1) {
      let place = Scratch()
      let file = try place.migrated()
      let run = try ProbeRun("write", place.path, "kill:\(number)", "w", "10")
      if run.signal == SIGKILL { died += 1 }
      let names = try names(in: file)
      #expect(Set(run.lines).isSubset(of: names), "killed at \(number)")
      #expect(names.count <= run.lines.count + 1, "at most the one in flight besides")
    }
    #expect(died > 20, "\(died) points")
  }

  @Test("a full disk refuses a commit, and the next one passes") func full() throws {
    var met = 0
    for number in 1...40 {
      let place = Scratch()
      let file = try place.migrated()
      let run = try ProbeRun("write", place.path, "full:\(number)", "w", "20")
      #expect(run.signal == 0)
      if run.lines.contains("full") { met += 1 }
      let acknowledged = Set(run.lines.filter { $0.hasPrefix("w-") })
      #expect(try names(in: file) == acknowledged, "full at \(number)")
    }
    #expect(met > 10, "\(met) times")
  }

  @Test("a failing disk ends the connection, and acknowledges nothing more") func failing() throws {
    var met = 0
    for number in 1...40 {
      let place = Scratch()
      let file = try place.migrated()
      let run = try ProbeRun("write", place.path, "fail:\(number)", "w", "20")
      #expect(run.signal == 0)
      if run.lines.last?.hasPrefix("disk") == true { met += 1 }
      let acknowledged = Set(run.lines.filter { $0.hasPrefix("w-") })
      #expect(try acknowledged.isSubset(of: names(in: file)), "failing at \(number)")
    }
    #expect(met > 10, "\(met) times")
  }

  @Test("a checkpointer that dies or meets a full disk loses nothing", arguments: ["kill", "full"])
  func checkpointers(fault: String) throws {
    var met = 0
    for number in 1...60 {
      let place = Scratch()
      let file = try place.migrated()
      let run = try ProbeRun("copy", place.path, "\(fault):\(number * 2)", "w", "4")
      let acknowledged = Set(run.lines.filter { $0.hasPrefix("w") })
      let found = try names(in: file)
      #expect(acknowledged.isSubset(of: found), "\(fault) at \(number * 2)")
      #expect(found.count <= acknowledged.count + 1, "at most the one in flight besides")
      if run.signal == SIGKILL || run.lines.contains("full") { met += 1 }
      guard fault == "full" else { continue }
      // A disk that is full at the start refuses the opening; later it only delays.
      #expect(run.status == 0 || run.lines == ["full"], "\(run.lines)")
    }
    #expect(met > 10, "\(met) times")
  }

  @Test("several processes and threads write beside a checkpointer and lose nothing")
  func together() async throws {
    let file = try scratch.migrated()
    let checkpointer = try Checkpointer(file, every: .milliseconds(2))
    var children: [ProbeChild] = []
    for worker in 0..<3 {
      children.append(try ProbeChild(["write", scratch.path, "none", "p\(worker)", "200"]))
    }
    let threads = try (0..<2).map { _ in
      try DatabaseThread(file, as: .auth, patience: .seconds(30))
    }
    var expected: Set<String> = []
    for number in 0..<100 {
      for (index, thread) in threads.enumerated() {
        let name = "t\(index)-\(number)"
        try await thread.run { (connection) throws(DatabaseError) in
          try connection.transaction { () throws(DatabaseError) in
            try connection.execute("INSERT INTO users (name) VALUES (?)", .text(name))
          }
        }
        expected.insert(name)
      }
    }
    for index in children.indices {
      let run = children[index].finish()
      #expect(run.status == 0 && run.signal == 0 && run.lines.count == 200)
      expected.formUnion(run.lines)
    }
    checkpointer.stop()
    #expect(checkpointer.current.failure == nil)
    #expect(try names(in: file) == expected)
  }

  private func names(in file: DatabaseFile) throws(DatabaseError) -> Set<String> {
    let connection = try Connection(file, as: .auth, access: .readOnly)
    return Set(
      try connection.all("SELECT name FROM users LIMIT 100000") { (row) throws(DatabaseError) in
        try row.text(0)
      })
  }
}
