// `bindery rotate-keys`: brings everything that is sealed under master keys under the active one,
// while the services run, and takes keys that nothing needs any more out of the keys file. Auth
// does the work and goes on with it when this tool ends; the tool checks, starts, watches, tells.

import Clocks
import Configuration
import Glibc
import RPC
import Vault

/// Rotates master keys.
enum RotateKeysCommand: Command {
  static let name = "rotate-keys"
  static let summary = "Bring all that master keys seal under the active one"
  static let manual = """
    bindery rotate-keys --keys-file F [--rate ROWS_PER_SECOND] [--dry-run] [--json]
    bindery rotate-keys --keys-file F --remove FINGERPRINT [--dry-run] [--json]
    bindery rotate-keys --pause | --resume [--rate ROWS_PER_SECOND] [--json]

    F is the file that MANAGED_ENCRYPTION_KEYS_FILE names: [{"key":"<64 hex>"},...], the last key is
    active. To rotate: append a key (bindery generate-key), run this, then remove the old key.

    The first form makes auth read F again and re-wraps every row that is sealed under another key;
    requests go on meanwhile. It follows the work to its end; the work goes on without it, also
    after a crash or restart of auth. --pause holds it, --resume lets it go on.
    --remove takes a key out of F and out of auth. Refused for the active key, the only key, one
    that is not in F, and one that a row or an open rotation still needs.
    --dry-run says what would be done and changes nothing. --json prints one object a line.

    Refused (78): an F that is inside a git work tree, a link or no regular file, open to others
    than its owner, malformed, or not the file that auth reads. Run it as the services' user or as
    root. Ends with 0 when all is done, with 1 when rows do not open or a key may not go.
    """

  static func run(
    _ arguments: inout Arguments, _ console: Console
  ) throws(CommandFailure) -> ExitStatus {
    let wish = try Wish(&arguments)
    let settings = try OperatorSettings.read(.take())
    let teller = RotationTeller(console: console, isJSON: wish.isJSON)
    guard let path = wish.path, !wish.holds else {
      return try hold(wish, AuthKeys(settings.common), teller)
    }
    let file = try KeysFile(path)
    if wish.removed != nil {
      let lock = try KeysFileLock(file.path)
      defer { withExtendedLifetime(lock) {} }
      return try remove(wish, AuthKeys(settings.common), teller)
    }
    return try rotate(wish, file, AuthKeys(settings.common), teller)
  }

  // MARK: Rotate

  private static func rotate(
    _ wish: Wish, _ file: KeysFile, _ auth: AuthKeys, _ teller: RotationTeller
  ) throws(CommandFailure) -> ExitStatus {
    if wish.isDry {
      let report = try auth.report()
      let stale = report.staleRows(target: file.active)
      let lost = report.needed(notIn: file.fingerprints)
      teller.plan(file, report, stale: stale, lost: lost)
      return lost.isEmpty ? .good : .finding
    }
    let report = try reload(file, auth)
    let stale = report.staleRows(target: file.active)
    guard stale > 0 || report.rotation?.isOpen == true else {
      teller.nothingToDo(file, report)
      return .good
    }
    let started = try auth.rotate(.start, fingerprint: file.active, rate: wish.rate)
    if let problem = started.problem { throw .failed(problem) }
    return try follow(file.active, started.report, auth, teller)
  }

  /// Makes auth read its file again, and sees whether that is this file.
  private static func reload(
    _ file: KeysFile, _ auth: AuthKeys
  ) throws(CommandFailure) -> KeyReport {
    let reply = try auth.rotate(.reload)
    if let problem = reply.problem { throw .fileRefused(problem) }
    try agree(file, reply.report)
    return reply.report
  }

  static func agree(_ file: KeysFile, _ report: KeyReport) throws(CommandFailure) {
    let here = file.fingerprints
    let there = report.fingerprints
    var differences: [String] = []
    let onlyHere = here.filter { !there.contains($0) }
    let onlyThere = there.filter { !here.contains($0) }
    if !onlyHere.isEmpty {
      differences.append("only in the file: \(onlyHere.joined(separator: ", "))")
    }
    if !onlyThere.isEmpty {
      differences.append("only in auth: \(onlyThere.joined(separator: ", "))")
    }
    if differences.isEmpty, here.last != there.last {
      differences.append("active in the file: \(here.last ?? ""), in auth: \(there.last ?? "")")
    }
    guard differences.isEmpty else {
      throw .fileRefused(
        "this is not the file that auth reads; " + differences.joined(separator: "; "))
    }
  }

  // MARK: Hold and follow

  private static func hold(
    _ wish: Wish, _ auth: AuthKeys, _ teller: RotationTeller
  ) throws(CommandFailure) -> ExitStatus {
    let reply = try auth.rotate(wish.pauses ? .pause : .resume, rate: wish.rate)
    if let problem = reply.problem { throw .failed(problem) }
    guard let rotation = reply.report.rotation else { throw .failed("no rotation is under way") }
    guard !wish.pauses else {
      teller.held(rotation)
      return .good
    }
    return try follow(rotation.target, reply.report, auth, teller)
  }

  private static let silenceMax = Duration.seconds(120)

  /// Tells of the rotation until it ends or is held.
  private static func follow(
    _ target: String, _ first: KeyReport, _ auth: AuthKeys, _ teller: RotationTeller
  ) throws(CommandFailure) -> ExitStatus {
    var speed = Speed(done: first.rotation?.done ?? 0, at: .now)
    var answeredAt = Instant.now
    var toldAt = Instant.now
    var report: KeyReport? = first
    while true {
      if let report, let rotation = report.rotation, rotation.target == target {
        answeredAt = .now
        speed.note(rotation.done, at: .now)
        switch rotation.state {
        case "completed", "failed":
          teller.ended(rotation, speed, report)
          return rotation.state == "completed" ? .good : .finding
        case "paused":
          teller.held(rotation)
          return .good
        default: break
        }
        if toldAt.duration(to: .now) >= .seconds(1) {
          teller.progress(rotation, speed)
          toldAt = .now
        }
      } else if report != nil {
        throw .failed("another rotation began; bindery status says how it is")
      } else if answeredAt.duration(to: .now) > silenceMax {
        throw .failed("auth does not answer; the rotation goes on when it is back")
      }
      usleep(200_000)
      report = auth.reportIfReachable()
    }
  }

  // MARK: Remove

  private static func remove(
    _ wish: Wish, _ auth: AuthKeys, _ teller: RotationTeller
  ) throws(CommandFailure) -> ExitStatus {
    guard let path = wish.path, let removed = wish.removed else { preconditionFailure() }
    let file = try KeysFile(path)  // again, now that nobody else changes it
    let text = removed.description
    let report = wish.isDry ? try auth.report() : try reload(file, auth)
    if let reason = obstacle(to: text, file, report) {
      throw .failed("the key \(text) stays: \(reason)")
    }
    if wish.isDry {
      teller.wouldRemove(text)
      return .good
    }
    // Auth lets go first, when it is sure that no row needs the key; then the file. Ended in
    // between, the tool leaves a key in the file that nothing needs.
    let letGo = try auth.rotate(.retire, fingerprint: text)
    if let reason = letGo.problem { throw .failed("the key \(text) stays: \(reason)") }
    try file.remove(removed)
    let reply = try auth.rotate(.reload)
    if let problem = reply.problem { throw .failed("the key is out of the file, but \(problem)") }
    guard !reply.report.fingerprints.contains(text) else {
      throw .failed("the key is out of this file, but auth still finds it in its own; name that")
    }
    teller.removed(text, left: reply.report.fingerprints)
    return .good
  }

  /// Why a key may not go, or nil.
  static func obstacle(to removed: String, _ file: KeysFile, _ report: KeyReport) -> String? {
    guard file.fingerprints.contains(removed) else { return "the file has no such key" }
    guard file.fingerprints.count > 1 else { return "it is the only one" }
    guard removed != file.active else {
      return "it is the active one; append another key and rotate first"
    }
    if report.rotation?.isOpen == true { return "a rotation is under way" }
    let rows = report.rows.filter { $0.fingerprint == removed }
    guard let most = rows.first else { return nil }
    let count = rows.reduce(0) { $0 + $1.count }
    return "\(count.grouped) rows are under it (\(most.column)); rotate first"
  }
}

/// What the operator asked for.
struct Wish {
  let path: String?
  let removed: KeyFingerprint?
  let rate: Int64?
  let isDry: Bool
  let isJSON: Bool
  let pauses: Bool
  let resumes: Bool

  /// Whether a rotation that is under way is held or let go on; the file is not looked at then.
  var holds: Bool { pauses || resumes }

  static let rateMax: Int64 = 1_000_000

  init(_ arguments: inout Arguments) throws(CommandFailure) {
    path = try arguments.option("--keys-file")
    let removed = try arguments.option("--remove")
    let rate = try arguments.option("--rate")
    isDry = arguments.flag("--dry-run")
    isJSON = arguments.flag("--json")
    pauses = arguments.flag("--pause")
    resumes = arguments.flag("--resume")
    try arguments.finish()
    self.removed = removed.flatMap(KeyFingerprint.init)
    guard removed == nil || self.removed != nil else {
      throw .usage("--remove needs a fingerprint, 16 lower-case hex digits")
    }
    self.rate = try rate.map { (text) throws(CommandFailure) in try Self.number(text) }
    guard !(pauses && resumes) else { throw .usage("--pause and --resume exclude each other") }
    guard holds || path != nil else { throw .usage("--keys-file is needed") }
    guard !holds || (removed == nil && !isDry) else {
      throw .usage("--pause and --resume go without --remove and --dry-run")
    }
    guard rate == nil || (removed == nil && !pauses) else {
      throw .usage("--rate goes with a rotation")
    }
  }

  private static func number(_ text: String) throws(CommandFailure) -> Int64 {
    var value: Int64 = 0
    for digit in text.utf8 {
      guard (0x30...0x39).contains(digit), value <= rateMax else { value = 0; break }
      value = value * 10 + Int64(digit - 0x30)
    }
    guard (1...rateMax).contains(value) else {
      throw .usage("--rate needs a whole number from 1 to \(rateMax)")
    }
    return value
  }
}

extension KeyReport {
  /// How many rows are under other keys than `target`.
  func staleRows(target: String) -> Int64 {
    rows.reduce(0) { $0 + ($1.fingerprint == target ? 0 : $1.count) }
  }

  /// Keys that rows need and that are not among these.
  func needed(notIn fingerprints: [String]) -> [String] {
    Set(rows.map(\.fingerprint)).subtracting(fingerprints).sorted()
  }
}

extension KeyReport.Rotation {
  /// Whether it goes on or will.
  var isOpen: Bool { state == "running" || state == "paused" }
}
