// Answers whether writes that share a transaction stay as independent as those that do not: each
// acknowledged one outlives kills and full disks, and one that fails takes back its own rows alone.

import Glibc
import Testing

@testable import Database

@Suite("Shared writes") struct SharedWriteTests {
  let scratch = Scratch()

  @Test("many at once wait for few commits, and each has its own outcome") func independence()
    async throws
  {
    let file = try scratch.migrated()
    let thread = try DatabaseThread(file, as: .auth)
    let before = file.logBytes
    let gate = OpenOutcome()  // holds the thread until all wait
    async let held: Void = thread.run { (_) throws(DatabaseError) in _ = gate.wait() }
    let outcomes = await withTaskGroup(of: (Int, DatabaseError?).self) { group in
      for number in 0..<200 {
        group.addTask {
          do throws(DatabaseError) {
            try await thread.commit { (connection) throws(DatabaseError) in
              try connection.transaction { () throws(DatabaseError) in
                try connection.execute("INSERT INTO users (id) VALUES (?)", .integer(Int64(number)))
                if number % 5 == 0 { throw .columnType(index: Int32(number)) }
              }
            }
            return (number, nil)
          } catch {
            return (number, error)
          }
        }
      }
      group.addTask {
        // All that came are in the queue when this one runs; the rest makes a commit or two more.
        usleep(100_000)
        gate.set(nil)
        return (-1, nil)
      }
      var outcomes: [Int: DatabaseError?] = [:]
      for await (number, error) in group { outcomes[number] = .some(error) }
      return outcomes
    }
    _ = try await held
    for number in 0..<200 {
      let expected = number % 5 == 0 ? DatabaseError.columnType(index: Int32(number)) : nil
      #expect(outcomes[number] == .some(expected), "\(number)")
    }
    #expect(try numbers(in: file) == (0..<200).filter { $0 % 5 != 0 }.map(Int64.init))
    // 160 commits by themselves are 160 pages of the log.
    #expect(file.logBytes - before < 40 * 4200, "\(file.logBytes - before)")
  }

  @Test("a statement outside a transaction keeps what came before it in the same write")
  func bareStatements() async throws {
    let file = try scratch.migrated()
    let thread = try DatabaseThread(file, as: .auth)
    await #expect(throws: DatabaseError.constraint(.unique)) {
      try await thread.commit { (connection) throws(DatabaseError) in
        try connection.execute("INSERT INTO users (id) VALUES (1)")
        try connection.execute("INSERT INTO users (id) VALUES (1)")
      }
    }
    #expect(try numbers(in: file) == [1])
  }

  @Test("a rival's lock refuses all of them, and later ones pass") func busy() async throws {
    let file = try scratch.migrated()
    let thread = try DatabaseThread(file, as: .auth, patience: .milliseconds(50))
    let rival = try DatabaseThread(file, as: .auth)
    let insert: @Sendable (Connection) throws(DatabaseError) -> Void = {
      (connection) throws(DatabaseError) in
      try connection.execute("INSERT INTO users DEFAULT VALUES")
    }
    try await rival.run { (connection) throws(DatabaseError) in
      try connection.execute("BEGIN IMMEDIATE")
    }
    await #expect(throws: DatabaseError.busy) { try await thread.commit(insert) }
    try await rival.run { (connection) throws(DatabaseError) in
      try connection.execute("ROLLBACK")
    }
    try await thread.commit(insert)
    #expect(try numbers(in: file) == [1])
    thread.stop()
    thread.join()
    await #expect(throws: DatabaseError.stopped) { try await thread.commit(insert) }
  }

  @Test(
    "what was acknowledged outlives a kill, a full disk and a failing one",
    arguments: ["kill", "full", "fail"])
  func faults(fault: String) throws {
    var met = 0
    for number in 1...40 {
      let place = Scratch()
      let file = try place.migrated()
      let run = try ProbeRun("share", place.path, "\(fault):\(number)", "w", "24")
      let acknowledged = Set(run.lines.filter { $0.hasPrefix("w-") })
      let found = try names(in: file)
      if run.signal == SIGKILL || acknowledged.count < 16 { met += 1 }
      #expect(acknowledged.isSubset(of: found), "\(fault) at \(number)")
      #expect(found.allSatisfy { Int($0.dropFirst(2)).map { $0 % 3 != 0 } ?? false })
      if fault == "full" { #expect(found == acknowledged, "full at \(number)") }
    }
    #expect(met > 5, "\(met) times")
  }

  private func names(in file: DatabaseFile) throws(DatabaseError) -> Set<String> {
    let connection = try Connection(file, as: .auth, access: .readOnly)
    return Set(
      try connection.all("SELECT name FROM users LIMIT 100000") { (row) throws(DatabaseError) in
        try row.text(0)
      })
  }

  private func numbers(in file: DatabaseFile) throws(DatabaseError) -> [Int64] {
    let connection = try Connection(file, as: .auth, access: .readOnly)
    return try connection.all("SELECT id FROM users ORDER BY id LIMIT 1000") {
      (row) throws(DatabaseError) in try row.integer(0)
    }
  }
}
