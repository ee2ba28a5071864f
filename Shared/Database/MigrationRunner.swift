// Brings both databases to the schema of this build: one runner at a time (a lock file), each
// migration in a transaction of its own that also records it, so that a kill leaves the old schema
// or the new one. Creates a database beside its name and renames it into place: a file under the
// final name is never empty, and an empty one is a lost one.

import CSQLite
import Clocks
import Glibc
import Posix

/// Runs migrations; only the operator's tool does.
public struct MigrationRunner: Sendable {
  let directory: String
  let migrations: [Migration]
  let patience: Duration

  /// A runner of this build's migrations over the databases in `directory`.
  public init(directory: String) throws(DatabaseError) {
    self.init(directory: directory, migrations: try Migration.embedded(), patience: .seconds(30))
  }

  init(directory: String, migrations: [Migration], patience: Duration) {
    self.directory = directory
    self.migrations = migrations
    self.patience = patience
  }

  /// Creates the databases that are missing and runs what has not run; returns what it ran.
  /// - Throws: `schema` when history and build disagree or a statement fails.
  public func run() throws(DatabaseError) -> [Migration] {
    try DatabaseFile.admit(directory: directory)
    let lock = try takeLock()
    defer { _ = flock(lock.number, LOCK_UN) }
    var ran: [Migration] = []
    for kind in DatabaseFile.Kind.allCases {
      let file = DatabaseFile(kind, in: directory)
      try create(file)
      let connection = try Connection(file, policy: .schema, patience: patience)
      try connection.execute(
        """
        CREATE TABLE IF NOT EXISTS schema_migrations (
          number INTEGER PRIMARY KEY NOT NULL,
          name TEXT NOT NULL,
          needs INTEGER NOT NULL,
          checksum BLOB NOT NULL CHECK (length(checksum) = 32),
          ran_at INTEGER NOT NULL
        ) STRICT
        """)
      let pending = try SchemaCheck.pending(
        known: migrations.filter { $0.database == kind },
        applied: SchemaCheck.applied(connection))
      for migration in pending {
        try run(migration, on: connection)
        ran.append(migration)
      }
    }
    return ran.sorted { $0.number < $1.number }
  }

  private func run(_ migration: Migration, on connection: Connection) throws(DatabaseError) {
    try connection.transaction { () throws(DatabaseError) in
      let code = connection.run(script: migration.text)
      guard code == SQLITE_OK else {
        throw .schema(.statement(number: migration.number, code: code))
      }
      try connection.execute(
        """
        INSERT INTO schema_migrations (number, name, needs, checksum, ran_at)
        VALUES (?, ?, ?, ?, ?)
        """,
        .integer(Int64(migration.number)), .text(migration.name),
        .integer(Int64(migration.needs)), .blob(migration.checksum),
        .integer(UnixTime.now.seconds))
    }
  }

  /// The kernel frees the lock when a killed runner's descriptors close.
  private func takeLock() throws(DatabaseError) -> Descriptor {
    let number = open("\(directory)/migrate.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o660)
    guard number >= 0 else { throw .refused(.inaccessible(errno: errno)) }
    let lock = Descriptor(owning: number)
    let deadline = Instant.now.advanced(by: patience)
    let rhythm = BusyPatience(limit: patience)
    var attempt: Int32 = 0
    while flock(lock.number, LOCK_EX | LOCK_NB) != 0 {
      guard errno == EWOULDBLOCK || errno == EINTR else {
        throw .refused(.inaccessible(errno: errno))
      }
      guard Instant.now < deadline else { throw .schema(.runnerBusy) }
      rhythm.pause(attempt)
      attempt += 1
    }
    return lock
  }

  /// Makes a database with its header set, beside its name; then renames it into place.
  private func create(_ file: DatabaseFile) throws(DatabaseError) {
    var facts = stat()
    if lstat(file.path, &facts) == 0 { return }
    guard errno == ENOENT else { throw .refused(.inaccessible(errno: errno)) }
    // A log without its database: the commits in it are all that is left. Not ours to drop.
    guard lstat(file.logPath, &facts) != 0 else { throw .refused(.missing) }
    let draft = file.path + ".new"
    for path in [draft, draft + "-journal", draft + "-wal", draft + "-shm"] { unlink(path) }
    // The file's mode decides the mode of -wal and -shm; other services share our group.
    let number = open(draft, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o660)
    guard number >= 0 else { throw .refused(.inaccessible(errno: errno)) }
    fchmod(number, 0o660)
    close(number)  // before SQLite opens it, or its locks would go with this descriptor
    try writeHeader(draft, of: file.kind)
    try place(draft, as: file.path)
  }

  private func writeHeader(_ path: String, of kind: DatabaseFile.Kind) throws(DatabaseError) {
    let database = try Connection.openHandle(path, readOnly: false)
    defer { sqlite3_close_v2(database) }  // removes the empty log that WAL mode began
    _ = try Connection.query(database, "PRAGMA page_size = \(kind.pageBytes)")
    _ = try Connection.query(database, "PRAGMA synchronous = FULL")
    _ = try Connection.query(
      database, "PRAGMA application_id = \(Int32(bitPattern: kind.applicationID))")
    guard try Connection.query(database, "PRAGMA journal_mode = WAL") == "wal" else {
      throw .rule("journal_mode", code: -1)
    }
  }

  private func place(_ draft: String, as path: String) throws(DatabaseError) {
    // Nothing was written in WAL mode yet; a log beside the draft would be lost by the rename.
    var facts = stat()
    if lstat(draft + "-wal", &facts) == 0, facts.st_size > 0 {
      throw .rule("journal_mode", code: -2)
    }
    guard rename(draft, path) == 0 else { throw .refused(.inaccessible(errno: errno)) }
    let folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard folder >= 0 else { throw .refused(.inaccessible(errno: errno)) }
    defer { close(folder) }
    guard fsync(folder) == 0 else { throw .disk(code: SQLITE_IOERR) }
  }
}

extension Connection {
  /// Runs the statements of a migration; they may not begin or end transactions themselves.
  /// Returns SQLITE_OK or the extended code of the first that failed.
  fileprivate func run(script: [UInt8]) -> Int32 {
    guardian.allowsTransactions = false
    defer { guardian.allowsTransactions = true }
    return script.withUnsafeBytes { bytes in
      bytes.withMemoryRebound(to: CChar.self) { text in
        var rest = text.baseAddress
        let end = rest.map { $0 + text.count }
        while let start = rest, let end, start < end {
          var handle: OpaquePointer?
          var code = sqlite3_prepare_v2(database, start, Int32(end - start), &handle, &rest)
          defer { sqlite3_finalize(handle) }
          guard code == SQLITE_OK else { return code }
          guard handle != nil else { continue }  // a comment or blank
          repeat { code = sqlite3_step(handle) } while code == SQLITE_ROW
          guard code == SQLITE_DONE else { return code }
        }
        return SQLITE_OK
      }
    }
  }
}
