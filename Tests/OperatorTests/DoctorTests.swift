// How the doctor's findings are shown, for people and for machines. What it finds is tried on small
// broken servers in Tests/Acceptance/test_doctor.py.

import HTTPCodec
import OAuth
import Testing

@testable import bindery

@Suite("The doctor") struct DoctorTests {
  private func diagnoses() throws -> [Diagnosis] {
    let mcp = try #require(WebURL("https://mcp.example/mcp?key=hidden"))
    let document = try #require(WebURL("https://as.example/.well-known/openid-configuration"))
    return [
      Diagnosis(
        service: "one",
        findings: [
          .good(.nameResolution, mcp), .good(.request, mcp, "answers 401"),
          .skipped(.challenge, nil, "none"), .failed(.serverMetadata, document, .issuerDiffers),
        ]),
      Diagnosis(service: "two", findings: [.skipped(.apiKey, nil, "keys are not tried")]),
    ]
  }

  @Test("writes a line for each rung, and never a query") func text() throws {
    #expect(
      DoctorReport.text(try diagnoses()) == """
        one
          good     name resolution    https://mcp.example/mcp
          good     mcp request        https://mcp.example/mcp | answers 401
          skipped  challenge          none
          failed   server metadata    https://as.example/.well-known/openid-configuration | RFC 8414 \
        section 3.3: issuer differs from the one that was asked for | mend: tell the service, or name \
        issuer, authorization_url and token_url in PROVIDERS_FILE
        two
          skipped  api key            keys are not tried
        2 services, trouble with: one.

        """)
    let good = try diagnoses().filter(\.isGood)
    #expect(DoctorReport.text(good).hasSuffix("\n1 service, nothing found.\n"))
  }

  @Test("writes an array for machines") func json() throws {
    #expect(
      DoctorReport.json(Array(try diagnoses().dropFirst()))
        == #"[{"service":"two","good":true,"findings":[{"rung":"api_key","state":"skipped","#
        + #""url":null,"rule":"keys are not tried","mend":null}]}]"# + "\n")
    let value = try #require(JSONValue(parsing: Array(DoctorReport.json(try diagnoses()).utf8)))
    guard case .array(let items) = value else {
      Issue.record("no array")
      return
    }
    #expect(items.map { $0["good"] } == [.flag(false), .flag(true)])
  }

  static let problems: [DiscoveryProblem] = [
    .noOAuth, .unreachable(.timeout), .unreachable(.connect(.unresolvable)),
    .unreachable(.brokenAnswer), .unreachable(.requestUnclean),
    .unreachable(.addressRefused(.insecure)), .unreachable(.addressRefused(.port)),
    .busy(status: 503), .absent(status: 404), .redirected, .tooLarge, .document(.notJSON),
    .document(.missing("issuer")), .document(.malformed("issuer")), .resourceDiffers,
    .issuerDiffers, .address("token_endpoint", nil), .address("token_endpoint", .specialUse),
    .noS256, .noAuthentication, .nothingFound,
  ]

  @Test("has a rule and a mend for every problem", arguments: problems)
  func words(problem: DiscoveryProblem) {
    for text in [problem.rule, problem.mend] {
      #expect((10...160).contains(text.utf8.count))
      #expect(text.utf8.allSatisfy { (0x20...0x7e).contains($0) })
    }
  }
}
