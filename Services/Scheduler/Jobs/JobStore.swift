// The table job_state: when each job ran, how it ended, what it counted and when it runs next.
// Nothing here decides anything.

import Clocks
import Database

/// What is known of a job's last run.
struct JobRecord: Sendable, Equatable {
  var startedAt: UnixTime
  var finishedAt: UnixTime
  var succeededAt: UnixTime?
  /// The label of a `JobOutcome`.
  var outcome: String
  var counts: [String: Int64]
  var nextAt: UnixTime
}

/// The rows of job_state, over one connection.
struct JobStore {
  let database: Connection

  /// The last run of a job; nil before the first.
  func record(of name: String) throws(DatabaseError) -> JobRecord? {
    try database.first(
      """
      SELECT started_at, finished_at, succeeded_at, outcome, detail, next_at FROM job_state
      WHERE name = ?
      """, .text(name)
    ) { (row) throws(DatabaseError) in
      JobRecord(
        startedAt: UnixTime(seconds: try row.integer(0)),
        finishedAt: UnixTime(seconds: try row.integer(1)),
        succeededAt: try row.optionalInteger(2).map { UnixTime(seconds: $0) },
        outcome: try row.text(3), counts: Self.counts(try row.text(4)),
        nextAt: UnixTime(seconds: try row.integer(5)))
    }
  }

  /// Writes down a run. A run that failed leaves the time of the last success as it was.
  func keep(_ record: JobRecord, of name: String) throws(DatabaseError) {
    try database.execute(
      """
      INSERT INTO job_state (name, started_at, finished_at, succeeded_at, outcome, detail, next_at)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
      ON CONFLICT (name) DO UPDATE SET started_at = ?2, finished_at = ?3,
        succeeded_at = coalesce(?4, succeeded_at), outcome = ?5, detail = ?6, next_at = ?7
      """,
      .text(name), .integer(record.startedAt.seconds), .integer(record.finishedAt.seconds),
      .optional(record.succeededAt?.seconds), .text(record.outcome),
      .text(
        record.counts.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
          .joined(separator: "\n")), .integer(record.nextAt.seconds))
  }

  /// Lines that this code did not write are left out.
  private static func counts(_ text: String) -> [String: Int64] {
    var counts: [String: Int64] = [:]
    for line in text.split(separator: "\n") {
      let parts = line.split(separator: "=", omittingEmptySubsequences: false)
      if parts.count == 2, let count = Int64(parts[1]) { counts[String(parts[0])] = count }
    }
    return counts
  }
}
