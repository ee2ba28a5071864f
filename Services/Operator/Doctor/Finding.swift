// What the doctor finds on one rung of the way to a service, and all of one service together. Words of
// our own and public addresses only: what the doctor says may be shown to anybody.

import HTTPCodec
import OAuth

/// A rung, in the order in which they are climbed.
enum DoctorRung: String, CaseIterable {
  case nameResolution = "name_resolution"
  case connection
  case request = "mcp_request"
  case challenge
  case resourceMetadata = "resource_metadata"
  case serverMetadata = "server_metadata"
  case pkce
  case endpoints
  case registration
  case tokenEndpoint = "token_endpoint"
  case apiKey = "api_key"

  /// The rung of a step of discovery.
  init(_ rung: DiscoveryRung) {
    switch rung {
    case .request: self = .request
    case .challenge: self = .challenge
    case .resourceMetadata: self = .resourceMetadata
    case .serverMetadata: self = .serverMetadata
    case .pkce: self = .pkce
    case .endpoints: self = .endpoints
    }
  }
}

/// How it is with one rung.
struct Finding: Equatable, Sendable {
  enum State: String {
    case good, failed, skipped
  }

  let rung: DoctorRung
  let state: State
  /// Where it was tried, without query.
  var url: String?
  /// What was found, or the rule that is broken.
  var rule: String?
  /// What helps.
  var mend: String?

  static func good(_ rung: DoctorRung, _ url: WebURL?, _ rule: String? = nil) -> Finding {
    Finding(rung: rung, state: .good, url: url?.place, rule: rule)
  }

  static func skipped(
    _ rung: DoctorRung, _ url: WebURL?, _ rule: String, _ mend: String? = nil
  ) -> Finding {
    Finding(rung: rung, state: .skipped, url: url?.place, rule: rule, mend: mend)
  }

  static func failed(
    _ rung: DoctorRung, _ url: WebURL?, _ rule: String, _ mend: String
  ) -> Finding {
    Finding(rung: rung, state: .failed, url: url?.place, rule: rule, mend: mend)
  }

  static func failed(
    _ rung: DoctorRung, _ url: WebURL?, _ problem: DiscoveryProblem
  ) -> Finding {
    failed(rung, url, problem.rule, problem.mend)
  }
}

extension WebURL {
  /// The URL without its query, which may hold anything.
  var place: String { origin + path }
}

/// All that was found at one service.
struct Diagnosis: Equatable, Sendable {
  let service: String
  let findings: [Finding]

  var isGood: Bool { !findings.contains { $0.state == .failed } }
}
