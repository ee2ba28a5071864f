// Runs every rule of the house over the repository, and shows for each rule that it can fail.
// A broken rule is reported with all its places at once.

import Testing

@Suite("House rules") struct HouseTests {
  private func check(_ violations: [Violation]) {
    let list = violations.map { "\n  \($0)" }.joined()
    #expect(violations.isEmpty, "\(violations.count) broken:\(list)")
  }

  @Test("there is something to judge")
  func notEmpty() {
    #expect(Repository.sources.count > 50)
    #expect(Repository.targets(of: Repository.text("Package.swift")).count > 20)
    for folder in ["Shared/Vault/", "Services/Edge/", "Tests/HouseTests/", "migrations/"] {
      #expect(Repository.sources.contains { $0.path.hasPrefix(folder) }, "\(folder)")
    }
  }

  @Test("files open with their question") func header() {
    check(Repository.sources.flatMap(Rules.header))
  }

  @Test("files are short") func length() {
    check(Repository.sources.flatMap(Rules.length))
  }

  @Test("calls stay where they belong") func bannedCalls() {
    check(Repository.sources.flatMap(Rules.bannedCalls))
  }

  @Test("only the checkpointer checkpoints") func checkpoints() {
    check(Repository.sources.flatMap(Rules.checkpoints))
  }

  @Test("nothing is left for later") func leftovers() {
    check(Repository.sources.flatMap(Rules.leftovers))
  }

  @Test("no more of Foundation than its essentials") func foundation() {
    check(Repository.sources.flatMap(Rules.foundation))
  }

  @Test("public declarations are documented") func documentation() {
    check(Repository.sources.flatMap(Rules.documentation))
  }

  @Test("what the compiler cannot check has a reason") func unsafety() {
    check(Repository.sources.flatMap(Rules.unsafety))
  }

  @Test("names say what a thing is") func names() {
    check(Repository.sources.flatMap(Rules.names))
  }

  @Test("modules import what stands above them") func layers() {
    let targets = Repository.targets(of: Repository.text("Package.swift"))
    check(Repository.sources.flatMap { Rules.layers($0, targets: targets) })
  }

  /// The layers from the bottom up; a target that is moved in Package.swift must not move a layer.
  static let order = [
    "CLinux", "CSQLite", "COpenSSL", "Bytes", "Clocks", "Posix", "Logging", "Metrics", "HTTPCodec",
    "StrictJSON", "EventLoop", "Transport", "HTTPServer", "HTTPClient", "RPC", "Database", "Vault",
    "JOSE", "Providers", "OAuth", "Accounts", "Configuration", "Stripe", "ServiceRuntime",
    "bindery-edge",
  ]

  @Test("layers stand in their order") func order() {
    let names = Repository.targets(of: Repository.text("Package.swift")).map(\.name)
    #expect(names.filter(Self.order.contains) == Self.order)
  }

  /// Every parser that reads what strangers send or operators write.
  static let fuzzed = [
    "http-request-head", "http-response-head", "chunks", "sse", "rpc-frame", "sealed-value",
    "strict-json", "settings", "tokens", "catalogue", "url", "cookies", "forms", "multipart",
    "credential", "key-ring", "addresses", "challenges", "metadata", "registrations",
    "token-answers",
    "redirect-uris", "client-metadata", "authorization-requests", "grant-tokens",
    "stripe-signature", "stripe-event",
  ]

  @Test("every parser is fuzzed from seeds of its own") func fuzzing() {
    let text = Repository.text("Tests/Fuzz/Fuzz.swift")
    let targets = text.split(separator: "FuzzTarget(name: \"").dropFirst()
      .compactMap { $0.split(separator: "\"").first.map(String.init) }
    #expect(Set(targets) == Set(Self.fuzzed) && targets.count == Self.fuzzed.count)
    let seeds = Repository.files(in: "Tests/Fuzz/Corpus").compactMap {
      $0.split(separator: "/").dropFirst(3).first.map(String.init)
    }
    #expect(Set(seeds) == Set(targets), "deploy/fuzz --list names the folders")
    for target in targets { #expect(seeds.filter { $0 == target }.count >= 3, "\(target)") }
  }

  @Test("the repository speaks of Bindery alone") func surroundings() {
    check(Repository.texts.flatMap { Rules.surroundings(path: $0.path, text: $0.text) })
  }
}

@Suite("House rules can fail") struct HouseRuleTests {
  private func file(_ text: String, at path: String = "Shared/Vault/Some.swift") -> SourceFile {
    SourceFile(path: path, text: text)
  }

  private let head = "// What it is.\n// What not.\n\n"

  @Test("headers") func header() {
    #expect(Rules.header(file(head + "let a = 1\n")).isEmpty)
    for text in [
      "", "// One.\n\n", "import Bytes\n", "// One.\n// Two.\nlet a = 1\n",
      String(repeating: "// Line.\n", count: 7) + "\n", "/// One.\n/// Two.\n\n",
    ] {
      #expect(Rules.header(file(text)).count == 1, "\(text)")
    }
  }

  @Test("lengths") func length() {
    let lines = { (count: Int) in String(repeating: "\n", count: count) }
    #expect(Rules.length(file(lines(400))).isEmpty)
    #expect(Rules.length(file(lines(401))).count == 1)
    #expect(Rules.length(file(lines(600), at: "Tests/VaultTests/A.swift")).isEmpty)
    #expect(Rules.length(file(lines(601), at: "Tests/VaultTests/A.swift")).count == 1)
    #expect(Rules.length(file(lines(41), at: "Services/Edge/main.swift")).count == 1)
  }

  static let bad = [
    "print(1)", "  x = try! y()", "Date()", "getenv(a)", "fatalError(\"x\")", "a as! B",
    "String(format: \"%d\", 1)", "environ.pointee", "if a { print(b) }",
  ]

  @Test("banned calls", arguments: bad) func banned(line: String) {
    #expect(Rules.bannedCalls(file(line)).count == 1)
  }

  static let good = [
    "// print(1)", "let a = \"print(1)\"", "fingerprint(1)", "let b = #\"try! \"# + \"\"",
    "/* try! /* Date() */ getenv */", "\"\"\"\n print(1) \"quoted\"\n\"\"\"", "environment",
    "let c = \"\\\"print(1)\"",
  ]

  @Test("not prose, strings and longer words", arguments: good) func allowed(line: String) {
    #expect(Rules.bannedCalls(file(line)).isEmpty)
  }

  @Test("a call at home and in tests") func homes() {
    #expect(Rules.bannedCalls(file("getenv(a)", at: "Shared/Configuration/E.swift")).isEmpty)
    #expect(Rules.bannedCalls(file("print(a)", at: "Tests/X/E.swift")).isEmpty)
    #expect(Rules.bannedCalls(file("try! a()", at: "Tests/X/E.swift")).count == 1)
  }

  @Test("checkpoints") func checkpoints() {
    #expect(Rules.checkpoints(file("sqlite3_wal_checkpoint_v2(db)")).count == 1)
    #expect(Rules.checkpoints(file("run(\"PRAGMA wal_checkpoint(FULL)\")")).count == 1)
    #expect(
      Rules.checkpoints(
        file("sqlite3_wal_checkpoint_v2", at: "Shared/Database/CheckpointPair.swift")
      )
      .isEmpty)
  }

  @Test("leftovers") func leftovers() {
    #expect(Rules.leftovers(file("// TO" + "DO later")).count == 1)
    #expect(Rules.leftovers(file("// mastodon")).isEmpty)
  }

  @Test("Foundation") func foundation() {
    #expect(Rules.foundation(file("import Foundation")).count == 1)
    #expect(Rules.foundation(file("import FoundationEssentials")).isEmpty)
    #expect(
      Rules.foundation(file("import FoundationEssentials", at: "Shared/Posix/A.swift")).count == 1)
  }

  @Test("documentation") func documentation() {
    #expect(Rules.documentation(file("/// It.\n@inlinable\npublic func a() {}")).isEmpty)
    #expect(Rules.documentation(file("/// It.\n@inlinable public func a() {}")).isEmpty)
    for text in [
      "public func a() {}", "  public static func b() {}", "\n// Not.\n@frozen public enum C {}",
    ] {
      #expect(Rules.documentation(file(text)).count == 1)
    }
    #expect(Rules.documentation(file("let isPublic = 1\n  public let name: String")).isEmpty)
  }

  @Test("reasons") func unsafety() {
    #expect(Rules.unsafety(file("// Because.\n/// It.\nclass A: @unchecked Sendable {}")).isEmpty)
    #expect(Rules.unsafety(file("/// It.\npublic class A: @unchecked Sendable {}")).count == 1)
    #expect(Rules.unsafety(file("let a = 1\nnonisolated(unsafe) var b = 2")).count == 1)
  }

  @Test("names") func names() {
    #expect(Rules.names(file("final class KeyManager {}")).count == 1)
    #expect(Rules.names(file("enum Vault {}")).count == 1)
    #expect(Rules.names(file("struct KeyRing {}")).isEmpty)
  }

  @Test("layers") func layers() {
    let manifest = """
      let package = Package(targets: [
        .systemLibrary(name: "CLinux", path: "Shared/CLinux"),
        library("Bytes", ["CLinux"]), library("Posix", ["Bytes"]), library("Vault", ["Posix"]),
        service("bindery-edge", "Edge", ["Vault"]), service("bindery-auth", "Auth", ["Vault"]),
      ])
      """
    let targets = Repository.targets(of: manifest)
    #expect(
      targets.map(\.name) == ["CLinux", "Bytes", "Posix", "Vault", "bindery-edge", "bindery-auth"])
    let check = { (text: String, path: String) in
      Rules.layers(SourceFile(path: path, text: text), targets: targets).count
    }
    #expect(check("import Posix\nimport Glibc", "Shared/Vault/A.swift") == 0)
    #expect(check("import Bytes", "Shared/Vault/A.swift") == 1)
    #expect(check("import Vault", "Shared/Posix/A.swift") == 1)
    #expect(check("import Nonesuch", "Shared/Posix/A.swift") == 1)
    #expect(check("@testable import struct Vault.A", "Services/Edge/A.swift") == 0)
    #expect(check("import Vault", "Services/Nowhere/A.swift") == 1)
  }

  @Test("surroundings") func surroundings() {
    let check = { (line: String) in Rules.surroundings(path: "a", text: line).count }
    #expect(check("cd /wo" + "rk/x") == 1)
    #expect(check("curl https://pypi." + "org/simple") == 1)
    #expect(check("proc/self/root/ and ./work/x and network/opt/") == 0)
  }
}
