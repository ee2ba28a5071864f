// What is a job? Work that the scheduler does by the clock: a name from a closed list, an interval,
// and a body that says what it counted. When it runs is JobSchedule's to say; locks, memory, metrics
// and failures are the business of JobBoard.

import Clocks
import Database
import Metrics
import RPC

/// The jobs of the scheduler.
enum JobName: Int, MetricLabel {
  case orphanBlobs, upstreamRevocations, mail, tidy, masterKeys, forecast, anomalies, auditChain

  var label: StaticString {
    switch self {
    case .orphanBlobs: "orphan_blobs"
    case .upstreamRevocations: "upstream_revocations"
    case .mail: "mail"
    case .tidy: "tidy"
    case .masterKeys: "master_keys"
    case .forecast: "forecast"
    case .anomalies: "anomalies"
    case .auditChain: "audit_chain"
    }
  }
}

/// How a run ended.
enum JobOutcome: Int, MetricLabel {
  case done
  /// Done, and somebody should look at what it found.
  case findings
  case failed

  var label: StaticString {
    switch self {
    case .done: "done"
    case .findings: "findings"
    case .failed: "failed"
    }
  }
}

/// What a run has to say.
struct JobReport: Sendable {
  /// What was counted, by names of ours: letters and `_`.
  var counts: [(name: StaticString, count: Int64)] = []
  /// Whether somebody should look.
  var hasFindings = false
}

/// Why a run did not do its work.
enum JobFailure: DatabaseErrorConvertible, Sendable {
  case database(DatabaseError)
  case peer(RPCError)

  init(_ error: DatabaseError) { self = .database(error) }

  /// One word for logs.
  var label: StaticString {
    switch self {
    case .database(let error): error.label
    case .peer(let error):
      switch error {
      case .unreachable, .disconnected: "peer_unreachable"
      case .deadlineExceeded: "peer_slow"
      case .overloaded: "peer_overloaded"
      case .refused: "peer_refused"
      case .malformedResponse, .wrongPeer, .requestTooLarge: "peer_misunderstood"
      }
    }
  }
}

/// Work that is done again and again.
struct Job: Sendable {
  let name: JobName
  /// From the end of a run to the next, before jitter.
  let intervalSeconds: Int64
  let body: @Sendable (UnixTime) async throws(JobFailure) -> JobReport
}
