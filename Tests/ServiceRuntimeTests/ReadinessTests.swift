// What /readyz, /livez and /metrics answer in each state of a process, and what stands in the way
// of readiness. No socket is opened here.

import Clocks
import FoundationEssentials
import HTTPCodec
import HTTPServer
import Metrics
import Testing

@testable import ServiceRuntime

@Suite("Readiness") struct ReadinessTests {
  private struct Document: Decodable, Equatable {
    let ready: Bool
    let state: String
    let broken: [String: String]
    let peers: [String: Bool]
  }

  private let readiness = Readiness(at: .now)

  private func ask(_ path: String, _ method: HTTPCodec.Method = .get) async -> Response {
    await OperationsHandler(readiness: readiness, metrics: MetricRegistry()).respond(
      to: Request(
        method: method, path: path, query: nil, fields: [], body: [], client: nil, viaEdge: false))
  }

  private func document() async throws -> (status: Int, Document) {
    let response = await ask("/readyz")
    return (response.status, try JSONDecoder().decode(Document.self, from: Data(response.body)))
  }

  @Test("comes with the end of the start and the absence of trouble, and goes with the drain")
  func walk() async throws {
    var told = try await document()
    #expect(told == (503, Document(ready: false, state: "starting", broken: [:], peers: [:])))
    readiness.note(broken: .database, because: "missing")
    readiness.becomeReady()
    told = try await document()
    #expect(
      told == (
        503, Document(ready: false, state: "ready", broken: ["database": "missing"], peers: [:])
      ))
    readiness.note(holds: .database)
    told = try await document()
    #expect(told == (200, Document(ready: true, state: "ready", broken: [:], peers: [:])))
    _ = readiness.terminate()
    told = try await document()
    #expect(told == (503, Document(ready: false, state: "draining", broken: [:], peers: [:])))
  }

  @Test("is another thing than life") func liveness() async {
    #expect(await ask("/livez").status == 200)
  }

  @Test("can be asked about and not be changed") func methods() async {
    for path in ["/livez", "/readyz", "/metrics", "/"] {
      #expect(await ask(path, .post).status == 405)
      #expect(await ask(path, .delete).status == 405)
    }
    #expect(await ask("/metrics").status == 200)
    #expect(await ask("/").status == 404)
  }

  @Test("tells numbers that were added, as they are when asked") func counters() {
    let start = Instant.now
    readiness.report("answer") { 42 }
    #expect(readiness.counterValues == ["answer": 42])
    #expect(readiness.uptimeSeconds >= 0 && start.duration(to: .now) < .seconds(60))
  }
}
