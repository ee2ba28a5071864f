// The only code that checkpoints. SQLite before 3.51.3 loses commits when a write-ahead log is
// restarted by one process while another, whose view of it is stale, checkpoints it. So: never an
// automatic checkpoint, never one on close, and here only while a second connection of ours holds
// the write lock, so that nobody can commit, hence restart, in between. Always PASSIVE: the other
// modes fall back to it silently when they meet a writer, and unguarded that is the fatal case.

import CSQLite
import Clocks

// The log is emptied without the other modes: once all of it is copied and the store is idle, a
// commit that changes nothing restarts it, and `journal_size_limit=0` (every connection) cuts off
// the old tail.

/// What one round of the checkpointer found and did.
public struct CheckpointReport: Equatable, Sendable {
  /// Length of the write-ahead log after the round, in bytes.
  public var logBytes = 0
  /// Frames in the log, and those of them that are in the database now.
  public var frames = 0, framesCopied = 0
  /// How long writers were kept waiting.
  public var guarded = Duration.zero
  /// Whether this round began the log anew.
  public var restarted = false
}

/// Two connections to one database: one checkpoints while the other keeps writers out.
final class CheckpointPair {
  /// Holds the write lock.
  let guardian: Connection
  /// Checkpoints.
  let worker: Connection
  private let file: DatabaseFile
  /// The state of the database in which there is nothing left to do.
  private var settledVersion: Int64?
  /// The state in which all frames were copied, if no one committed since.
  private var copiedVersion: Int64?

  /// Opens both connections on the calling thread, which owns them.
  init(_ file: DatabaseFile) throws(DatabaseError) {
    self.file = file
    guardian = try Connection(file, policy: .header)
    worker = try Connection(file, policy: .header)
  }

  /// One round: copies what the log holds, or begins an idle, copied log anew, or does nothing.
  /// - Throws: `busy` when a writer held the lock throughout; any other error is for good.
  func round() throws(DatabaseError) -> CheckpointReport {
    var report = CheckpointReport()
    let version = try dataVersion()
    if file.logBytes > 0, version != settledVersion {
      if version == copiedVersion {
        try restart(&report)
      } else {
        try checkpoint(&report)
      }
    }
    report.logBytes = file.logBytes
    return report
  }

  private func checkpoint(_ report: inout CheckpointReport) throws(DatabaseError) {
    var frames: Int32 = 0
    var copied: Int32 = 0
    var code = SQLITE_OK
    var version: Int64?
    var begun = Instant.now
    try guardian.transaction { () throws(DatabaseError) in
      begun = Instant.now
      version = try dataVersion()  // nobody commits until this transaction ends
      code = sqlite3_wal_checkpoint_v2(
        worker.database, "main", SQLITE_CHECKPOINT_PASSIVE, &frames, &copied)
    }
    report.guarded = begun.duration(to: .now)
    report.frames = Int(frames)
    report.framesCopied = Int(copied)
    guard code == SQLITE_OK else { throw worker.note(DatabaseError(code: code)) }
    copiedVersion = frames == copied ? version : nil
  }

  /// Commits the header as it is. With all frames copied and no reader in the log, that starts the
  /// log at its beginning; with a reader it only adds a frame, and the next rounds try again.
  private func restart(_ report: inout CheckpointReport) throws(DatabaseError) {
    let before = file.logBytes
    let begun = Instant.now
    try guardian.transaction { () throws(DatabaseError) in
      try guardian.execute(file.kind.sameHeader)
    }
    report.guarded = begun.duration(to: .now)
    report.restarted = file.logBytes <= before
    copiedVersion = nil
    settledVersion = report.restarted ? try dataVersion() : nil
  }

  /// A number that changes when another connection commits.
  private func dataVersion() throws(DatabaseError) -> Int64? {
    try guardian.first("PRAGMA data_version") { (row) throws(DatabaseError) in try row.integer(0) }
  }
}
