// Whether `up` keeps its promises towards children, shown with small scripts in place of the
// services: what reaches them and what does not, one ready line, restarts, the order of the end,
// and that nobody outlives a killed parent.

import Glibc
import Testing

/// A folder with the tool and four scripts that play the services.
private final class Stage {
  let folder: String
  private var pid: pid_t = 0
  private var output: Int32 = -1
  private var text: [UInt8] = []

  static let services = ["edge", "auth", "billing", "scheduler"]

  init(_ script: (String) -> String) throws {
    var path = Array("/tmp/bindery-up-XXXXXX".utf8CString)
    folder = try #require(
      mkdtemp(&path).map { _ in
        String(decoding: path.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
      })
    try #require(symlinkTool())
    for service in Self.services {
      let file = try #require(fopen("\(folder)/bindery-\(service)", "w"))
      fputs("#!/bin/sh\ncd \(folder)\nME=\(service)\n" + script(service), file)
      fclose(file)
      chmod("\(folder)/bindery-\(service)", 0o755)
    }
  }

  deinit {
    if pid > 0 {
      kill(pid, SIGKILL)
      waitpid(pid, nil, 0)
    }
    if output >= 0 { close(output) }
    run("/bin/rm", ["-rf", folder])
  }

  /// The tool is found beside the test's own executable; a hard link gives it a folder of its own.
  private func symlinkTool() -> Bool {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &buffer, 4095)
    let test = String(
      decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    for candidate in [test, CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? ""] {
      let parts = candidate.split(separator: "/").dropLast()
      let tool = "/" + parts.joined(separator: "/") + "/bindery"
      if access(tool, X_OK) == 0, run("/bin/cp", [tool, "\(folder)/bindery"]) == 0 { return true }
    }
    return false
  }

  @discardableResult
  private func run(_ path: String, _ arguments: [String]) -> Int32 {
    var words: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    var child: pid_t = 0
    var status: Int32 = 0
    guard posix_spawn(&child, path, nil, nil, &words, nil) == 0 else { return -1 }
    waitpid(child, &status, 0)
    return status
  }

  /// Starts `bindery WORDS` with these settings and no other environment.
  func start(_ words: [String] = ["up"], _ settings: [String: String] = [:]) throws {
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    let standard = [
      "BINDERY_DATA_DIR": "\(folder)/data", "BINDERY_RUN_DIR": "\(folder)/run",
      "PATH": "/usr/bin:/bin", "EDGE_LISTEN": "127.0.0.1:0",
    ]
    let all = standard.merging(settings) { $1 }
    var entries: [UnsafeMutablePointer<CChar>?] = all.map { strdup("\($0)=\($1)") } + [nil]
    var arguments: [UnsafeMutablePointer<CChar>?] =
      (["\(folder)/bindery"] + words).map { strdup($0) } + [nil]
    defer { for entry in entries + arguments { free(entry) } }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
    posix_spawn_file_actions_addopen(&actions, 2, "\(folder)/log", O_CREAT | O_WRONLY, 0o600)
    defer { posix_spawn_file_actions_destroy(&actions) }
    try #require(
      posix_spawn(&pid, "\(folder)/bindery", &actions, nil, &arguments, &entries) == 0)
    close(ends[1])
    output = ends[0]
    _ = fcntl(output, F_SETFL, O_NONBLOCK)
  }

  /// What the tool wrote on standard output so far.
  var written: String {
    var piece = [UInt8](repeating: 0, count: 4096)
    while case let count = read(output, &piece, piece.count), count > 0 { text += piece[..<count] }
    return String(decoding: text, as: UTF8.self)
  }

  func file(_ name: String) -> String {
    guard let file = fopen("\(folder)/\(name)", "r") else { return "" }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 65_536)
    while case let count = fread(&piece, 1, piece.count, file), count > 0 {
      bytes += piece[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  func send(_ signal: Int32) { kill(pid, signal) }

  /// Waits for the end; the exit status, or the negative signal.
  func end() throws -> Int32 {
    var status: Int32 = 0
    try wait { waitpid(pid, &status, WNOHANG) == pid }
    pid = 0
    return status & 0x7f == 0 ? status >> 8 & 0xff : -(status & 0x7f)
  }

  /// Looks until something holds, for at most 20 seconds.
  func wait(_ holds: () throws -> Bool) throws {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    let limit = now.tv_sec + 20
    while try !holds() {
      usleep(5_000)
      clock_gettime(CLOCK_MONOTONIC, &now)
      try #require(now.tv_sec < limit, "\(file("log")) \(written)")
    }
  }
}

/// A service that says it is ready and ends when asked.
private let good = """
  env > $ME.env; ls -l /proc/self/fd > $ME.fds; echo $$ >> $ME.pids
  trap 'echo $ME >> ended; exit 0' TERM
  trap 'echo $ME >> reloaded' HUP
  [ -n "$STRIPE_SECRET_KEY_FILE" ] && cat $STRIPE_SECRET_KEY_FILE > $ME.secret
  echo "{\\"service\\":\\"$ME\\",\\"listen\\":[\\"127.0.0.1:4321\\",\\"unix:/x\\"],\\"ops\\":null}" >&3
  exec 3>&-
  while :; do sleep 0.02; done
  """

@Suite("bindery up", .serialized) struct SupervisorTests {
  @Test("prints one line when all are ready, gives each its own settings, and ends in order")
  func life() throws {
    let stage = try Stage { _ in good }
    try stage.start(
      ["up"],
      [
        "STRIPE_SECRET_KEY": "sk_canary", "STRIPE_PRICE_CONNECTIONS": "price",
        "GITHUB_CLIENT_ID": "id", "GITHUB_CLIENT_SECRET": "gh_canary", "STRANGER": "stranger",
      ])
    try stage.wait { stage.written.hasSuffix("\n") }
    #expect(stage.written == "ready http://127.0.0.1:4321\n")
    #expect(stage.file("billing.secret") == "sk_canary")
    for service in Stage.services {
      let environment = stage.file("\(service).env")
      #expect(!environment.contains("canary") && !environment.contains("STRANGER"))
      #expect(environment.contains("STRIPE_SECRET_KEY_FILE") == (service == "billing"))
      #expect(
        environment.contains("GITHUB_CLIENT_SECRET_FILE")
          == ["auth", "scheduler"].contains(service))
      #expect(environment.contains("MANAGED_ENCRYPTION_KEYS_FILE") == (service == "auth"))
      // 0, 1, 2, the ready pipe, the folder that ls reads, and one secret at most.
      let numbers = stage.file("\(service).fds").split(separator: "\n").count - 1
      #expect(numbers == (service == "edge" ? 5 : 6), "\(stage.file("\(service).fds"))")
    }
    for name in ["managed-keys.json", "signing-keys.json"] {
      var facts = stat()
      #expect(stat("\(stage.folder)/data/\(name)", &facts) == 0 && facts.st_mode & 0o777 == 0o600)
    }
    stage.send(SIGHUP)
    try stage.wait { stage.file("reloaded").split(separator: "\n").count == 4 }
    stage.send(SIGTERM)
    #expect(try stage.end() == 0)
    let order = stage.file("ended").split(separator: "\n")
    #expect(order.count == 4 && order.first == "edge")
    #expect(stage.written == "ready http://127.0.0.1:4321\n")
    #expect(!stage.file("log").contains("canary"))
  }

  @Test("the demo prints its commands, has its service in the catalogue, and ends like up")
  func demo() throws {
    let stage = try Stage { _ in good }
    try stage.start(["demo"])
    try stage.wait { stage.written.contains("mcp-name: slow") }
    #expect(stage.written.hasPrefix("ready http://127.0.0.1:4321\n"))
    #expect(stage.written.contains("http://127.0.0.1:4321/api/connections/demo/api-key"))
    let key = stage.file("data/demo-key")
    #expect(key.hasPrefix("demo_") && stage.written.contains("{\"api_key\":\"\(key)\"}"))
    let catalogue = "PROVIDERS_FILE=\(stage.folder)/run/demo-providers.json"
    #expect(stage.file("edge.env").contains(catalogue))
    #expect(!stage.file("billing.env").contains("PROVIDERS_FILE"))
    stage.send(SIGTERM)
    #expect(try stage.end() == 0)
    #expect(stage.file("ended").split(separator: "\n").count == 4)
  }

  @Test("starts again what dies, and a second up on the folder is refused")
  func restart() throws {
    let stage = try Stage { _ in good }
    try stage.start()
    try stage.wait { !stage.written.isEmpty }
    let first = try #require(Int32(stage.file("auth.pids").split(separator: "\n").last ?? ""))
    kill(first, SIGKILL)
    try stage.wait { stage.file("auth.pids").split(separator: "\n").count == 2 }
    #expect(stage.file("log").contains("\"event\":\"child_died\",\"child\":\"auth\",\"status\":-9"))
    let keys = stage.file("data/managed-keys.json")
    stage.send(SIGINT)
    #expect(try stage.end() == 0)
    try stage.start()
    try stage.wait { stage.written.split(separator: "\n").count == 2 }
    #expect(stage.file("data/managed-keys.json") == keys)
  }

  @Test("leaves nobody behind when it is killed itself")
  func killed() throws {
    let stage = try Stage { _ in good }
    try stage.start()
    try stage.wait { !stage.written.isEmpty }
    let children = try Stage.services.map { service in
      try #require(Int32(stage.file("\(service).pids").split(separator: "\n").first ?? ""))
    }
    stage.send(SIGKILL)
    #expect(try stage.end() == -SIGKILL)
    try stage.wait { children.allSatisfy { kill($0, 0) != 0 } }
  }

  @Test("ends with 78 when a setting is wrong, its own or one that only a service refuses")
  func configuration() throws {
    let early = try Stage { _ in good }
    try early.start(["up"], ["EDGE_THREADS": "many"])
    #expect(try early.end() == 78)
    #expect(early.file("log") == "EDGE_THREADS: must be a whole number from 1 to 256\n")
    #expect(early.file("edge.env") == "" && early.written == "")
    let late = try Stage { $0 == "scheduler" ? "exit 78\n" : good }
    try late.start()
    #expect(try late.end() == 78)
    #expect(late.written == "")
  }

  @Test("a child that will not end is killed after a second and a third signal")
  func stubborn() throws {
    let stage = try Stage { service in
      service == "auth"
        ? good.replacing("trap 'echo $ME >> ended; exit 0' TERM", with: "trap '' TERM") : good
    }
    try stage.start()
    try stage.wait { !stage.written.isEmpty }
    stage.send(SIGTERM)
    try stage.wait { stage.file("ended").split(separator: "\n").count == 3 }
    stage.send(SIGTERM)
    stage.send(SIGINT)
    #expect(try stage.end() == 0)
  }
}
