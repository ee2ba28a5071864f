// Answers whether checkpoints lose commits (the WAL-reset race of SQLite before 3.51.3, forced by
// stopping the checkpointer between its reading of the log's header and its work) and whether
// deleted bytes leave database and log. The race's own hook is shown to be able to lose.

import CSQLite
import Clocks
import Glibc
import Testing

@testable import Database

/// Calls a closure once when a connection's file gives up its memory map: SQLite does so in a
/// checkpoint, after it has read the log's header and before it relies on it.
enum UnfetchHook {
  nonisolated(unsafe) static var original: UnsafePointer<sqlite3_io_methods>?
  nonisolated(unsafe) static var action: (() -> Void)?

  static func install(on database: OpaquePointer) {
    var pointer: UnsafeMutablePointer<sqlite3_file>?
    sqlite3_file_control(database, "main", SQLITE_FCNTL_FILE_POINTER, &pointer)
    guard let pointer, let methods = pointer.pointee.pMethods else { return }
    original = methods
    let patched = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
    patched.initialize(to: methods.pointee)
    patched.pointee.xUnfetch = { file, offset, page in
      if let action = UnfetchHook.action {
        UnfetchHook.action = nil
        action()
      }
      return UnfetchHook.original?.pointee.xUnfetch?(file, offset, page) ?? SQLITE_OK
    }
    pointer.pointee.pMethods = UnsafePointer(patched)
  }
}

@Suite("Checkpoints", .serialized) struct CheckpointTests {
  let scratch = Scratch()

  /// Writers, and how many of their commits were acknowledged.
  final class Writer {
    let connection: Connection
    var acknowledged: Int64 = 0

    init(_ file: DatabaseFile, patience: Duration = .milliseconds(20)) throws {
      connection = try Connection(file, as: .auth, patience: patience)
    }

    @discardableResult
    func commit() -> DatabaseError? {
      do throws(DatabaseError) {
        try connection.execute("INSERT INTO users (name) VALUES (hex(randomblob(600)))")
        acknowledged += 1
        return nil
      } catch {
        return error
      }
    }
  }

  enum Style: CaseIterable { case ours, unguarded }

  /// Runs the race; returns commits acknowledged, commits visible, what the rival in the window met.
  private func race(_ style: Style, firstBy other: Bool) throws -> (Int64, Int64?, DatabaseError?) {
    let file = try scratch.migrated()
    let writer = try Writer(file)
    let rival = try Writer(file)
    let first = try CheckpointPair(file)
    let second = try CheckpointPair(file)
    UnfetchHook.install(on: second.worker.database)
    for _ in 0..<40 { writer.commit() }
    let early = try (other ? first : second).round()
    #expect(early.frames > 0 && early.framesCopied == early.frames)
    if !other { for _ in 0..<40 { writer.commit() } }
    if !other { _ = try first.round() }  // the log is copied again, by someone else
    var met: DatabaseError?
    var fired = false
    UnfetchHook.action = {
      fired = true
      met = rival.commit()
    }
    switch style {
    case .ours: _ = try second.round()
    case .unguarded:
      // What a plain checkpoint does: nobody keeps the rival out.
      var frames: Int32 = 0
      var copied: Int32 = 0
      sqlite3_wal_checkpoint_v2(
        second.worker.database, "main", SQLITE_CHECKPOINT_PASSIVE, &frames, &copied)
    }
    #expect(fired, "the hook is in the window")
    for round in 0..<60 {
      writer.commit()
      if round % 7 == 6, style == .ours { _ = try first.round() }
    }
    let visible = try? Connection(file, as: .auth, access: .readOnly)
      .first("SELECT count(*) FROM users") { (row) throws(DatabaseError) in try row.integer(0) }
    return (writer.acknowledged + rival.acknowledged, visible, met)
  }

  @Test("lose nothing while a rival commits in the window", arguments: [true, false])
  func guarded(firstByAnother: Bool) throws {
    let (acknowledged, visible, met) = try race(.ours, firstBy: firstByAnother)
    #expect(met == .busy, "the rival must be kept out")
    #expect(visible == acknowledged)
    let check = try Connection(DatabaseFile(.bindery, in: scratch.path), policy: .schema)
    sqlite3_set_authorizer(check.database, nil, nil)  // which has no pragmas otherwise
    #expect(try Connection.query(check.database, "SELECT * FROM pragma_integrity_check") == "ok")
  }

  @Test("would lose commits without the guard, or this SQLite has the cure") func unguarded() throws
  {
    let (acknowledged, visible, met) = try race(.unguarded, firstBy: true)
    #expect(met == nil, "nobody kept the rival out")
    let version = sqlite3_libversion_number()
    let cured =
      version >= 3_051_003 || (3_050_007..<3_051_000).contains(version)
      || (3_044_006..<3_045_000).contains(version)
    #expect(
      (visible == acknowledged) == cured, "acknowledged \(acknowledged), visible \(visible ?? -1)")
  }

  @Test("run beside a writer without stopping it for long") func thread() throws {
    let file = try scratch.migrated()
    let checkpointer = try Checkpointer(file, every: .milliseconds(5))
    // A busy disk takes its time; a checkpoint that kept the lock would not end at all.
    let writer = try Writer(file, patience: .seconds(2))
    for _ in 0..<300 { #expect(writer.commit() == nil) }
    let deadline = Instant.now.advanced(by: .seconds(10))
    while file.logBytes > 5000, Instant.now < deadline { usleep(1000) }
    #expect(file.logBytes <= 5000, "an idle log is begun anew")
    #expect(checkpointer.current.failure == nil)
    checkpointer.stop()
    let visible = try writer.connection.first("SELECT count(*) FROM users") {
      (row) throws(DatabaseError) in try row.integer(0)
    }
    #expect(visible == writer.acknowledged)
  }
}
