// The frame of the jobs: when one runs next, that a lock admits one holder and dies with it, and that
// what was written down about a run is read back.

import Clocks
import Database
import Glibc
import TestFolders
import Testing

@testable import bindery_scheduler

@Suite("Job schedule") struct JobScheduleTests {
  private func at(_ seconds: Int64) -> UnixTime { UnixTime(seconds: seconds) }
  private let daily = JobSchedule(name: "some_job", intervalSeconds: 86_400)
  private let quick = JobSchedule(name: "some_job", intervalSeconds: 20)

  @Test("spreads jobs by their names, up to a tenth of the interval, always alike")
  func jitter() {
    let names = JobName.allCases.map { "\($0.label)" } + (0..<100).map { "job_\($0)" }
    let all = names.map { JobSchedule(name: $0, intervalSeconds: 86_400).jitterSeconds }
    #expect(all.allSatisfy { (0...8640).contains($0) })
    #expect(Set(all).count > 90)
    // A value of FNV-1a that must not change: it decides when jobs run over a restart.
    #expect(
      JobSchedule(name: "a", intervalSeconds: 100).jitterSeconds == 7)
    #expect(quick.jitterSeconds <= 2)
  }

  @Test("keeps its time over a restart") func stored() {
    #expect(daily.first(stored: at(5_000), now: at(1_000)) == at(5_000))
    #expect(daily.first(stored: at(500), now: at(1_000)) == at(500))
  }

  @Test("distrusts a time that it would never have chosen") func clockWasWrong() {
    let far = daily.first(stored: at(10_000_000), now: at(1_000))
    #expect(far == at(1_000 + 86_400 + daily.jitterSeconds))
  }

  @Test("begins soon when it never ran, a frequent job at once") func first() {
    #expect((1_000...1_010).contains(daily.first(stored: nil, now: at(1_000)).seconds))
    #expect(quick.first(stored: nil, now: at(1_000)) == at(1_000))
  }

  @Test("waits an interval after success, less after failure") func next() {
    #expect(
      daily.next(after: at(1_000), failed: false) == at(1_000 + 86_400 + daily.jitterSeconds))
    #expect(daily.next(after: at(1_000), failed: true) == at(1_600))
    #expect(quick.next(after: at(1_000), failed: true) == at(1_020))
  }
}

@Suite("Job lock") struct JobLockTests {
  @Test("has one holder, and is free when that is gone") func exclusive() throws {
    let home = TestFolder("locks")
    let folder = "\(home.path)/locks"
    var first = try JobLock.take(.orphanBlobs, in: folder)
    #expect(first != nil)
    #expect(try JobLock.take(.orphanBlobs, in: folder) == nil)
    first = nil
    #expect(try JobLock.take(.orphanBlobs, in: folder) != nil)
  }

  @Test("says why it can not be taken") func unusable() {
    #expect(throws: (any Error).self) {
      try JobLock.take(.orphanBlobs, in: "/proc/self/nowhere/locks")
    }
  }
}

@Suite("Job store") struct JobStoreTests {
  private let home = TestFolder("jobs")
  private let database: DatabaseThread

  init() throws {
    _ = try MigrationRunner(directory: home.path).run()
    database = try DatabaseThread(DatabaseFile(.bindery, in: home.path), as: .scheduler)
  }

  private func record(_ end: Int64, failed: Bool = false, counts: [String: Int64] = [:])
    -> JobRecord
  {
    let time = UnixTime(seconds: end)
    return JobRecord(
      startedAt: UnixTime(seconds: end - 1), finishedAt: time, succeededAt: failed ? nil : time,
      outcome: failed ? "failed" : "done", counts: counts,
      nextAt: UnixTime(seconds: end + 60))
  }

  @Test("gives back what was written, and keeps the last success through failures")
  func roundTrip() async throws {
    let (good, bad) = (record(100, counts: ["sent": 3, "parked": -1]), record(200, failed: true))
    try await database.run { (database) throws(DatabaseError) in
      let store = JobStore(database: database)
      #expect(try store.record(of: "mail") == nil)
      try store.keep(good, of: "mail")
      #expect(try store.record(of: "mail") == good)
      try store.keep(bad, of: "mail")
      var expected = bad
      expected.succeededAt = good.succeededAt
      #expect(try store.record(of: "mail") == expected)
      #expect(try store.record(of: "other") == nil)
    }
  }

  @Test("may be written by nobody else") func owner() async throws {
    let auth = try DatabaseThread(DatabaseFile(.bindery, in: home.path), as: .auth)
    let record = record(100)
    await #expect(throws: DatabaseError.self) {
      try await auth.run { (database) throws(DatabaseError) in
        try JobStore(database: database).keep(record, of: "mail")
      }
    }
  }
}
