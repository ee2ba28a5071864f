// What `bindery status` prints of a job: how the last run ended, when the next comes, and what was
// counted. For people and for machines.

import Clocks
import RPC
import Testing

@testable import bindery

@Suite("Job lines") struct JobLineTests {
  private func job(
    running: Bool = false, outcome: String? = "done", finished: Int64? = 940,
    succeeded: Int64? = 940, next: Int64 = 1_048, counts: [String: Int64] = [:]
  ) -> JobStatus {
    JobStatus(
      name: "mail", running: running, outcome: outcome, finishedAt: finished,
      succeededAt: succeeded, nextAt: next, counts: counts)
  }

  private func line(_ job: JobStatus) -> String {
    JobLine.text(job, now: UnixTime(seconds: 1_000))
  }

  @Test("tell the last run, the next and what was counted") func text() {
    #expect(
      line(job(counts: ["sent": 3, "not_yet": 1, "parked": 0]))
        == "  mail                 done 60 s ago, next in 48 s, 1 not yet, 3 sent\n")
    #expect(line(job(running: true)) == "  mail                 done 60 s ago, running\n")
    #expect(
      line(job(outcome: nil, finished: nil, succeeded: nil))
        == "  mail                 not run yet, next in 48 s\n")
    #expect(
      line(job(outcome: "failed", succeeded: 100))
        == "  mail                 failed 60 s ago, next in 48 s, last success 15 min ago\n")
  }

  @Test("show times in a unit that is read at a glance") func spans() {
    let rows: [(Int64, String)] = [
      (-5, "0 s"), (0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"),
      (172_799, "47 h"), (172_800, "2 days"),
    ]
    for (seconds, text) in rows { #expect(JobLine.span(seconds) == text) }
  }

  @Test("hold everything for machines") func json() {
    #expect(
      JobLine.json(job(counts: ["sent": 3])).text
        == #"{"name":"mail","running":false,"outcome":"done","finished_at":940,"#
        + #""succeeded_at":940,"next_at":1048,"counts":{"sent":3}}"#)
  }
}
