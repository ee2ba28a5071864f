// What `bindery rotate-keys` refuses before it asks anybody: wishes that contradict each other, files in
// the wrong place or state, keys that may not go.

import Glibc
import RPC
import Testing
import Vault

@testable import bindery

@Suite("Rotating keys") struct RotateKeysTests {
  private let folder: String
  private let path: String

  init() throws {
    var template = Array("/tmp/bindery-keys-XXXXXX".utf8CString)
    folder = try #require(mkdtemp(&template).map { String(cString: $0) })
    path = "\(folder)/keys.json"
  }

  private func write(_ text: String, mode: mode_t = 0o600) {
    unlink(path)
    let file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0o600)
    _ = text.withCString { Glibc.write(file, $0, strlen($0)) }
    fchmod(file, mode)
    close(file)
  }

  private func clean() {
    for name in ["keys.json", "keys.json.new", "link", ".git"] { unlink("\(folder)/\(name)") }
    rmdir("\(folder)/.git")
    rmdir("\(folder)/sub")
    rmdir(folder)
  }

  static let keys = ["a1", "b2", "c3"].map { String(repeating: $0, count: 32) }
  static func list(_ keys: [String]) -> String {
    "[\(keys.map { "{\"key\":\"\($0)\"}" }.joined(separator: ","))]"
  }

  /// Why the file is refused, with status 78; nil when it is not.
  private func refusal(_ path: String) -> String? {
    do throws(CommandFailure) {
      _ = try KeysFile(path)
      return nil
    } catch {
      guard case .fileRefused(let problem) = error, error.status == .configuration else {
        return "another failure"
      }
      return problem
    }
  }

  @Test("wishes that make no sense are usage errors")
  func wishes() {
    let rows: [[String]] = [
      [], ["--keys-file"], ["--keys-file", "f", "--remove", "xyz"],
      ["--keys-file", "f", "--remove", "0123456789ABCDEF"],
      ["--keys-file", "f", "--rate", "0"], ["--keys-file", "f", "--rate", "+5"],
      ["--keys-file", "f", "--rate", "1000001"], ["--keys-file", "f", "--rate", ""],
      ["--keys-file", "f", "--rate", "99999999999999999999999"],
      ["--pause", "--resume"], ["--pause", "--rate", "5"], ["--pause", "--dry-run"],
      ["--keys-file", "f", "--remove", "0123456789abcdef", "--rate", "5"],
      ["--resume", "--remove", "0123456789abcdef"], ["--dry-run"], ["--keys-file", "f", "more"],
    ]
    for row in rows { #expect(Commands.run(["rotate-keys"] + row) == 2, "\(row)") }
    var arguments = Arguments(["--keys-file", "f", "--rate=1000000", "--json"])
    let wish = try? Wish(&arguments)
    #expect(wish?.rate == 1_000_000 && wish?.isJSON == true && wish?.isDry == false)
  }

  @Test("a file in the wrong place or state is refused and named without its value")
  func files() throws {
    defer { clean() }
    write(Self.list(Self.keys))
    #expect(refusal(path) == nil)
    let rows: [(String, mode_t, String)] = [
      (Self.list(Self.keys), 0o640, "mode 640"), (Self.list(Self.keys), 0o604, "mode 604"),
      (Self.list(Self.keys), 0o620, "mode 620"), ("", 0o600, "must be a JSON array"),
      ("[]", 0o600, "has no key"), (Self.list([Self.keys[0], "ff"]), 0o600, "entry 2 is not 64"),
      (Self.list([Self.keys[0], Self.keys[0]]), 0o600, "entry 2 is the same key as entry 1"),
      (Self.list([Self.keys[0]]) + "x", 0o600, "must be a JSON array"),
    ]
    for (text, mode, problem) in rows {
      write(text, mode: mode)
      let said = refusal(path) ?? "nothing"
      #expect(said.contains(problem), "\(said)")
      #expect(!Self.keys.contains { said.contains($0) })
    }
    write(Self.list(Self.keys))
    symlink(path, "\(folder)/link")
    #expect(refusal("\(folder)/link")?.contains("is a link") == true)
    #expect(refusal(folder)?.contains("not a regular file") == true)
    #expect(refusal("\(folder)/none")?.contains("ENOENT") == true)
    #expect(refusal("\(folder)/none/keys.json")?.contains("ENOENT") == true)
    #expect(refusal("/dev/null")?.contains("not a regular file") == true)
  }

  @Test("a file below a .git, folder or file, is refused")
  func gitWorkTree() throws {
    defer { clean() }
    write(Self.list(Self.keys))
    mkdir("\(folder)/sub", 0o700)
    #expect(!KeysFile.isInGitWorkTree("\(folder)/sub") && !KeysFile.isInGitWorkTree("/"))
    mkdir("\(folder)/.git", 0o700)
    #expect(refusal(path)?.contains("git work tree") == true)
    #expect(KeysFile.isInGitWorkTree("\(folder)/sub"))
    rmdir("\(folder)/.git")
    close(open("\(folder)/.git", O_WRONLY | O_CREAT, 0o600))
    #expect(refusal(path)?.contains("git work tree") == true)
    #expect(Commands.run(["rotate-keys", "--keys-file", path]) == 78)
  }

  @Test("the file must be the one that auth reads")
  func agreement() throws {
    defer { clean() }
    write(Self.list(Self.keys))
    let file = try KeysFile(path)
    let own = file.fingerprints
    func problem(_ held: [String]) -> String? {
      do throws(CommandFailure) {
        try RotateKeysCommand.agree(file, KeyReport(fingerprints: held, rows: [], rotation: nil))
        return nil
      } catch {
        guard case .fileRefused(let problem) = error else { return "another failure" }
        return problem
      }
    }
    #expect(problem(own) == nil)
    #expect(problem([own[1], own[0], own[2]]) == nil)
    #expect(problem([own[0], own[2]])?.hasSuffix("only in the file: \(own[1])") == true)
    #expect(problem(["feed"] + own)?.hasSuffix("only in auth: feed") == true)
    #expect(
      problem([own[2], own[1], own[0]])?.hasSuffix(
        "active in the file: \(own[2]), in auth: \(own[0])") == true)
  }

  @Test("a key may not go while anything needs it")
  func obstacles() throws {
    defer { clean() }
    write(Self.list(Self.keys))
    let file = try KeysFile(path)
    let own = file.fingerprints
    func report(_ under: [String], _ state: String? = nil) -> KeyReport {
      KeyReport(
        fingerprints: own, rows: under.map { .init(column: "t.c", fingerprint: $0, count: 1200) },
        rotation: state.map { .init(target: own[2], state: $0, total: 1, done: 0, failed: 0) })
    }
    let rows: [(String, KeyReport, String?)] = [
      (own[0], report([own[2]]), nil), (own[0], report([own[1]], "completed"), nil),
      (own[0], report([own[0]]), "1,200 rows are under it (t.c); rotate first"),
      (own[0], report([], "running"), "a rotation is under way"),
      (own[0], report([], "paused"), "a rotation is under way"),
      (own[2], report([]), "it is the active one; append another key and rotate first"),
      ("0123456789abcdef", report([]), "the file has no such key"),
    ]
    for (removed, report, expected) in rows {
      #expect(RotateKeysCommand.obstacle(to: removed, file, report) == expected)
    }
    write(Self.list([Self.keys[0]]))
    let single = try KeysFile(path)
    #expect(
      RotateKeysCommand.obstacle(to: single.active, single, report([])) == "it is the only one")
  }

  @Test("removing changes the file and nothing else, one tool at a time")
  func removing() throws {
    defer { clean() }
    write(Self.list(Self.keys), mode: 0o400)
    let file = try KeysFile(path)
    let lock = try KeysFileLock(file.path)
    #expect(throws: CommandFailure.self) { try KeysFileLock(file.path) }
    withExtendedLifetime(lock) {}
    try file.remove(try #require(KeyFingerprint(file.fingerprints[1])))
    let after = try KeysFile(path)
    #expect(after.fingerprints == [file.fingerprints[0], file.fingerprints[2]])
    var facts = stat()
    #expect(lstat(path, &facts) == 0 && facts.st_mode & 0o777 == 0o400)
    #expect(throws: CommandFailure.self) {
      try after.remove(try #require(KeyFingerprint(after.active)))
    }
  }

  @Test("numbers are grouped and keys shown")
  func text() {
    let rows: [(Int64, String)] = [
      (0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567"), (-1000, "-1,000"),
    ]
    for (number, text) in rows { #expect(number.grouped == text) }
    var report = KeyReport(
      fingerprints: ["aa", "bb"],
      rows: [
        .init(column: "a.b", fingerprint: "bb", count: 1000),
        .init(column: "a.b", fingerprint: "cc", count: 2),
      ], rotation: .init(target: "bb", state: "failed", total: 7, done: 5, failed: 2))
    report.rotation?.reason = "rows_unreadable"
    #expect(
      KeyLines.text(report) == """
          key aa held, 0 rows
          key bb active, 1,000 rows
          key cc MISSING, 2 rows do not open
          rotation to bb failed (rows_unreadable): 5 of 7 rows re-wrapped, 2 do not open

        """)
  }
}
