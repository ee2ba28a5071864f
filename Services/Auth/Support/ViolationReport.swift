// Reports of browsers that a page broke its content security policy (CSP level 2 `csp-report` and the
// Reporting API). Anybody can send anything here, so nothing of a report is repeated: what is logged
// are five words of our own that say what kind of violation it was.

import Clocks
import FoundationEssentials
import HTTPCodec
import HTTPServer
import Logging
import StrictJSON
import Synchronization

/// POST /api/csp-report
final class ViolationReports: Sendable {
  private static let bytesMax = 10_240
  /// Of one request.
  private static let reportsMax = 10

  private let origins: [String]
  private let log: Log
  private let throttle = Mutex(
    SignInThrottle(
      SignInThrottle.Limits(
        perAccountAndNetwork: 10, perAccount: .max, perNetwork: 10, windowSeconds: 60)))

  /// - Parameter origins: of our own pages.
  init(origins: [String], log: Log) {
    self.origins = origins
    self.log = log
  }

  /// Takes one request of reports; what can not be read counts as none.
  func take(_ request: Request) throws(Refusal) -> Response {
    guard request.body.count <= Self.bytesMax else { throw .bodyTooLarge }
    let wait = throttle.withLock { $0.attempt(account: "", from: request.client, now: .now) }
    if let wait { throw .tooManyAttempts(retryAfterSeconds: wait) }
    for violation in Violation.read(request.body).prefix(Self.reportsMax) {
      log.warning(
        "content_policy_violated",
        [
          "directive": .literal(violation.knownDirective), "blocked": .literal(violation.target),
          "disposition": .literal(violation.isEnforced ? "enforce" : "report"),
          "page": .literal(isOurs(violation.page) ? "ours" : "other"),
          "line": .count(violation.line),
        ])
    }
    return Response(status: 204)
  }

  private func isOurs(_ page: String) -> Bool {
    guard let url = WebURL(page) else { return false }
    return origins.contains { $0.utf8.elementsEqual(url.origin.utf8) }
  }
}

/// What one report says.
struct Violation: Equatable {
  var page = ""
  var directive = ""
  var blocked = ""
  var isEnforced = true
  var line = 0

  private struct Old: Decodable {
    struct Report: Decodable {
      let page: String?
      let directive: String?
      let violated: String?
      let blocked: String?
      let disposition: String?
      let line: Int?

      private enum CodingKeys: String, CodingKey {
        case page = "document-uri"
        case directive = "effective-directive"
        case violated = "violated-directive"
        case blocked = "blocked-uri"
        case disposition
        case line = "line-number"
      }
    }
    let report: Report

    private enum CodingKeys: String, CodingKey { case report = "csp-report" }
  }

  private struct New: Decodable {
    struct Body: Decodable {
      let documentURL: String?
      let effectiveDirective: String?
      let blockedURL: String?
      let disposition: String?
      let lineNumber: Int?
    }
    let type: String
    let body: Body?
  }

  /// The violations in a body of either form.
  static func read(_ body: [UInt8]) -> [Violation] {
    guard isWellFormed(body) else { return [] }
    let data = Data(body)
    if let old = try? JSONDecoder().decode(Old.self, from: data).report {
      return [
        Violation(
          page: old.page ?? "", directive: old.directive ?? old.violated ?? "",
          blocked: old.blocked ?? "", isEnforced: old.disposition != "report",
          line: old.line ?? 0)
      ]
    }
    let new = (try? JSONDecoder().decode([New].self, from: data)) ?? []
    return new.compactMap { entry in
      guard entry.type == "csp-violation", let body = entry.body else { return nil }
      return Violation(
        page: body.documentURL ?? "", directive: body.effectiveDirective ?? "",
        blocked: body.blockedURL ?? "", isEnforced: body.disposition != "report",
        line: body.lineNumber ?? 0)
    }
  }

  /// The directive, if it is one that there is; an older browser appends its value.
  var knownDirective: StaticString {
    let known: [StaticString] = [
      "default-src", "script-src", "script-src-elem", "script-src-attr", "style-src",
      "style-src-elem", "style-src-attr", "img-src", "font-src", "connect-src", "media-src",
      "object-src", "frame-src", "child-src", "worker-src", "manifest-src", "base-uri",
      "form-action", "frame-ancestors", "require-trusted-types-for", "trusted-types",
    ]
    let name = directive.utf8.prefix { $0 != 0x20 }
    return known.first { "\($0)".utf8.elementsEqual(name) } ?? "other"
  }

  /// What kind of thing was blocked.
  var target: StaticString {
    let kinds: [StaticString] = ["inline", "eval", "wasm-eval", "data", "blob", "self"]
    if let kind = kinds.first(where: { "\($0)".utf8.elementsEqual(blocked.utf8) }) { return kind }
    if blocked.utf8.starts(with: "https:".utf8) { return "https" }
    if blocked.utf8.starts(with: "http:".utf8) { return "http" }
    return blocked.utf8.isEmpty ? "none" : "other"
  }
}
