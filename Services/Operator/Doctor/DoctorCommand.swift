// `bindery doctor`: can the services of the catalogue be connected from here? Walks from each MCP
// server to its tokens and says where the way ends, which rule is broken there, and what helps.

import Configuration
import EventLoop
import HTTPClient
import Posix
import Providers
import Transport

/// Examines the services of the catalogue.
enum DoctorCommand: Command {
  static let name = "doctor"
  static let summary = "Find out why a service cannot be connected"
  static let manual = """
    bindery doctor [--service ID] [--register] [--json]

    Walks from every service of the catalogue, or from one, to its tokens: name resolution,
    connection, MCP request without a token, challenge, resource metadata (RFC 9728), server metadata
    (RFC 8414), PKCE, endpoints, registration, token endpoint, API key. One line for each rung says
    good, failed or skipped, where it was tried, which rule is broken, and what mends it. Sends no
    token, key or secret; the token endpoint is asked with a refresh token that nobody has.
    Run it where auth runs: it takes the same way to the services.
    --register also registers a client where registration is dynamic; it stays behind at the service.
    --json prints an array of {service, good, findings: [{rung, state, url, rule, mend}]}.
    Ends with 0 when nothing failed, with 1 when something did.
    """

  static func run(
    _ arguments: inout Arguments, _ console: Console
  ) throws(CommandFailure) -> ExitStatus {
    let isJSON = arguments.flag("--json")
    let registers = arguments.flag("--register")
    let wanted = try arguments.option("--service")
    try arguments.finish()
    let settings = try OperatorSettings.read(.take())
    var providers = settings.catalogue.providers
    if let wanted {
      guard let provider = settings.catalogue[wanted] else {
        throw .usage("no service has the id \(wanted)")
      }
      providers = [provider]
    }
    let diagnoses = try examine(providers, settings, registers)
    console.write(isJSON ? DoctorReport.json(diagnoses) : DoctorReport.text(diagnoses))
    return diagnoses.allSatisfy(\.isGood) ? .good : .finding
  }

  /// Examines all of them at once: most of the time is waiting.
  private static func examine(
    _ providers: [Provider], _ settings: OperatorSettings, _ registers: Bool
  ) throws(CommandFailure) -> [Diagnosis] {
    let tls: ClientTLS
    do throws(TLSContextError) { tls = try ClientTLS(trustPath: settings.upstreamCAFile) } catch {
      throw .failed("the trust roots cannot be read")
    }
    let loop: EventLoop
    do throws(Errno) { loop = try EventLoop(name: "doctor") } catch {
      throw .failed("no event loop (\(error.name))")
    }
    loop.start()
    defer { loop.stop() }
    let resolver = Resolver()
    let tools = Examination.Tools(
      fetch: OneShotClient(loop: loop, resolver: resolver, tls: tls),
      resolve: { await resolver.addresses(of: $0).count }, clients: settings.oauthClients,
      publicURL: settings.common.publicURL, registers: registers)
    return LoopWait.run(on: loop) {
      await withTaskGroup(of: (Int, Diagnosis).self) { group in
        for (index, provider) in providers.enumerated() {
          group.addTask { (index, await Examination.run(provider, tools)) }
        }
        var diagnoses: [(Int, Diagnosis)] = []
        for await diagnosis in group { diagnoses.append(diagnosis) }
        return diagnoses.sorted { $0.0 < $1.0 }.map(\.1)
      }
    }
  }
}
