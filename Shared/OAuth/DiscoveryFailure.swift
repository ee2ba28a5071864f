// Why the way to a service's authorization server ends: on which rung, at which address, against which
// rule, and what an operator can do about it. Words of our own and public addresses only, fit for logs
// and for the doctor; never anything out of a body.

import HTTPClient
import HTTPCodec

/// A rung of the ladder from an MCP server to its authorization server.
public enum DiscoveryRung: String, Sendable, CaseIterable {
  /// The request without a token.
  case request
  /// Its answer's WWW-Authenticate.
  case challenge
  /// RFC 9728.
  case resourceMetadata = "resource_metadata"
  /// RFC 8414 or OpenID Connect Discovery.
  case serverMetadata = "server_metadata"
  /// Whether S256 is taken.
  case pkce
  /// Where the server sends us.
  case endpoints
}

/// What is wrong on a rung.
public enum DiscoveryProblem: Error, Equatable, Sendable {
  /// The service has no OAuth in the catalogue.
  case noOAuth
  /// There was no answer.
  case unreachable(ClientError)
  /// The server is in trouble or has too many requests.
  case busy(status: Int)
  /// There is no document at this address.
  case absent(status: Int)
  /// The answer is a redirect.
  case redirected
  /// More than a MiB.
  case tooLarge
  /// No document that we can read.
  case document(DocumentFault)
  /// It speaks of another resource.
  case resourceDiffers
  /// It speaks of another authorization server.
  case issuerDiffers
  /// A URL is not one, or leads where we send nothing.
  case address(StaticText, AddressRefusal?)
  /// S256 is not offered.
  case noS256
  /// The token endpoint takes no authentication that we know.
  case noAuthentication
  /// No rung led anywhere.
  case nothingFound
}

/// Why there is no authorization server.
public struct DiscoveryFailure: Error, Equatable, Sendable, CustomStringConvertible {
  public let rung: DiscoveryRung
  /// Where it was looked for.
  public let url: WebURL
  public let problem: DiscoveryProblem

  /// A failure of these parts.
  public init(rung: DiscoveryRung, url: WebURL, problem: DiscoveryProblem) {
    self.rung = rung
    self.url = url
    self.problem = problem
  }

  /// Whether the same question may be answered soon.
  public var isTransient: Bool {
    switch problem {
    case .busy, .unreachable(.timeout), .unreachable(.connect), .unreachable(.brokenAnswer): true
    default: false
    }
  }

  /// One line for the operator; addresses without their queries.
  public var description: String {
    "\(rung.rawValue) \(url.origin)\(url.path): \(problem.rule); \(problem.mend)"
  }
}

extension DiscoveryProblem {
  /// The rule that is broken, in public words.
  public var rule: String {
    switch self {
    case .noOAuth: "the service has no oauth in the catalogue"
    case .unreachable(let error): error.rule
    case .busy(let status): "the server answered \(status)"
    case .absent(let status): "the server answered \(status) where a document may be"
    case .redirected: "a redirect is not followed"
    case .tooLarge: "a document has at most 1 MiB"
    case .document(.notJSON): "RFC 8259: a document is one JSON object without duplicate names"
    case .document(.missing(let name)): "the document has no \(name)"
    case .document(.malformed(let name)): "the document's \(name) has a wrong type or form"
    case .resourceDiffers: "RFC 9728 section 3.3: resource differs from the MCP server's URL"
    case .issuerDiffers: "RFC 8414 section 3.3: issuer differs from the one that was asked for"
    case .address(let name, nil): "\(name) is not a web URL"
    case .address(let name, let refusal?): "\(name): \(refusal.rule)"
    case .noS256: "MCP authorization: code_challenge_methods_supported must name S256"
    case .noAuthentication: "token_endpoint_auth_methods_supported names no method that we know"
    case .nothingFound: "RFC 9728 section 3: the server publishes no metadata"
    }
  }

  /// What helps, in public words.
  public var mend: String {
    switch self {
    case .noOAuth: "connect it with an API key"
    case .unreachable(.connect(.tls)):
      "check the certificate; for a private authority set UPSTREAM_CA_FILE"
    case .unreachable(.addressRefused), .address(_, .some(_)):
      "if the address is right, name authorization_url, token_url and registration_url in "
        + "PROVIDERS_FILE"
    case .unreachable, .busy: "check mcp_url and the network, then try again"
    case .redirected: "name the final address in PROVIDERS_FILE"
    case .noS256:
      "ask the service for PKCE, or set oauth.pkce to false in PROVIDERS_FILE and bear the risk"
    case .resourceDiffers: "correct mcp_url in PROVIDERS_FILE, or tell the service"
    case .noAuthentication: "set oauth.client_authentication and the endpoints in PROVIDERS_FILE"
    case .absent, .tooLarge, .document, .issuerDiffers, .address(_, nil), .nothingFound:
      "tell the service, or name issuer, authorization_url and token_url in PROVIDERS_FILE"
    }
  }
}

extension ClientError {
  /// Why there was no answer, in public words.
  public var rule: String {
    switch self {
    case .connect(.unresolvable): "the host's name does not resolve"
    case .connect(.refused(let reason)): "no connection (\(reason.name))"
    case .connect(.tls): "TLS failed: the certificate does not verify, or no version is shared"
    case .connect(.timeout), .timeout: "no answer in time"
    case .brokenAnswer: "RFC 9112: the answer is no HTTP/1.1, or it ended early"
    case .requestUnclean: "the request would be more than one line"
    case .addressRefused(let refusal): refusal.rule
    }
  }
}

extension AddressRefusal {
  /// What a named address has to be, in public words.
  public var rule: String {
    switch self {
    case .insecure:
      "a URL that a server names is https, or http to a loopback host beside a "
        + "loopback MCP server"
    case .port: "a URL that a server names has port 443, or 1024 and above"
    case .specialUse: "RFC 6890: a URL that a server names leads to public addresses only"
    }
  }
}
