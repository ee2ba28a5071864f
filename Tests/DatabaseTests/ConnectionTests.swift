// Answers what a connection promises: typed values,
// transactions, ownership of tables, one thread.

import CSQLite
import Glibc
import Testing

@testable import Database

@Suite("Connection") struct ConnectionTests {
  let scratch = Scratch()

  @Test("gives back what it was given, and an error for another type") func values() throws {
    let connection = try Connection(try scratch.migrated(), as: .auth)
    try connection.execute(
      "INSERT INTO users VALUES (?, ?, ?)", 7, "a\u{0}é", .blob([0, 1, 255]))
    try connection.execute("INSERT INTO users VALUES (?, ?, ?)", 8, nil, .blob([]))
    let rows = try connection.all("SELECT id, name, photo FROM users ORDER BY id LIMIT 9") {
      (row) throws(DatabaseError) in
      (try row.integer(0), try row.optionalText(1), try row.blob(2))
    }
    #expect(rows[0] == (7, "a\u{0}é", [0, 1, 255]))
    #expect(rows[1] == (8, nil, []))
    #expect(throws: DatabaseError.columnType(index: 1)) {
      try connection.first("SELECT id, name FROM users WHERE id = 8") {
        (row) throws(DatabaseError) in try row.text(1)
      }
    }
  }

  @Test("rolls a transaction back when its body throws") func rollback() throws {
    let connection = try Connection(try scratch.migrated(), as: .auth)
    #expect(throws: DatabaseError.overloaded) {
      try connection.transaction { () throws(DatabaseError) in
        try connection.execute("INSERT INTO users (id) VALUES (1)")
        throw .overloaded
      }
    }
    #expect(try count(connection) == 0)
    try connection.transaction { () throws(DatabaseError) in
      try connection.execute("INSERT INTO users (id) VALUES (1)")
    }
    #expect(try count(connection) == 1)
  }

  @Test("names the constraint, never the value") func constraint() throws {
    let connection = try Connection(try scratch.migrated(), as: .auth)
    try connection.execute("INSERT INTO users (id) VALUES (?)", 1)
    #expect(throws: DatabaseError.constraint(.unique)) {
      try connection.execute("INSERT INTO users (id) VALUES (?)", 1)
    }
    #expect(throws: DatabaseError.constraint(.dataType)) {
      try connection.execute("INSERT INTO users (name) VALUES (?)", .blob([1]))
    }
  }

  @Test("refuses to write what another process owns", arguments: ProcessRole.allCases)
  func ownership(role: ProcessRole) throws {
    let file = try scratch.migrated()
    let connection = try Connection(file, as: role)
    for (table, sql): (String, StaticString) in [
      ("users", "INSERT INTO users (id) VALUES (1)"),
      ("activity", "INSERT INTO activity (id) VALUES (1)"),
      ("schema_migrations", "DELETE FROM schema_migrations"),
    ] {
      if TableOwnership.tables[table]?.owners.contains(role) == true {
        try connection.execute(sql)
      } else {
        #expect(throws: DatabaseError.notOwned) { try connection.execute(sql) }
      }
    }
    #expect(throws: DatabaseError.notOwned) { try connection.execute("DROP TABLE users") }
    #expect(throws: DatabaseError.notOwned) { try connection.execute("CREATE TABLE x (y)") }
    #expect(throws: DatabaseError.notOwned) { try connection.execute("ATTACH ':memory:' AS x") }
    #expect(throws: DatabaseError.notOwned) { try connection.execute("PRAGMA user_version = 9") }
    #expect(throws: DatabaseError.notOwned) { try connection.execute("PRAGMA wal_checkpoint") }
    #expect(throws: DatabaseError.self) {
      try connection.execute("UPDATE sqlite_schema SET sql = ''")
    }
  }

  @Test("writes nothing when opened for reading") func reading() throws {
    let file = try scratch.migrated()
    let writer = try Connection(file, as: .auth)
    let reader = try Connection(file, as: .auth, access: .readOnly)
    #expect(throws: DatabaseError.notOwned) {
      try reader.execute("INSERT INTO users (id) VALUES (1)")
    }
    try writer.execute("INSERT INTO users (id) VALUES (1)")
    #expect(try count(reader) == 1)
  }

  @Test("waits a bounded time for the write lock, then says busy") func busy() throws {
    let file = try scratch.migrated()
    let first = try Connection(file, as: .auth)
    let second = try Connection(file, as: .edge, patience: .milliseconds(50))
    try first.transaction { () throws(DatabaseError) in
      #expect(throws: DatabaseError.busy) {
        try second.transaction { () throws(DatabaseError) in }
      }
    }
    try second.transaction { () throws(DatabaseError) in }
  }

  @Test("lends one statement inside its own loop") func nested() throws {
    let connection = try Connection(try scratch.migrated(), as: .auth)
    for id in 1...3 {
      try connection.execute("INSERT INTO users (id) VALUES (?)", .integer(Int64(id)))
    }
    func ids() throws(DatabaseError) -> [Int64] {
      try connection.all("SELECT id FROM users LIMIT 9") { (row) throws(DatabaseError) in
        try row.integer(0)
      }
    }
    let pairs = try connection.all("SELECT id FROM users LIMIT 9") { (row) throws(DatabaseError) in
      try ids().count
    }
    #expect(pairs == [3, 3, 3])
  }

  @Test("asserts the rules of opening on every connection") func rules() throws {
    let file = try scratch.migrated()
    for access in [Connection.Access.readOnly, .readWrite] {
      let connection = try Connection(file, as: .scheduler, access: access)
      for (option, value): (Int32, Int32) in [
        (SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1), (SQLITE_DBCONFIG_DEFENSIVE, 1),
        (SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0), (SQLITE_DBCONFIG_ENABLE_FKEY, 1),
      ] {
        #expect(bindery_sqlite_switch(connection.database, option, -1) == value)
      }
      sqlite3_set_authorizer(connection.database, nil, nil)
      for (pragma, value) in [
        ("journal_mode", "wal"), ("synchronous", "2"), ("wal_autocheckpoint", "0"),
        ("mmap_size", "0"), ("cell_size_check", "1"), ("foreign_keys", "1"),
      ] {
        #expect(try Connection.query(connection.database, "PRAGMA \(pragma)") == value)
      }
    }
  }

  private func count(_ connection: Connection) throws(DatabaseError) -> Int64? {
    try connection.first("SELECT count(*) FROM users") { (row) throws(DatabaseError) in
      try row.integer(0)
    }
  }
}

@Suite("Database thread") struct DatabaseThreadTests {
  let scratch = Scratch()

  @Test("runs work in order, off the caller's thread") func order() async throws {
    let thread = try DatabaseThread(try scratch.migrated(), as: .auth)
    for id in 1...100 {
      try await thread.run { (connection) throws(DatabaseError) in
        try connection.execute("INSERT INTO users (id) VALUES (?)", .integer(Int64(id)))
      }
    }
    let last = try await thread.run { (connection) throws(DatabaseError) in
      try connection.first("SELECT max(id) FROM users") { (row) throws(DatabaseError) in
        try row.integer(0)
      }
    }
    #expect(last == 100)
    thread.stop()
    thread.join()
    await #expect(throws: DatabaseError.stopped) {
      try await thread.run { (_) throws(DatabaseError) in }
    }
  }

  @Test("throws a store's own error type") func ownError() async throws {
    enum StoreError: DatabaseErrorConvertible, Equatable {
      case database(DatabaseError)
      case gone
      init(_ error: DatabaseError) { self = .database(error) }
    }
    let thread = try DatabaseThread(try scratch.migrated(), as: .auth)
    await #expect(throws: StoreError.gone) {
      try await thread.run { (connection) throws(StoreError) in
        try connection.transaction { () throws(StoreError) in throw .gone }
      }
    }
  }

  @Test("refuses at once when its queue is full") func overload() async throws {
    let thread = try DatabaseThread(try scratch.migrated(), as: .auth, queueMax: 2)
    let gate = OpenOutcome()  // holds the thread until it is set
    let outcomes = await withTaskGroup(of: DatabaseError?.self) { group in
      for _ in 0..<10 {
        group.addTask {
          do throws(DatabaseError) {
            try await thread.run { (_) throws(DatabaseError) in
              _ = gate.wait()
              gate.set(nil)
            }
            return nil
          } catch {
            return error
          }
        }
      }
      var outcomes: [DatabaseError?] = []
      // At most one runs and two wait, so seven are refused while the gate is shut.
      while outcomes.count < 7, let outcome = await group.next() { outcomes.append(outcome) }
      gate.set(nil)
      while let outcome = await group.next() { outcomes.append(outcome) }
      return outcomes
    }
    #expect(outcomes.prefix(7).allSatisfy { $0 == .overloaded })
    #expect(outcomes.contains(nil))
  }

  @Test("tells why its database could not be opened") func missing() {
    #expect(throws: DatabaseError.refused(.missing)) {
      try DatabaseThread(DatabaseFile(.tokens, in: scratch.path), as: .auth)
    }
  }
}
