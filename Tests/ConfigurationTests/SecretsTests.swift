// Whether secrets come in by value and by file, stay mute, and whether master keys are checked as
// promised: a bad entry is named by its place.

import Glibc
import Posix
import Testing

@testable import Configuration

@Suite("Secret settings") struct SecretsTests {
  /// A file with `text`, removed when `body` is done.
  private func withFile<R>(_ text: String, _ body: (String) throws -> R) throws -> R {
    var path = Array("/tmp/bindery-settings-XXXXXX".utf8CString)
    let number = mkstemp(&path)
    try #require(number >= 0)
    let name = String(decoding: path.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { unlink(name) }
    let bytes = Array(text.utf8)
    #expect(write(number, bytes, bytes.count) == bytes.count)
    close(number)
    return try body(name)
  }

  private func text(_ secret: SecretSetting?) -> String? {
    secret?.withBytes { String(decoding: $0, as: UTF8.self) }
  }

  @Test("come by value or from a file, whose last line break does not count")
  func byFile() throws {
    try withFile("\(canary)\n") { path in
      let variables = ["STRIPE_SECRET_KEY_FILE": path, "STRIPE_PRICE_CONNECTIONS": "p"]
      let billing = try BillingSettings(Environment(variables))
      #expect(text(billing.stripeSecretKey) == canary)
      #expect(throws: ConfigurationError.self) {
        try BillingSettings(
          Environment(variables.merging(["STRIPE_SECRET_KEY": "x"]) { $1 }))
      }
    }
    let rolling = try BillingSettings(Environment(["STRIPE_WEBHOOK_SECRET": "a, b"]))
    #expect(rolling.stripeWebhookSecrets.map(text) == ["a", "b"])
  }

  @Test("from an inherited descriptor are read once, then the descriptor is closed")
  func byDescriptor() throws {
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    let bytes = Array(canary.utf8)
    #expect(write(ends[1], bytes, bytes.count) == bytes.count)
    close(ends[1])
    let settings = try BillingSettings(
      Environment(["STRIPE_WEBHOOK_SECRET_FILE": "/proc/self/fd/\(ends[0])"]))
    #expect(settings.stripeWebhookSecrets.map(text) == [canary])
    #expect(fcntl(ends[0], F_GETFD) == -1)
  }

  @Test("cannot be printed, interpolated or dumped")
  func mute() throws {
    let settings = try AuthSettings(
      Environment([
        "GITHUB_CLIENT_ID": "id", "GITHUB_CLIENT_SECRET": canary,
        "MANAGED_ENCRYPTION_MASTER_KEY": String(repeating: "ab", count: 32),
      ]))
    #expect(text(settings.oauthClients["github"]?.secret) == canary)
    var dumped = ""
    dump(settings, to: &dumped)
    dumped += "\(settings) \(String(reflecting: settings))"
    #expect(!dumped.contains(canary) && !dumped.contains("abab"))
  }

  @Test("are wiped from the process's environment when it is taken")
  func wiped() throws {
    setenv("STRIPE_SECRET_KEY", canary, 1)
    setenv("EXAMPLE_CLIENT_SECRET", canary, 1)
    setenv("STRIPE_PRICE_CONNECTIONS", "price", 1)
    let environment = Environment.take()
    #expect(text(environment.secret("STRIPE_SECRET_KEY")) == canary)
    #expect(environment["STRIPE_SECRET_KEY"] == nil)
    for name in ["STRIPE_SECRET_KEY", "EXAMPLE_CLIENT_SECRET"] {
      let left = getenv(name).map { String(cString: $0) }
      #expect(left == "")
      unsetenv(name)
    }
    #expect(getenv("STRIPE_PRICE_CONNECTIONS").map { String(cString: $0) } == "price")
    unsetenv("STRIPE_PRICE_CONNECTIONS")
  }

  static let one = String(repeating: "0a", count: 32)
  static let two = String(repeating: "B1", count: 32)

  static let keyRings: [(String, String?)] = [
    (#"[{"key":"\#(one)"}]"#, nil), (#" [ { "key" : "\#(one)" } , {"key":"\#(two)"} ] "#, nil),
    ("[]", "no key"), (" ", "array"), ("{}", "array"), (#"[{"key":7}]"#, "entry 1 must be"),
    (#"[{"key":"\#(one)"}"#, "array"), (#"[{"key":"\#(one)"}]x"#, "array"),
    (#"[{"key":"\#(one)","more":1}]"#, "entry 1 must be"),
    (#"[{"key":"\#(one.dropLast())"}]"#, "entry 1 is not 64"),
    (#"[{"key":"\#(one)"},{"key":"\#(one.dropLast())g"}]"#, "entry 2 has a character"),
    (#"[{"key":"\#(String(repeating: "0", count: 64))"}]"#, "entry 1 is all zero"),
    (#"[{"key":"\#(two)"},{"key":"\#(one)"},{"key":"\#(two.lowercased())"}]"#, "3 is the same"),
  ]

  @Test(
    "master keys are checked one by one, and a bad one is named by its place", arguments: keyRings)
  func masterKeys(json: String, problem: String?) throws {
    do throws(ConfigurationError) {
      let keys = try AuthSettings(Environment(["MANAGED_ENCRYPTION_KEYS": json])).masterKeys
      #expect(problem == nil, "accepted \(json)")
      #expect(keys?.ring.keys.isEmpty == false)
      #expect(keys?.file == nil)
    } catch {
      #expect(error.setting == "MANAGED_ENCRYPTION_KEYS")
      #expect(problem.map { error.problem.contains($0) } == true, "\(error)")
      #expect(!error.problem.contains("0a0a") && !error.problem.lowercased().contains("b1b1"))
    }
  }

  @Test("a key file is read again when the operator changed it")
  func reread() throws {
    try withFile(#"[{"key":"\#(Self.one)"}]"#) { path in
      let settings = try AuthSettings(Environment(["MANAGED_ENCRYPTION_KEYS_FILE": path]))
      let keys = try #require(settings.masterKeys)
      #expect(keys.ring.keys.count == 1 && keys.file == path)
      let file = try #require(fopen(path, "w"))
      fputs(#"[{"key":"\#(Self.one)"},{"key":"\#(Self.two)"}]"#, file)
      fclose(file)
      #expect(try keys.reread().ring.keys.count == 2)
    }
  }
}
