// Answers whether this build and the schema of a database fit together. Services ask before they
// do anything else; versions N and N-1 of the code run on schema N. Pure, but for reading the
// table in which the runner wrote what it ran.

/// Why the schema and this build do not fit.
public enum SchemaRefusal: Equatable, Sendable {
  /// Migration `number` has not run yet: run `bindery migrate`.
  case older(missing: Int)
  /// Migration `number` came after this build and needs newer code.
  case newer(number: Int)
  /// Migration `number` ran with another text than this build carries.
  case changed(number: Int)
  /// The file of migration `number` breaks the rules for such files.
  case malformed(number: Int)
  /// A statement of migration `number` failed with this extended code; nothing of it remains.
  case statement(number: Int, code: Int32)
  /// Another runner has been at work for longer than we wait.
  case runnerBusy
}

/// A migration that ran, as the database remembers it.
struct AppliedMigration: Equatable, Sendable {
  let number: Int
  let needs: Int
  let checksum: [UInt8]
}

/// Compares what ran with what a build carries.
public enum SchemaCheck {
  /// Checks the schema of the database that `connection` has open against this build.
  /// - Throws: `schema` with the reason.
  public static func admit(_ connection: Connection) throws(DatabaseError) {
    let kind = connection.file.kind
    let known = try Migration.embedded().filter { $0.database == kind }
    let pending = try pending(known: known, applied: applied(connection))
    if let first = pending.first { throw .schema(.older(missing: first.number)) }
  }

  /// The known migrations that have not run, after checking those that have.
  static func pending(
    known: [Migration], applied: [AppliedMigration]
  ) throws(DatabaseError) -> [Migration] {
    let newest = known.last?.number ?? 0
    for row in applied {
      if let match = known.first(where: { $0.number == row.number }) {
        guard match.checksum == row.checksum else { throw .schema(.changed(number: row.number)) }
      } else if row.number <= newest || row.needs > newest {
        // Below our newest it is a number we should know: a history that is not ours.
        throw .schema(.newer(number: row.number))
      }
    }
    return known.filter { migration in !applied.contains { $0.number == migration.number } }
  }

  static func applied(_ connection: Connection) throws(DatabaseError) -> [AppliedMigration] {
    let exists = try connection.first(
      "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_migrations'"
    ) { (row) throws(DatabaseError) in try row.integer(0) }
    guard exists != nil else { return [] }
    return try connection.all(
      "SELECT number, needs, checksum FROM schema_migrations ORDER BY number LIMIT 10000"
    ) { (row) throws(DatabaseError) in
      AppliedMigration(
        number: Int(try row.integer(0)), needs: Int(try row.integer(1)),
        checksum: try row.blob(2))
    }
  }
}
