// The manual of `bindery settings`, made from the declarations, as text for people or JSON for
// machines. It shows no value of this machine, only what may be set.

/// Renders the settings manual.
public enum SettingsManual {
  /// Text of at most 100 columns.
  public static var text: String {
    var text = """
      Settings are environment variables. An empty one counts as not set. A setting marked
      "secret" can instead be given as a file: NAME_FILE=/path. Malformed or contradictory
      settings, and unknown names that begin with BINDERY_, end a process with status 78.

      """
    for group in Setting.Group.allCases {
      text += "\n\(group.rawValue)\n\n"
      for setting in Setting.all where setting.group == group {
        text += "  \(setting.name)" + (setting.isSecret ? "  (secret)" : "") + "\n"
        for line in wrapped("\(setting.meaning)") { text += "      \(line)\n" }
        if let standard = setting.standard { text += "      Default: \(standard)\n" }
        let readers = setting.readers.map(\.rawValue).joined(separator: ", ")
        text += "      Read by: \(readers)\n"
      }
      if group == .upstreams {
        text += """
            <SERVICE>_CLIENT_ID, <SERVICE>_CLIENT_SECRET  (the second is secret)
                The OAuth app of a service whose registration is "static", such as
                GITHUB_CLIENT_ID; the name is the service's id in capitals, - becomes _.
                Read by: auth, scheduler

          """
      }
    }
    return text
  }

  /// An array of {name, default, meaning, secret, read_by}.
  public static var json: String {
    let items = Setting.all.map { setting in
      let standard = setting.standard.map { quoted("\($0)") } ?? "null"
      let readers = setting.readers.map { quoted($0.rawValue) }.joined(separator: ",")
      return "{\"name\":\(quoted("\(setting.name)")),\"default\":\(standard),"
        + "\"meaning\":\(quoted("\(setting.meaning)")),\"secret\":\(setting.isSecret),"
        + "\"group\":\(quoted(setting.group.rawValue)),\"read_by\":[\(readers)]}"
    }
    return "[" + items.joined(separator: ",\n ") + "]\n"
  }

  /// Our own texts hold no control characters.
  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      if scalar == "\"" || scalar == "\\" { result += "\\" }
      result.unicodeScalars.append(scalar)
    }
    return result + "\""
  }

  private static func wrapped(_ text: String) -> [String] {
    var lines: [String] = []
    var line = ""
    for word in text.split(separator: " ") {
      if !line.isEmpty && line.utf8.count + word.utf8.count > 88 {
        lines.append(line)
        line = ""
      }
      line += (line.isEmpty ? "" : " ") + word
    }
    return line.isEmpty ? lines : lines + [line]
  }
}
