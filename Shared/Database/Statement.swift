// A compiled statement: bind, step, read, and it is reset before the connection lends it again.
// It never outlives the closure it was lent to, so no statement stays open across an await (a
// reader that never ends keeps the write-ahead log from shrinking).

import CSQLite

/// A compiled statement, lent by its connection.
public final class Statement {
  let handle: OpaquePointer
  // Unowned: the connection finalizes its statements before it goes.
  private unowned(unsafe) let connection: Connection
  /// Whether somebody has it now.
  var isLent = false

  init(handle: OpaquePointer, connection: Connection) {
    self.handle = handle
    self.connection = connection
  }

  deinit { sqlite3_finalize(handle) }

  /// Binds parameters 1, 2, … to `values`.
  public func bind(_ values: [Value]) throws(DatabaseError) {
    precondition(Int(sqlite3_bind_parameter_count(handle)) == values.count, "parameter count")
    var index: Int32 = 1
    for value in values {
      try bind(index, value)
      index += 1
    }
  }

  /// Binds one parameter, counted from 1.
  public func bind(_ index: Int32, _ value: Value) throws(DatabaseError) {
    switch value {
    case .null: try check(sqlite3_bind_null(handle, index))
    case .integer(let value): try check(sqlite3_bind_int64(handle, index, value))
    case .text(var value):
      let count = UInt64(value.utf8.count)
      try check(value.withUTF8 { bindery_sqlite_bind_text(handle, index, $0.baseAddress, count) })
    case .blob(let value):
      try check(
        value.withUnsafeBytes {
          bindery_sqlite_bind_blob(handle, index, $0.baseAddress, UInt64($0.count))
        })
    }
  }

  /// Binds a copy of `bytes`.
  public func bind(_ index: Int32, bytes: UnsafeRawBufferPointer) throws(DatabaseError) {
    try check(
      bindery_sqlite_bind_blob(handle, index, bytes.baseAddress, UInt64(bytes.count)))
  }

  /// Binds `bytes` themselves, which stay valid and unchanged until the loan of the statement ends.
  public func bind(_ index: Int32, borrowing bytes: UnsafeRawBufferPointer) throws(DatabaseError) {
    try check(
      bindery_sqlite_bind_blob_borrowed(handle, index, bytes.baseAddress, UInt64(bytes.count)))
  }

  /// Moves to the next row; false when there is none.
  public func step() throws(DatabaseError) -> Bool {
    let code = sqlite3_step(handle)
    switch code {
    case SQLITE_ROW: return true
    case SQLITE_DONE: return false
    default: throw connection.note(DatabaseError(code: code))
    }
  }

  /// The row it stands on, after `step` was true.
  public var row: Row { Row(statement: handle) }

  func reset() {
    sqlite3_reset(handle)
    sqlite3_clear_bindings(handle)
    isLent = false
  }

  private func check(_ code: Int32) throws(DatabaseError) {
    guard code == SQLITE_OK else { throw connection.note(DatabaseError(code: code)) }
  }
}
