// Reads a migration file: its number, which database it is for, what code can run on its result.
// Pure. Running it is MigrationRunner's, comparing it with a database SchemaCheck's.

import COpenSSL
import Migrations

/// One numbered change of a database's schema.
public struct Migration: Sendable, Equatable {
  /// Its place in the order, 1 to 9999; both databases share the numbers.
  public let number: Int
  /// The name of its file without extension.
  public let name: String
  /// The database it changes.
  public let database: DatabaseFile.Kind
  /// The least migration of the same database that code must know in order to run on the result:
  /// the one before, unless the file says `-- needs: NNNN` in its second line.
  public let needs: Int
  /// SHA-256 of the file.
  public let checksum: [UInt8]
  let text: [UInt8]

  /// The migrations that this build carries, by number.
  /// - Throws: `schema(.malformed)` for a file that breaks the rules; a build with one runs nowhere.
  public static func embedded() throws(DatabaseError) -> [Migration] {
    try parse(MigrationFile.all)
  }

  /// Reads `files`, whose numbers must ascend.
  static func parse(_ files: [MigrationFile]) throws(DatabaseError) -> [Migration] {
    var migrations: [Migration] = []
    var last: [DatabaseFile.Kind: Int] = [:]
    for file in files {
      let number = try number(of: file)
      guard number > migrations.last?.number ?? 0 else {
        throw .schema(.malformed(number: number))
      }
      let head = headLines(file.text)
      guard let kind = head.first.flatMap({ DatabaseFile.Kind(rawValue: $0.value) }),
        head[0].name == "database"
      else { throw .schema(.malformed(number: number)) }
      var needs = last[kind] ?? number
      if head.count > 1, head[1].name == "needs" {
        guard let named = digits(head[1].value), named <= number else {
          throw .schema(.malformed(number: number))
        }
        needs = named
      }
      migrations.append(
        Migration(
          number: number, name: file.name, database: kind, needs: needs,
          checksum: sha256(file.text), text: file.text))
      last[kind] = number
    }
    return migrations
  }

  private static func number(of file: MigrationFile) throws(DatabaseError) -> Int {
    let name = Array(file.name.utf8)
    guard name.count > 5, name[4] == UInt8(ascii: "_"),
      let number = digits(String(decoding: name[..<4], as: UTF8.self)), number > 0
    else { throw .schema(.malformed(number: 0)) }
    return number
  }

  private static func digits(_ text: String) -> Int? {
    guard text.utf8.count == 4, text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
    return text.utf8.reduce(0) { $0 * 10 + Int($1 - 48) }
  }

  /// The `-- name: value` comments of the first two lines.
  private static func headLines(_ text: [UInt8]) -> [(name: String, value: String)] {
    text.split(separator: UInt8(ascii: "\n"), maxSplits: 2, omittingEmptySubsequences: false)
      .prefix(2)
      .compactMap { line in
        let line = String(decoding: line, as: UTF8.self)
        guard line.hasPrefix("-- ") else { return nil }
        let parts = line.dropFirst(3).split(separator: ":", maxSplits: 1)
        guard parts.count == 2, parts[1].hasPrefix(" ") else { return nil }
        return (String(parts[0]), String(parts[1].dropFirst()))
      }
  }

  private static func sha256(_ text: [UInt8]) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: 32) { digest, count in
      _ = SHA256(text, text.count, digest.baseAddress)
      count = 32
    }
  }
}
