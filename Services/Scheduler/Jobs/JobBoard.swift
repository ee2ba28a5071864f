// Runs the jobs: looks at the clock twice a second, starts what is due on its own task, and writes
// down how it ended. A job that fails is tried again and stops no other. Whether another scheduler
// ran it meanwhile is asked under the job's lock, so a job runs once however many there are.

import Clocks
import Database
import Logging
import Metrics
import Posix
import RPC
import ServiceRuntime
import Synchronization

/// The jobs of this process.
final class JobBoard: Sendable {
  private struct Entry {
    let job: Job
    var nextAt: UnixTime
    var isRunning = false
    /// To be run before its time.
    var isHurried = false
    var last: JobRecord?
  }

  private let runtime: Runtime
  private let bindery: DatabaseThread
  private let seconds: Family<Histogram, JobName>
  private let runs: Grid<Counter, JobOutcome>
  private let entries = Mutex<[JobName: Entry]>([:])
  private let isStopped = Atomic<Bool>(false)

  init(_ runtime: Runtime, bindery: DatabaseThread) {
    self.runtime = runtime
    self.bindery = bindery
    seconds = runtime.metrics.histograms(
      "bindery_scheduler_job_seconds", "Time that a run of a job took.", label: "job",
      by: JobName.self)
    runs = runtime.metrics.counters(
      "bindery_scheduler_job_runs_total", "Runs of jobs by how they ended.",
      over: LabelNames("job", JobName.allCases.map { "\($0.label)" }), label: "outcome",
      by: JobOutcome.self)
    runtime.metrics.observed(
      "bindery_scheduler_job_success_age_seconds", "Time since a job last did its work.",
      label: "job"
    ) { [weak self] in self?.successAges ?? [] }
    runtime.readiness.report { [weak self] in self?.states ?? [] }
  }

  private var all: [(name: JobName, entry: Entry)] {
    let entries = entries.withLock { $0 }
    return JobName.allCases.compactMap { name in entries[name].map { (name, $0) } }
  }

  private var successAges: [(String, Double)] {
    let now = UnixTime.now
    return all.compactMap { name, entry in
      entry.last?.succeededAt.map { ("\(name.label)", Double(max(0, now.seconds - $0.seconds))) }
    }
  }

  private var states: [JobStatus] {
    all.map { name, entry in
      JobStatus(
        name: "\(name.label)", running: entry.isRunning, outcome: entry.last?.outcome,
        finishedAt: entry.last?.finishedAt.seconds, succeededAt: entry.last?.succeededAt?.seconds,
        nextAt: entry.nextAt.seconds, counts: entry.last?.counts ?? [:])
    }
  }

  /// Takes up `jobs` where the last process left them, and runs them from now on.
  func start(_ jobs: [Job]) async throws(StartFailure) {
    for job in jobs {
      let last: JobRecord?
      do throws(DatabaseError) {
        last = try await bindery.run { (database) throws(DatabaseError) in
          try JobStore(database: database).record(of: "\(job.name.label)")
        }
      } catch { throw .database(error) }
      let first = job.schedule.first(stored: last?.nextAt, now: .now)
      entries.withLock { $0[job.name] = Entry(job: job, nextAt: first, last: last) }
    }
    runtime.loop.spawn { [self] in await tick() }
  }

  /// Lets a job run as soon as it can.
  func hurry(_ name: JobName) { entries.withLock { $0[name]?.isHurried = true } }

  /// Starts no further run and waits for those under way, until `deadline`.
  func stop(until deadline: Instant) async {
    isStopped.store(true, ordering: .relaxed)
    while entries.withLock({ $0.values.contains { $0.isRunning } }), Instant.now < deadline {
      await runtime.pause(for: .milliseconds(20))
    }
  }

  private func tick() async {
    while !isStopped.load(ordering: .relaxed) {
      let now = UnixTime.now
      let due = entries.withLock { entries -> [(Job, Bool)] in
        var due: [(Job, Bool)] = []
        for (name, entry) in entries where !entry.isRunning {
          guard entry.nextAt <= now || entry.isHurried else { continue }
          due.append((entry.job, entry.isHurried))
          entries[name]?.isRunning = true
          entries[name]?.isHurried = false
        }
        return due
      }
      for (job, isHurried) in due {
        runtime.loop.spawn { [self] in await run(job, isHurried: isHurried) }
      }
      await runtime.pause(for: .milliseconds(500))
    }
  }

  /// What trying to begin a run gave.
  private enum Claim: Sendable {
    /// Ours as long as the lock is held.
    case run(JobLock)
    /// Somebody runs it now, or ran it.
    case elsewhere(JobRecord?)
    case failed(StaticString)
  }

  private func run(_ job: Job, isHurried: Bool) async {
    let started = UnixTime.now
    switch await claim(job, isHurried: isHurried, now: started) {
    case .elsewhere(let record):
      settle(job) { entry in
        entry.last = record ?? entry.last
        entry.nextAt = max(record?.nextAt ?? started, started.advanced(bySeconds: 1))
      }
    case .failed(let reason): await end(job, started: started, .failure(reason))
    case .run(let lock):
      let begin = Instant.now
      let result: Result<JobReport, JobFailure>
      do throws(JobFailure) { result = .success(try await job.body(started)) } catch {
        if case .database(let error) = error, error.isFatal { runtime.giveUp("database_unusable") }
        result = .failure(error)
      }
      seconds[job.name].observe(begin.duration(to: .now))
      switch result {
      case .success(let report): await end(job, started: started, .success(report))
      case .failure(let failure): await end(job, started: started, .failure(failure.label))
      }
      withExtendedLifetime(lock) {}
    }
  }

  private func claim(_ job: Job, isHurried: Bool, now: UnixTime) async -> Claim {
    let folder = runtime.settings.common.locksPath
    do throws(DatabaseError) {
      return try await bindery.run { (database) throws(DatabaseError) -> Claim in
        let lock: JobLock?
        do throws(Errno) { lock = try JobLock.take(job.name, in: folder) } catch {
          return .failed(error.name)
        }
        guard let lock else { return .elsewhere(nil) }
        let last = try JobStore(database: database).record(of: "\(job.name.label)")
        if !isHurried, let last, job.schedule.first(stored: last.nextAt, now: now) > now {
          return .elsewhere(last)
        }
        return .run(lock)
      }
    } catch {
      if error.isFatal { runtime.giveUp("database_unusable") }
      return .failed(error.label)
    }
  }

  /// The result of a run: what it reports, or a word for why it failed.
  private enum Ending {
    case success(JobReport)
    case failure(StaticString)
  }

  private func end(_ job: Job, started: UnixTime, _ ending: Ending) async {
    let now = UnixTime.now
    var outcome = JobOutcome.failed
    var counts: [String: Int64] = [:]
    switch ending {
    case .success(let report):
      outcome = report.hasFindings ? .findings : .done
      for (name, count) in report.counts { counts["\(name)"] = count }
    case .failure(let reason):
      runtime.log.warning(
        "job_failed", ["job": .literal(job.name.label), "reason": .literal(reason)])
    }
    let record = JobRecord(
      startedAt: started, finishedAt: now, succeededAt: outcome == .failed ? nil : now,
      outcome: "\(outcome.label)", counts: counts,
      nextAt: job.schedule.next(after: now, failed: outcome == .failed))
    runs[job.name.rawValue, outcome].add()  // rows stand in the order of the cases
    do throws(DatabaseError) {
      try await bindery.run { (database) throws(DatabaseError) in
        try JobStore(database: database).keep(record, of: "\(job.name.label)")
      }
    } catch {
      if error.isFatal { runtime.giveUp("database_unusable") }
      runtime.log.warning(
        "job_not_noted", ["job": .literal(job.name.label), "reason": .literal(error.label)])
    }
    settle(job) { entry in
      var record = record
      if record.succeededAt == nil { record.succeededAt = entry.last?.succeededAt }
      entry.last = record
      entry.nextAt = record.nextAt
    }
  }

  private func settle(_ job: Job, _ change: (inout Entry) -> Void) {
    entries.withLock { entries in
      guard var entry = entries[job.name] else { return }
      change(&entry)
      entry.isRunning = false
      entries[job.name] = entry
    }
  }
}

extension Job {
  /// When it runs.
  var schedule: JobSchedule {
    JobSchedule(name: "\(name.label)", intervalSeconds: intervalSeconds)
  }
}
