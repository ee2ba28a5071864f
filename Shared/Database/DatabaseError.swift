// Names every way in which the database can say no. Cases carry result codes and names that we
// wrote ourselves; never a value that was bound to a statement, so that any of them may be logged.

import CSQLite

/// Why a call to the database failed.
public enum DatabaseError: Error, Equatable, Sendable {
  /// Another process held the write lock for longer than the connection waits.
  case busy
  /// The disk, or the quota, is full; nothing of the transaction remains.
  case full
  /// A constraint of the schema refused the row.
  case constraint(Constraint)
  /// This process does not own the table it wanted to write, or may not do such a thing at all.
  case notOwned
  /// The file is damaged or no database; the connection refuses all further work.
  case damaged(code: Int32)
  /// The disk failed; the connection refuses all further work and the process should restart.
  case disk(code: Int32)
  /// The file is read-only for us.
  case readOnly
  /// An earlier `damaged` or `disk` made this connection unusable.
  case unusable
  /// A column did not hold the type that the caller asked for.
  case columnType(index: Int32)
  /// Any other result code of SQLite (extended).
  case failed(code: Int32)

  /// The file cannot be what it should be; see the reason.
  case refused(FileRefusal)
  /// The schema and this build do not fit together; see the reason.
  case schema(SchemaRefusal)
  /// A rule of opening could not be set; the name is the setting's.
  case rule(StaticString, code: Int32)

  /// The thread's queue is full; come back later.
  case overloaded
  /// The thread was told to stop.
  case stopped

  /// Which constraint refused a row.
  public enum Constraint: Equatable, Sendable {
    case unique, foreignKey, check, notNull, dataType, other
  }

  /// Whether the connection, and by our rules the process, must be given up.
  public var isFatal: Bool {
    switch self {
    case .damaged, .disk, .unusable: true
    default: false
    }
  }

  /// Whether the same work may succeed a little later.
  public var isTransient: Bool {
    switch self {
    case .busy, .full, .overloaded: true
    default: false
    }
  }

  /// The error of an extended result code.
  init(code: Int32) {
    // The log's index could not grow: that is a full disk, not a failing one.
    if code == SQLITE_IOERR | (19 << 8) {
      self = .full
      return
    }
    self =
      switch code & 0xff {
      case SQLITE_BUSY, SQLITE_LOCKED: .busy
      case SQLITE_FULL: .full
      case SQLITE_AUTH: .notOwned
      case SQLITE_READONLY: .readOnly
      case SQLITE_CORRUPT, SQLITE_NOTADB: .damaged(code: code)
      case SQLITE_IOERR: .disk(code: code)
      case SQLITE_CONSTRAINT: .constraint(Constraint(code: code))
      default: .failed(code: code)
      }
  }

  /// Whether both are the same error with the same data.
  public static func == (left: DatabaseError, right: DatabaseError) -> Bool {
    switch (left, right) {
    case (.busy, .busy), (.full, .full), (.notOwned, .notOwned), (.readOnly, .readOnly),
      (.unusable, .unusable), (.overloaded, .overloaded), (.stopped, .stopped):
      true
    case (.constraint(let a), .constraint(let b)): a == b
    case (.damaged(let a), .damaged(let b)), (.disk(let a), .disk(let b)),
      (.failed(let a), .failed(let b)), (.columnType(let a), .columnType(let b)):
      a == b
    case (.refused(let a), .refused(let b)): a == b
    case (.schema(let a), .schema(let b)): a == b
    case (.rule(let a, let x), .rule(let b, let y)): a.description == b.description && x == y
    default: false
    }
  }
}

extension DatabaseError.Constraint {
  init(code: Int32) {
    self =
      switch code >> 8 {
      case 1: .check
      case 3: .foreignKey
      case 5: .notNull
      case 6, 8, 10: .unique  // primary key, unique, rowid
      case 12: .dataType
      default: .other
      }
  }
}

/// Why a file was not opened as a database. Nothing was written to it.
public enum FileRefusal: Equatable, Sendable {
  /// No such file; only the migration runner creates one.
  case missing
  /// A file of no bytes: a lost database must not come back as an empty one.
  case empty
  /// A directory, a symbolic link, a device.
  case notARegularFile
  /// A second name of the same file would have a write-ahead log of its own.
  case hardLinked
  /// A network or shared file system, which has no shared memory for the write-ahead log's index.
  case networkFileSystem(magic: UInt32)
  /// A database of another program, or our other one.
  case foreign(applicationID: UInt32)
  /// The folder or the file could not be looked at.
  case inaccessible(errno: Int32)
}

/// An error that can carry a database error: what stores throw out of a transaction.
public protocol DatabaseErrorConvertible: Error {
  /// The error for a failure of the database itself.
  init(_ error: DatabaseError)
}

extension DatabaseError: DatabaseErrorConvertible {
  public init(_ error: DatabaseError) { self = error }
}
