// What `bindery status` shows of auth's master keys: each by its fingerprint, whether it is the
// active one, and the rows under it; keys that rows need and that nobody holds; and the rotation.

import RPC

/// Lines about master keys.
enum KeyLines {
  static func text(_ report: KeyReport) -> String {
    var lines: [String] = []
    for fingerprint in report.fingerprints {
      let word = fingerprint == report.fingerprints.last ? "active" : "held"
      lines.append("key \(fingerprint) \(word), \(count(report, fingerprint)) rows")
    }
    for fingerprint in report.needed(notIn: report.fingerprints) {
      lines.append("key \(fingerprint) MISSING, \(count(report, fingerprint)) rows do not open")
    }
    if let rotation = report.rotation { lines.append(text(rotation)) }
    return lines.map { "  \($0)\n" }.joined()
  }

  private static func count(_ report: KeyReport, _ fingerprint: String) -> String {
    report.rows.reduce(Int64(0)) { $0 + ($1.fingerprint == fingerprint ? $1.count : 0) }.grouped
  }

  private static func text(_ rotation: KeyReport.Rotation) -> String {
    let reason = rotation.reason.map { " (\($0))" } ?? ""
    let failed = rotation.failed == 0 ? "" : ", \(rotation.failed.grouped) do not open"
    return "rotation to \(rotation.target) \(rotation.state)\(reason): "
      + "\(rotation.done.grouped) of \(rotation.total.grouped) rows re-wrapped\(failed)"
  }

  static func json(_ report: KeyReport) -> JSONValue {
    .object([
      ("fingerprints", .array(report.fingerprints.map { .text($0) })),
      (
        "rows",
        .array(
          report.rows.map { rows in
            .object([
              ("column", .text(rows.column)), ("fingerprint", .text(rows.fingerprint)),
              ("count", .integer(rows.count)),
            ])
          })
      ), ("rotation", report.rotation.map(json) ?? .null),
    ])
  }

  private static func json(_ rotation: KeyReport.Rotation) -> JSONValue {
    .object([
      ("target", .text(rotation.target)), ("state", .text(rotation.state)),
      ("total", .integer(rotation.total)), ("done", .integer(rotation.done)),
      ("failed", .integer(rotation.failed)),
      ("rate", rotation.rate.map { .integer($0) } ?? .null),
      ("started_at", .integer(rotation.startedAt)),
      ("finished_at", rotation.finishedAt.map { .integer($0) } ?? .null),
      ("reason", rotation.reason.map { .text($0) } ?? .null),
    ])
  }
}
