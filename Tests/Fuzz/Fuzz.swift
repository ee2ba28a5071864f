// The entry of every fuzz target: the first argument names one, libFuzzer calls it with bytes. A
// target returns when all is well and stops the process when a promise is broken; crashes, leaks
// and stray reads are found by the address sanitizer. Run through deploy/fuzz.

import Glibc

/// One thing that can be fuzzed.
struct FuzzTarget: Sendable {
  /// The name on the command line and of the folder of seeds.
  let name: String
  /// Reads the bytes and checks what must hold for all bytes.
  let run: @Sendable (UnsafeRawBufferPointer) -> Void

  /// Every target; each has a folder of seeds in Corpus.
  static let all = [
    FuzzTarget(name: "http-request-head", run: fuzzRequests),
    FuzzTarget(name: "http-response-head", run: fuzzResponses),
    FuzzTarget(name: "chunks", run: fuzzChunks),
    FuzzTarget(name: "sse", run: fuzzEventStream),
    FuzzTarget(name: "strict-json", run: fuzzStrictJSON),
    FuzzTarget(name: "forms", run: fuzzForms),
    FuzzTarget(name: "multipart", run: fuzzMultipart),
    FuzzTarget(name: "cookies", run: fuzzCookies),
    FuzzTarget(name: "url", run: fuzzURLs),
    FuzzTarget(name: "addresses", run: fuzzAddresses),
    FuzzTarget(name: "catalogue", run: fuzzCatalogue),
    FuzzTarget(name: "rpc-frame", run: fuzzRPCFrames),
    FuzzTarget(name: "sealed-value", run: fuzzSealedValues),
    FuzzTarget(name: "credential", run: fuzzCredentials),
    FuzzTarget(name: "key-ring", run: fuzzKeyRings),
    FuzzTarget(name: "settings", run: fuzzSettings),
    FuzzTarget(name: "tokens", run: fuzzTokens),
    FuzzTarget(name: "challenges", run: fuzzChallenges),
    FuzzTarget(name: "metadata", run: fuzzMetadata),
    FuzzTarget(name: "registrations", run: fuzzRegistrations),
    FuzzTarget(name: "token-answers", run: fuzzTokenAnswers),
    FuzzTarget(name: "redirect-uris", run: fuzzRedirectURIs),
    FuzzTarget(name: "client-metadata", run: fuzzClientMetadata),
    FuzzTarget(name: "authorization-requests", run: fuzzAuthorizationRequests),
    FuzzTarget(name: "grant-tokens", run: fuzzGrantTokens),
    FuzzTarget(name: "stripe-signature", run: fuzzStripeSignatures),
    FuzzTarget(name: "stripe-event", run: fuzzStripeEvents),
  ]
}

@main enum Fuzz {
  nonisolated(unsafe) private static var target = FuzzTarget.all[0]  // written before the first run

  /// `bindery-fuzz NAME [libFuzzer arguments]`
  static func main() {
    let wanted = CommandLine.arguments.dropFirst().first
    guard let target = FuzzTarget.all.first(where: { $0.name == wanted }) else {
      say("bindery-fuzz: one of \(FuzzTarget.all.map(\.name).joined(separator: " "))")
      exit(2)
    }
    Self.target = target
    var count = CommandLine.argc - 1
    var arguments = CommandLine.unsafeArgv + 1
    exit(
      runDriver(&count, &arguments) { start, count in
        Fuzz.target.run(UnsafeRawBufferPointer(start: start, count: count))
        return 0
      })
  }
}

/// libFuzzer's own entry; the arguments are passed alike in both calling conventions.
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
  _ count: UnsafeMutablePointer<CInt>,
  _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
  _ run: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

/// Stops the process when a promise is broken.
func promise(_ holds: Bool, _ text: StaticString) {
  guard !holds else { return }
  say("broken promise: \(text)")
  abort()
}

private func say(_ text: String) {
  var line = text + "\n"
  line.withUTF8 { _ = write(2, $0.baseAddress, $0.count) }
}
