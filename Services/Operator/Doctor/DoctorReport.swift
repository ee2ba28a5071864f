// How diagnoses are shown: a line for each rung for people, an array for machines. Nothing is judged
// here.

/// The doctor's two ways of writing.
enum DoctorReport {
  static func text(_ diagnoses: [Diagnosis]) -> String {
    let width = DoctorRung.allCases.map { $0.rawValue.utf8.count }.max() ?? 0
    var text = ""
    for diagnosis in diagnoses {
      text += "\(diagnosis.service)\n"
      for finding in diagnosis.findings {
        let name = finding.rung.rawValue.split(separator: "_").joined(separator: " ")
        var words: [String] = []
        if let url = finding.url { words.append(url) }
        if let rule = finding.rule { words.append(rule) }
        if let mend = finding.mend { words.append("mend: \(mend)") }
        text += "  \(padded(finding.state.rawValue, to: 7))  \(padded(name, to: width))  "
        text += words.joined(separator: " | ") + "\n"
      }
    }
    let bad = diagnoses.filter { !$0.isGood }.map(\.service)
    let count = diagnoses.count == 1 ? "1 service" : "\(diagnoses.count) services"
    text += bad.isEmpty ? "\(count), nothing found" : "\(count), trouble with: "
    return text + bad.joined(separator: ", ") + ".\n"
  }

  /// An array of {service, good, findings: [{rung, state, url, rule, mend}]}.
  static func json(_ diagnoses: [Diagnosis]) -> String {
    let items = diagnoses.map { diagnosis in
      let findings = diagnosis.findings.map { finding in
        JSONValue.object([
          ("rung", .text(finding.rung.rawValue)), ("state", .text(finding.state.rawValue)),
          ("url", optional(finding.url)), ("rule", optional(finding.rule)),
          ("mend", optional(finding.mend)),
        ])
      }
      return JSONValue.object([
        ("service", .text(diagnosis.service)), ("good", .flag(diagnosis.isGood)),
        ("findings", .array(findings)),
      ])
    }
    return JSONValue.array(items).text + "\n"
  }

  private static func optional(_ text: String?) -> JSONValue { text.map { .text($0) } ?? .null }

  private static func padded(_ text: String, to width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.utf8.count))
  }
}
