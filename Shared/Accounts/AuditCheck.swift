// Is the audit log whole? Walks the chain from the last cut to the end, a page at a time, over any
// connection that may read it: the scheduler's job and the operator's tool. What this can not see is a
// log whose end was cut off or that was written anew as a whole: for that the job logs the head.

import Database

/// What a walk over the audit log found.
public struct AuditReport: Sendable, Equatable {
  /// Rows that hang together, counted from the last cut.
  public var rows: Int64 = 0
  /// The number of the last row that does; that of the cut when there is none.
  public var head: Int64 = 0
  /// The hash of that row.
  public var headHash: [UInt8] = AuditEntry.origin
  /// The number of the first row that is not what was written there, or that is not there.
  public var brokenAt: Int64?
  /// Whether the end was reached.
  public var isComplete = false
}

/// A walk along the chain.
public struct AuditCheck: Sendable {
  /// Rows of one page.
  public static let pageMax: Int64 = 1000

  /// How far it came.
  public private(set) var report = AuditReport()
  private var hasBegun = false

  public init() {}

  /// Checks the next page, in one state of the database; call it until the report is complete.
  public mutating func advance(_ database: Connection) throws(AccountError) {
    guard !report.isComplete else { return }
    var check = self
    let next = try database.snapshot { () throws(AccountError) -> AuditCheck in
      try check.page(of: database)
      return check
    }
    self = next
  }

  private mutating func page(of database: Connection) throws(AccountError) {
    let cut = try database.auditCut()
    // A log that was cut while it was walked through goes on behind the cut.
    if !hasBegun || report.head < cut.sequence {
      (report.head, report.headHash) = cut
      hasBegun = true
    }
    let rows = try database.every(
      """
      SELECT sequence, at, event, subject, about, hash FROM audit_log
      WHERE sequence > ? ORDER BY sequence LIMIT ?
      """, [.integer(report.head), .integer(Self.pageMax)]
    ) { (row) throws(AccountError) in
      (
        entry: AuditEntry(
          sequence: try RowReading.integer(row, 0), at: try RowReading.integer(row, 1),
          event: try RowReading.text(row, 2),
          subject: row.isNull(3) ? nil : try RowReading.blob(row, 3),
          about: try RowReading.text(row, 4)), hash: try RowReading.blob(row, 5)
      )
    }
    for (entry, hash) in rows {
      guard entry.sequence == report.head + 1, entry.hash(after: report.headHash) == hash else {
        report.brokenAt = report.head + 1
        report.isComplete = true
        return
      }
      report.rows += 1
      (report.head, report.headHash) = (entry.sequence, hash)
    }
    report.isComplete = Int64(rows.count) < Self.pageMax
  }
}
