// Everything that is stored of a person, as JSON: every row of theirs, without hashes, wraps and sealed
// values. SQLite writes the objects; here they are put together. Reads only, over any two connections.

import Clocks
import Database

/// The data of one person.
public struct AccountExport: Sendable {
  /// Their connections, alive or revoked.
  public let connections: [String]
  private var tables: [(name: String, rows: [String])] = []

  /// What bindery.sqlite holds of `user`.
  /// - Throws: `notFound`.
  public init(of user: UserID, in database: Connection) throws(AccountError) {
    precondition(database.file.kind == .bindery)
    let read = try database.snapshot { () throws(AccountError) -> AccountExport in
      try AccountExport(reading: user, in: database)
    }
    self = read
  }

  private init(reading user: UserID, in database: Connection) throws(AccountError) {
    let known = try database.one("SELECT 1 FROM users WHERE id = ?", [.text(user.text)]) {
      (_) throws(AccountError) in true
    }
    guard known != nil else { throw .notFound }
    connections = try database.every(
      "SELECT id FROM connections WHERE user_id = ? ORDER BY id", [.text(user.text)]
    ) { (row) throws(AccountError) in try RowReading.text(row, 0) }
    // The person first.
    for table in AccountRows.tables.reversed() {
      guard let shown = table.shown else { continue }
      tables.append(("\(table.name)", try database.objects(shown, user.text)))
    }
  }

  /// Adds what tokens.sqlite holds of the connections: when tokens end and how they fare.
  public mutating func addTokens(in database: Connection) throws(AccountError) {
    precondition(database.file.kind == .tokens)
    let connections = connections
    tables += try database.snapshot {
      () throws(AccountError) -> [(name: String, rows: [String])] in
      var found: [(name: String, rows: [String])] = []
      for table in AccountRows.tokenTables {
        guard let shown = table.shown else { continue }
        var rows: [String] = []
        for connection in connections { rows += try database.objects(shown, connection) }
        found.append(("\(table.name)", rows))
      }
      return found
    }
  }

  /// The document. All times in it are Unix seconds, or milliseconds where a name ends in `_ms`.
  public func text(at now: UnixTime) -> [UInt8] {
    let members = tables.map { "\"\($0.name)\":[\($0.rows.joined(separator: ","))]" }
    return Array(
      "{\"format\":1,\"exported_at\":\(now.seconds),\(members.joined(separator: ","))}".utf8)
  }
}

extension Connection {
  fileprivate func objects(
    _ sql: StaticString, _ value: String
  ) throws(AccountError) -> [String] {
    try every(sql, [.text(value)]) { (row) throws(AccountError) in try RowReading.text(row, 0) }
  }
}
