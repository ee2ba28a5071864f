// What `bindery rotate-keys` says: lines for people, or one JSON object a line. Fingerprints and
// counts; nothing here ever saw a key.

import Clocks
import RPC

/// How fast rows are done, from when the tool began to watch.
struct Speed {
  private let firstDone: Int64
  private let start: Instant
  private var done: Int64
  private var end: Instant

  init(done: Int64, at now: Instant) {
    firstDone = done
    start = now
    self.done = done
    end = now
  }

  mutating func note(_ done: Int64, at now: Instant) {
    self.done = done
    end = now
  }

  var seconds: Double { Double(end.nanoseconds(since: start)) / 1e9 }
  var rowsPerSecond: Int64 { Int64(Double(done - firstDone) / max(seconds, 0.001)) }
}

/// Tells how a rotation fares.
struct RotationTeller {
  let console: Console
  let isJSON: Bool

  private func tell(_ event: String, _ text: String, _ members: [(String, JSONValue)]) {
    console.write(
      isJSON ? JSONValue.object([("event", .text(event))] + members).text + "\n" : text + "\n")
  }

  private static func members(_ rotation: KeyReport.Rotation) -> [(String, JSONValue)] {
    [
      ("target", .text(rotation.target)), ("state", .text(rotation.state)),
      ("total", .integer(rotation.total)), ("done", .integer(rotation.done)),
      ("failed", .integer(rotation.failed)),
    ]
  }

  private static func list(_ texts: [String]) -> JSONValue { .array(texts.map { .text($0) }) }

  func plan(_ file: KeysFile, _ report: KeyReport, stale: Int64, lost: [String]) {
    let new = file.fingerprints.filter { !report.fingerprints.contains($0) }
    var lines: [String] = []
    if !new.isEmpty { lines.append("auth would load: \(new.joined(separator: ", "))") }
    lines.append("would re-wrap \(stale.grouped) rows under \(file.active)")
    if !lost.isEmpty {
      lines.append("rows are under keys that are not in the file: \(lost.joined(separator: ", "))")
    }
    lines.append("nothing was changed")
    tell(
      "plan", lines.joined(separator: "\n"),
      [
        ("active", .text(file.active)), ("load", Self.list(new)), ("rewrap", .integer(stale)),
        ("missing", Self.list(lost)),
      ])
  }

  func nothingToDo(_ file: KeysFile, _ report: KeyReport) {
    let count = report.rows.reduce(0) { $0 + $1.count }
    tell(
      "nothing_to_do",
      "all \(count.grouped) rows are under \(file.active)\(removable(file.active, report))",
      [("active", .text(file.active)), ("rows", .integer(count))])
  }

  func progress(_ rotation: KeyReport.Rotation, _ speed: Speed) {
    let unreadable = rotation.failed == 0 ? "" : ", \(rotation.failed.grouped) do not open"
    tell(
      "progress",
      "re-wrapped \(rotation.done.grouped) of \(rotation.total.grouped), "
        + "\(speed.rowsPerSecond.grouped) rows/s\(unreadable)",
      Self.members(rotation) + [("rows_per_second", .integer(speed.rowsPerSecond))])
  }

  func held(_ rotation: KeyReport.Rotation) {
    tell(
      "held",
      "paused at \(rotation.done.grouped) of \(rotation.total.grouped); "
        + "bindery rotate-keys --resume goes on", Self.members(rotation))
  }

  func ended(_ rotation: KeyReport.Rotation, _ speed: Speed, _ report: KeyReport) {
    var text =
      "re-wrapped \(rotation.done.grouped) rows, "
      + "\(speed.rowsPerSecond.grouped) rows/s while watched"
    if rotation.state == "completed" {
      text += "; all are under \(rotation.target)" + removable(rotation.target, report)
    } else if rotation.reason == "rows_unreadable" {
      text += "; \(rotation.failed.grouped) rows do not open: auth's log names them"
    } else {
      text += "; the rotation failed: \(rotation.reason ?? "")"
    }
    tell(
      "ended", text,
      Self.members(rotation) + [
        ("reason", rotation.reason.map { .text($0) } ?? .null),
        ("rows_per_second", .integer(speed.rowsPerSecond)),
        ("removable", Self.list(unneeded(rotation.target, report))),
      ])
  }

  func wouldRemove(_ fingerprint: String) {
    tell(
      "plan", "would remove \(fingerprint); nothing was changed",
      [("remove", .text(fingerprint))])
  }

  func removed(_ fingerprint: String, left: [String]) {
    tell(
      "removed", "removed \(fingerprint); auth holds \(left.joined(separator: ", "))",
      [("fingerprint", .text(fingerprint)), ("held", Self.list(left))])
  }

  private func unneeded(_ active: String, _ report: KeyReport) -> [String] {
    report.fingerprints.filter { held in
      held != active && !report.rows.contains { $0.fingerprint == held }
    }
  }

  private func removable(_ active: String, _ report: KeyReport) -> String {
    let keys = unneeded(active, report)
    return keys.isEmpty ? "" : "\nno longer needed: \(keys.joined(separator: ", ")) (--remove)"
  }
}

extension Int64 {
  /// The number with a comma between thousands.
  var grouped: String {
    var text = ""
    for (index, digit) in String(magnitude).reversed().enumerated() {
      if index > 0, index % 3 == 0 { text.append(",") }
      text.append(digit)
    }
    return (self < 0 ? "-" : "") + String(text.reversed())
  }
}
