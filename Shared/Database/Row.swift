// Reads the columns of the row that a statement stands on. Not copyable and lent only, so that no
// row outlives its step. A column of another type than asked for is an error, never a conversion.

import CSQLite

/// The row that a statement stands on; columns count from 0.
public struct Row: ~Copyable {
  let statement: OpaquePointer

  /// Whether the column is NULL.
  public borrowing func isNull(_ index: Int32) -> Bool {
    sqlite3_column_type(statement, index) == SQLITE_NULL
  }

  /// The integer in the column.
  public borrowing func integer(_ index: Int32) throws(DatabaseError) -> Int64 {
    try expect(SQLITE_INTEGER, index)
    return sqlite3_column_int64(statement, index)
  }

  /// The text in the column, valid UTF-8.
  public borrowing func text(_ index: Int32) throws(DatabaseError) -> String {
    try expect(SQLITE_TEXT, index)
    guard let text = String(validating: bytes(index).bindMemory(to: UInt8.self), as: UTF8.self)
    else { throw .columnType(index: index) }
    return text
  }

  /// A copy of the bytes in the column.
  public borrowing func blob(_ index: Int32) throws(DatabaseError) -> [UInt8] {
    try expect(SQLITE_BLOB, index)
    return [UInt8](bytes(index))
  }

  /// The integer in the column, nil for NULL.
  public borrowing func optionalInteger(_ index: Int32) throws(DatabaseError) -> Int64? {
    isNull(index) ? nil : try integer(index)
  }

  /// The text in the column, nil for NULL.
  public borrowing func optionalText(_ index: Int32) throws(DatabaseError) -> String? {
    isNull(index) ? nil : try text(index)
  }

  /// A copy of the bytes in the column, nil for NULL.
  public borrowing func optionalBlob(_ index: Int32) throws(DatabaseError) -> [UInt8]? {
    isNull(index) ? nil : try blob(index)
  }

  /// Lends the bytes of a BLOB column without copying them.
  public borrowing func withBlob<Result, Failure: DatabaseErrorConvertible>(
    _ index: Int32, _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    do { try expect(SQLITE_BLOB, index) } catch { throw Failure(error) }
    return try body(bytes(index))
  }

  /// Lends the UTF-8 of a TEXT column without copying it.
  public borrowing func withText<Result, Failure: DatabaseErrorConvertible>(
    _ index: Int32, _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    do { try expect(SQLITE_TEXT, index) } catch { throw Failure(error) }
    return try body(bytes(index))
  }

  private borrowing func expect(_ type: Int32, _ index: Int32) throws(DatabaseError) {
    guard sqlite3_column_type(statement, index) == type else { throw .columnType(index: index) }
  }

  private borrowing func bytes(_ index: Int32) -> UnsafeRawBufferPointer {
    let start = sqlite3_column_blob(statement, index)
    return UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(statement, index)))
  }
}
