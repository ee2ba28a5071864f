// How `bindery status` shows a job of the scheduler: one line for people, one object for machines.
// Pure: the time comes in.

import Clocks
import RPC

/// A job as `bindery status` tells of it.
enum JobLine {
  /// `  mail                 done 12 s ago, next in 48 s, 3 sent`
  static func text(_ job: JobStatus, now: UnixTime) -> String {
    var line = "  \(job.name.padded(to: 20)) "
    if let outcome = job.outcome, let finished = job.finishedAt {
      line += "\(outcome) \(span(now.seconds - finished)) ago"
    } else {
      line += "not run yet"
    }
    line += job.running ? ", running" : ", next in \(span(job.nextAt - now.seconds))"
    if job.outcome == "failed", let success = job.succeededAt {
      line += ", last success \(span(now.seconds - success)) ago"
    }
    for (name, count) in job.counts.sorted(by: { $0.key < $1.key }) where count != 0 {
      line += ", \(count) \(name.split(separator: "_").joined(separator: " "))"
    }
    return line + "\n"
  }

  /// The longest unit that leaves at least two of it.
  static func span(_ seconds: Int64) -> String {
    let seconds = max(0, seconds)
    switch seconds {
    case ..<120: return "\(seconds) s"
    case ..<7200: return "\(seconds / 60) min"
    case ..<172_800: return "\(seconds / 3600) h"
    default: return "\(seconds / 86_400) days"
    }
  }

  /// The job with all its counts.
  static func json(_ job: JobStatus) -> JSONValue {
    .object([
      ("name", .text(job.name)), ("running", .flag(job.running)),
      ("outcome", job.outcome.map { .text($0) } ?? .null),
      ("finished_at", job.finishedAt.map { .integer($0) } ?? .null),
      ("succeeded_at", job.succeededAt.map { .integer($0) } ?? .null),
      ("next_at", .integer(job.nextAt)),
      ("counts", .object(job.counts.sorted { $0.key < $1.key }.map { ($0, .integer($1)) })),
    ])
  }
}
