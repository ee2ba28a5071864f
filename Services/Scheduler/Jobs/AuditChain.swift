// The job that looks whether the audit log hangs together, and logs its head. A log that was cut off
// at its end, or written anew as a whole, hangs together too: only a head that was noted elsewhere,
// where these lines are kept, tells.

import Accounts
import Bytes
import Clocks
import Database
import Logging

extension Job {
  /// Every six hours.
  static func auditChain(_ bindery: DatabaseThread, log: Log) -> Job {
    Job(name: .auditChain, intervalSeconds: 21_600) { (_) throws(JobFailure) in
      var check = AuditCheck()
      while !check.report.isComplete {
        let before = check
        let result: Result<AuditCheck, AccountError>
        do throws(DatabaseError) {
          result = try await bindery.run { (database) throws(DatabaseError) in
            var next = before
            do throws(AccountError) {
              try next.advance(database)
              return .success(next)
            } catch { return .failure(error) }
          }
        } catch { throw .database(error) }
        switch result {
        case .success(let next): check = next
        case .failure(.database(let error)): throw .database(error)
        case .failure:
          // A row that can not be read at all is a broken one.
          return AuditChain.tell(before.report, isReadable: false, log)
        }
      }
      return AuditChain.tell(check.report, isReadable: true, log)
    }
  }
}

private enum AuditChain {
  static func tell(_ report: AuditReport, isReadable: Bool, _ log: Log) -> JobReport {
    let head = PublicText.fingerprint(Hex.encode(Array(report.headHash.prefix(8))))
    let isBroken = report.brokenAt != nil || !isReadable
    if isBroken {
      log.error(
        "audit_log_broken",
        ["row": .count(report.brokenAt ?? report.head + 1), "hash": .text(head)])
    } else {
      log.info("audit_log_whole", ["row": .count(report.head), "hash": .text(head)])
    }
    return JobReport(
      counts: [("rows", report.rows), ("broken", isBroken ? 1 : 0)], hasFindings: isBroken)
  }
}
