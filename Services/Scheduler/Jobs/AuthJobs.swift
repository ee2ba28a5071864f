// Jobs that auth does when the scheduler asks: tidying its records, and looking whether it holds every
// master key that something is sealed under. The rows and the keys stay with their owner.

import Clocks
import RPC
import ServiceRuntime

extension Job {
  /// Deletes what has ended, every five minutes.
  static func tidy(_ auth: RPCClient, _ runtime: Runtime) -> Job {
    Job(name: .tidy, intervalSeconds: 300) { (_) throws(JobFailure) in
      await reach(auth, runtime)
      let tidied: TidyCall.Response
      do throws(RPCError) {
        tidied = try await auth.call(TidyCall.self, TidyCall.Request())
      } catch { throw .peer(error) }
      return JobReport(counts: [
        ("sessions", tidied.sessions), ("revocations", tidied.revocations),
        ("ended", tidied.ended),
      ])
    }
  }

  /// Looks every minute whether a master key is missing; auth itself raises the alarm.
  static func masterKeys(_ auth: RPCClient, _ runtime: Runtime) -> Job {
    Job(name: .masterKeys, intervalSeconds: 60) { (_) throws(JobFailure) in
      await reach(auth, runtime)
      let report: KeyReport
      do throws(RPCError) { report = try await auth.call(KeysCall.self, KeysCall.Request()) } catch
      {
        throw .peer(error)
      }
      return self.report(on: report)
    }
  }

  /// Waits a little for a peer that starts when we do.
  static func reach(_ peer: RPCClient, _ runtime: Runtime) async {
    let deadline = Instant.now.advanced(by: .seconds(5))
    while !peer.isConnected, Instant.now < deadline { await runtime.pause(for: .milliseconds(50)) }
  }

  /// How many keys are held, and how many rows are sealed under others.
  static func report(on report: KeyReport) -> JobReport {
    let held = Set(report.fingerprints)
    let orphaned = report.rows.reduce(Int64(0)) {
      held.contains($1.fingerprint) ? $0 : $0 + $1.count
    }
    return JobReport(
      counts: [("held", Int64(held.count)), ("orphaned_rows", orphaned)],
      hasFindings: orphaned > 0)
  }
}
