// Remembers that requests happened: counters for metrics, a last use and a line of activity for the
// owner of the connection. Metadata only (time, status, method name from a closed list, duration,
// coarse network); written once a second by a thread of its own, never on the request path.

import Accounts
import Bytes
import Clocks
import Database
import EventLoop
import Logging
import Metrics
import Posix
import Synchronization

/// How often one credential was used since the last write. Loop-confined.
final class CredentialUse {
  let connection: String
  let credential: String
  fileprivate(set) var requests: Int64 = 0
  fileprivate var lines = 0

  init(connection: String, credential: String) {
    self.connection = connection
    self.credential = credential
  }
}

/// One line of a connection's activity.
struct ActivityLine: Sendable {
  let connection: String
  let credential: String
  let atMilliseconds: Int64
  let status: Int
  let methodName: StaticString?
  let durationMilliseconds: Int64
  let network: String
}

/// Collects what one loop did until the next write. Loop-confined.
final class LoopRecord {
  /// Lines kept of one credential between two writes; the rest is only counted.
  private static let linesMax = 10

  private var used: [ObjectIdentifier: CredentialUse] = [:]
  private var lines: [ActivityLine] = []

  /// Notes a finished request.
  func note(
    _ use: CredentialUse, status: Int, method: StaticString?, took nanoseconds: UInt64,
    client: IPAddress?
  ) {
    if use.requests == 0 { used[ObjectIdentifier(use)] = use }
    use.requests += 1
    guard use.lines < Self.linesMax else { return }
    use.lines += 1
    lines.append(
      ActivityLine(
        connection: use.connection, credential: use.credential,
        atMilliseconds: UnixTime.milliseconds, status: status, methodName: method,
        durationMilliseconds: Int64(nanoseconds / 1_000_000),
        network: client.map { "\($0.neighbourhood)" } ?? ""))
  }

  /// Takes everything out.
  func drain() -> ActivityBatch {
    let batch = ActivityBatch(
      uses: used.values.map { ($0.connection, $0.credential, $0.requests) }, lines: lines)
    for use in used.values {
      use.requests = 0
      use.lines = 0
    }
    used.removeAll()
    lines.removeAll()
    return batch
  }
}

/// What goes to the database in one transaction.
struct ActivityBatch: Sendable {
  var uses: [(connection: String, credential: String, requests: Int64)]
  var lines: [ActivityLine]

  var isEmpty: Bool { uses.isEmpty && lines.isEmpty }
}

/// Writes activity and the block list; the only writer that the edge has.
final class ActivityStore: Sendable {
  /// Lines kept of one connection.
  static let linesPerConnectionMax = 200

  private let thread: DatabaseThread

  init(_ thread: DatabaseThread) { self.thread = thread }

  /// Writes a batch; what can not be written is lost, and the caller counts it.
  func write(_ batch: ActivityBatch) async throws(DatabaseError) {
    let now = UnixTime.now.seconds
    try await thread.run { (database) throws(DatabaseError) in
      try database.transaction { () throws(DatabaseError) in
        for use in batch.uses {
          try database.execute(
            """
            INSERT INTO credential_use (connection_id, credential_id, last_used_at, requests)
            VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET
              last_used_at = max(last_used_at, excluded.last_used_at),
              requests = requests + excluded.requests
            """, .text(use.connection), .text(use.credential), .integer(now),
            .integer(use.requests))
        }
        for line in batch.lines { try Self.insert(line, into: database) }
        for connection in Set(batch.lines.map(\.connection)) {
          try database.execute(
            """
            DELETE FROM activity WHERE connection_id = ? AND id <= (
              SELECT id FROM activity WHERE connection_id = ?
              ORDER BY id DESC LIMIT 1 OFFSET ?)
            """, .text(connection), .text(connection),
            .integer(Int64(Self.linesPerConnectionMax)))
        }
      }
    }
  }

  private static func insert(
    _ line: ActivityLine, into database: Connection
  ) throws(DatabaseError) {
    try database.execute(
      """
      INSERT INTO activity
        (connection_id, credential_id, at_ms, status, method_name, duration_ms, network)
      VALUES (?, ?, ?, ?, ?, ?, ?)
      """, .text(line.connection), .text(line.credential), .integer(line.atMilliseconds),
      .integer(Int64(line.status)), line.methodName.map { .text("\($0)") } ?? .null,
      .integer(line.durationMilliseconds), .text(line.network))
  }

  /// Stores a block, so that a restart does not lift it.
  func block(_ address: IPAddress, reason: StaticString, until: UnixTime)
    async throws(DatabaseError)
  {
    let now = UnixTime.now.seconds
    let bytes = address.bytes
    try await thread.run { (database) throws(DatabaseError) in
      try database.transaction { () throws(DatabaseError) in
        try database.execute("DELETE FROM blocklist WHERE blocked_until < ?", .integer(now))
        try database.execute(
          """
          INSERT INTO blocklist (address, reason, blocked_at, blocked_until) VALUES (?, ?, ?, ?)
          ON CONFLICT DO UPDATE SET reason = excluded.reason, blocked_at = excluded.blocked_at,
            blocked_until = excluded.blocked_until
          """, .blob(bytes), .text("\(reason)"), .integer(now), .integer(until.seconds))
      }
    }
  }

  /// The blocks in force.
  func blocks() async throws(DatabaseError) -> [(address: IPAddress, until: UnixTime)] {
    let now = UnixTime.now.seconds
    return try await thread.run { (database) throws(DatabaseError) in
      try database.all(
        "SELECT address, blocked_until FROM blocklist WHERE blocked_until > ?", .integer(now)
      ) { (row) throws(DatabaseError) in
        let bytes = try row.blob(0)
        let until = UnixTime(seconds: try row.integer(1))
        return (bytes.withUnsafeBytes { IPAddress(bytes: $0) }, until)
      }
    }
  }
}
