// The rules of the house that a machine can check, one function each: a file in, violations out.
// Formatting is `swift format`'s; whether a name is good or a comment true is for people.

/// The rules for one Swift file.
enum Rules {
  static let linesMax = 400
  static let testLinesMax = 600
  static let mainLinesMax = 40

  private static func violation(_ file: SourceFile, _ line: Int, _ message: String) -> Violation {
    Violation(path: file.path, line: line, message: message)
  }

  /// A file opens with 2 to 6 lines of `//` that say which question it answers.
  static func header(_ file: SourceFile) -> [Violation] {
    let comment = file.lines.prefix { $0.hasPrefix("//") && !$0.hasPrefix("///") }
    // A main file's header is a table of contents.
    let most = file.fileName == "main.swift" ? 12 : 6
    guard (2...most).contains(comment.count), file.lines.dropFirst(comment.count).first == "" else {
      return [
        violation(file, 1, "opens with \(comment.count) lines of //, wants 2 to 6 and a blank")
      ]
    }
    return []
  }

  /// A file answers one question.
  static func length(_ file: SourceFile) -> [Violation] {
    let isMain = file.fileName == "main.swift" && file.path.hasPrefix("Services/")
    let limit = isMain ? mainLinesMax : file.isTest ? testLinesMax : linesMax
    let count = file.lines.last == "" ? file.lines.count - 1 : file.lines.count
    return count > limit ? [violation(file, limit, "has \(count) lines, at most \(limit)")] : []
  }

  /// Calls that belong elsewhere, and what to use instead.
  private static let banned: [(word: String, tests: Bool, home: String?, instead: String)] = [
    ("print(", false, nil, "use the log, or the operator's console"),
    ("debugPrint(", false, nil, "use the log"),
    ("dump(", false, nil, "use the log"),
    ("try!", true, nil, "handle the error"),
    ("as!", false, nil, "use as? and refuse"),
    ("Date()", true, nil, "use Clocks"),
    ("getenv", false, "Configuration", "declare a setting"),
    ("environ", false, "Configuration", "declare a setting"),
    ("String(format:", true, nil, "use interpolation"),
    ("fatalError", false, nil, "use precondition for our bugs, errors for the world"),
    ("NSLog", true, nil, "use the log"),
    ("URLSession", true, nil, "use HTTPClient"),
  ]

  static func bannedCalls(_ file: SourceFile) -> [Violation] {
    var found: [Violation] = []
    for (number, line) in file.code.enumerated() {
      for rule in banned where rule.tests || !file.isTest {
        guard file.folder != rule.home, line.hasWord(rule.word) else { continue }
        found.append(violation(file, number + 1, "\(rule.word): \(rule.instead)"))
      }
    }
    return found
  }

  /// Only the guarded pair of connections moves the write-ahead log into the database.
  static func checkpoints(_ file: SourceFile) -> [Violation] {
    guard !file.isTest, file.fileName != "CheckpointPair.swift" else { return [] }
    let calls = [
      "sqlite3_wal_checkpoint", "sqlite3_wal_checkpoint_v2", "sqlite3_wal_autocheckpoint",
    ]
    return file.lines.enumerated().flatMap { number, line -> [Violation] in
      let isCall = calls.contains { file.code[number].hasWord($0) }
      // A pragma stands in a string, so it is looked for in the line as it is.
      let isPragma = line.lowercased().hasWord("pragma wal_checkpoint")
      return isCall || isPragma
        ? [violation(file, number + 1, "checkpoints only in CheckpointPair.swift")] : []
    }
  }

  /// Nothing is left for later.
  static func leftovers(_ file: SourceFile) -> [Violation] {
    let marks = ["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]
    return file.lines.enumerated().flatMap { number, line in
      marks.filter { line.hasWord($0) }.map { violation(file, number + 1, "\($0) is left") }
    }
  }

  /// Foundation brings ICU and the network stack; low layers take none of it.
  static func foundation(_ file: SourceFile) -> [Violation] {
    let bare = [
      "Bytes", "Clocks", "Posix", "Logging", "Metrics", "HTTPCodec", "EventLoop", "Transport",
    ]
    return imports(file).flatMap { number, module -> [Violation] in
      switch module {
      case "Foundation", "FoundationNetworking", "FoundationXML", "FoundationInternationalization":
        [violation(file, number, "import FoundationEssentials instead of \(module)")]
      case "FoundationEssentials" where !file.isTest && bare.contains(file.folder):
        [violation(file, number, "no Foundation up to Transport")]
      default: []
      }
    }
  }

  /// Every `public` type, function and subscript says what it is. Properties and initializers may
  /// speak through their names and the type's documentation.
  static func documentation(_ file: SourceFile) -> [Violation] {
    // What a conformance's functions do is said once, at the protocol.
    guard !file.isTest, !file.fileName.contains("+") else { return [] }
    var found: [Violation] = []
    for (number, line) in file.code.enumerated() {
      let words = line.split(separator: " ")
      guard let place = words.firstIndex(of: "public"), words[..<place].allSatisfy(isModifier)
      else {
        continue
      }
      let kinds = [
        "struct", "class", "enum", "actor", "protocol", "func", "subscript", "typealias",
      ]
      guard words[place...].contains(where: { kinds.contains(String($0.prefix { $0 != "(" })) })
      else { continue }
      var above = number - 1
      // Attributes and a reason may stand between the documentation and the declaration.
      while above >= 0, isBetween(file.lines[above].trimmed) { above -= 1 }
      if above < 0 || !file.lines[above].trimmed.hasPrefix("///") {
        found.append(violation(file, number + 1, "a public declaration without ///"))
      }
    }
    return found
  }

  private static func isBetween(_ line: String) -> Bool {
    line.hasPrefix("@") || (line.hasPrefix("//") && !line.hasPrefix("///"))
  }

  private static func isModifier(_ word: Substring) -> Bool {
    word.hasPrefix("@")
      || ["final", "static", "nonisolated", "indirect", "override", "mutating", "convenience"]
        .contains(word)
  }

  /// What the compiler cannot check gives its reason on the line above.
  static func unsafety(_ file: SourceFile) -> [Violation] {
    guard !file.isTest else { return [] }
    var found: [Violation] = []
    for (number, line) in file.code.enumerated() {
      let marks = ["@unchecked Sendable", "nonisolated(unsafe)", "unowned(unsafe)"]
      guard let mark = marks.first(where: { line.hasWord($0) }) else { continue }
      var above = number - 1
      var hasReason = false
      while above >= 0 {
        let text = file.lines[above].trimmed
        let isComment = text.hasPrefix("//")
        // Before `public` the documentation is for callers; the reason is a comment of its own.
        if isComment && !(text.hasPrefix("///") && line.hasWord("public")) { hasReason = true }
        // A declaration may spread over lines, and documentation may stand between.
        let isContinuation = file.code[above].trimmed.hasSuffix(",")
        guard isComment || text.hasPrefix("@") || isContinuation else { break }
        above -= 1
      }
      if !hasReason { found.append(violation(file, number + 1, "\(mark) without a reason above")) }
    }
    return found
  }

  /// Names say what a thing is.
  static func names(_ file: SourceFile) -> [Violation] {
    let kinds = ["class", "struct", "enum", "actor", "protocol", "typealias"]
    let endings = ["Manager", "Helper", "Helpers", "Util", "Utils", "Utilities", "Impl"]
    var found: [Violation] = []
    for (number, line) in file.code.enumerated() {
      let words = line.split { !$0.isLetter && !$0.isNumber && $0 != "_" }
      for (kind, name) in zip(words, words.dropFirst()) where kinds.contains(String(kind)) {
        if let ending = endings.first(where: { name.hasSuffix($0) }) {
          found.append(violation(file, number + 1, "\(name): no \(ending)"))
        }
        // The event loop is the one type that its module is about.
        if !file.isTest, name == file.folder, name != "EventLoop", file.path.hasPrefix("Shared/") {
          found.append(violation(file, number + 1, "\(name) is named like its module"))
        }
      }
    }
    return found
  }

  /// The modules a file imports, with their lines.
  static func imports(_ file: SourceFile) -> [(line: Int, module: String)] {
    file.code.enumerated().compactMap { number, line in
      let words = line.split(separator: " ").drop { $0.hasPrefix("@") || $0 == "public" }
      guard words.first == "import", let last = words.last, words.count <= 3 else { return nil }
      return (number + 1, String(last.split(separator: ".").first ?? last))
    }
  }

  /// A module imports what Package.swift gives it, and that stands above it there.
  static func layers(
    _ file: SourceFile, targets: [(name: String, dependencies: Set<String>)]
  ) -> [Violation] {
    guard !file.isTest else { return [] }
    let isService = file.path.hasPrefix("Services/")
    let executables = [
      "Edge": "bindery-edge", "Auth": "bindery-auth", "Billing": "bindery-billing",
      "Scheduler": "bindery-scheduler", "Operator": "bindery", "Bridge": "bindery-bridge",
    ]
    let name = isService ? executables[file.folder] ?? file.folder : file.folder
    guard let own = targets.firstIndex(where: { $0.name == name }) else {
      return [violation(file, 1, "\(name) is not a target of Package.swift")]
    }
    let system: Set<String> = [
      "Glibc", "Synchronization", "FoundationEssentials", "Dispatch", "Foundation",
    ]
    return imports(file).flatMap { number, module -> [Violation] in
      if system.contains(module) { return [] }
      guard let place = targets.firstIndex(where: { $0.name == module }) else {
        return [violation(file, number, "\(module) is no module of ours nor of the system")]
      }
      if place >= own { return [violation(file, number, "\(module) is not above \(name)")] }
      return targets[own].dependencies.contains(module)
        ? [] : [violation(file, number, "\(name) does not depend on \(module) in Package.swift")]
    }
  }

  /// The repository speaks of Bindery alone: no paths of the machine that built it, no package
  /// registries, no numbers of a tracker.
  static func surroundings(path: String, text: String) -> [Violation] {
    // Put together here, so that this file does not break its own rule.
    let paths = ["work", "root", "opt", "home"].map { "/" + $0 + "/" }
    let hosts = [
      "pypi." + "org", "pythonhosted." + "org", "registry.npmjs." + "org", "proxy.golang." + "org",
      "deb.debian." + "org", "download.swift." + "org", "crates." + "io",
    ]
    var found: [Violation] = []
    for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
    {
      let line = String(line)
      for part in paths where line.hasPath(part) {
        found.append(Violation(path: path, line: number + 1, message: "names a machine's \(part)"))
      }
      for host in hosts where line.hasWord(host) {
        found.append(Violation(path: path, line: number + 1, message: "names the registry \(host)"))
      }
    }
    return found
  }
}

extension String {
  /// Whether an absolute path begins with `folder` here: nothing of a path stands before it.
  fileprivate func hasPath(_ folder: String) -> Bool {
    let text = Array(utf8)
    let wanted = Array(folder.utf8)
    guard text.count >= wanted.count else { return false }
    return (0...(text.count - wanted.count)).contains { start in
      guard text[start] == wanted[0], text[start...].starts(with: wanted) else { return false }
      guard start > 0 else { return true }
      let before = text[start - 1]
      let isPathByte =
        (0x30...0x39).contains(before) || (0x61...0x7a).contains(before | 0x20)
        || [0x5f, 0x2d, 0x2e, 0x7d, 0x29, 0x2a].contains(before)
      return !isPathByte
    }
  }
}
