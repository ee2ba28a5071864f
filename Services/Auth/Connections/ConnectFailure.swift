// Why a person comes back from a provider without a connection, in words that the dashboard knows.
// Closed: nothing that a provider wrote ever stands in an address of ours. Each has its sentence in
// README.md.

import OAuth

/// The code behind `error=` in the dashboard's address.
enum ConnectFailure: String, Error, CaseIterable {
  /// The person, or the provider for them, said no.
  case accessDenied = "access_denied"
  /// The provider answered with another error, or with neither a code nor an error.
  case providerError = "provider_error"
  /// The answer does not come from the server that the person was sent to.
  case issuerMismatch = "issuer_mismatch"
  /// The provider did not take the code.
  case codeRefused = "code_refused"
  /// The provider does not know our client any more.
  case clientRefused = "client_refused"
  /// The provider was not to be reached, or in trouble.
  case providerUnavailable = "provider_unavailable"
  /// The person has as many connections as one may have.
  case limitReached = "limit_reached"
  /// The person's plan ended meanwhile.
  case planEnded = "plan_ended"
  /// The connection that was to be replaced is gone.
  case connectionGone = "connection_gone"
  /// The operator took the service or the managed mode away meanwhile.
  case notSupported = "not_supported"
  /// We could not keep what the provider gave.
  case internalError = "internal_error"

  /// What a token endpoint's refusal means for the person.
  init(_ failure: TokenFailure) {
    self =
      switch failure {
      case .invalidGrant, .refused: .codeRefused
      case .invalidClient: .clientRefused
      case .throttled, .unavailable: .providerUnavailable
      case .broken: .providerError
      }
  }

  /// The same for logs.
  var label: StaticString {
    switch self {
    case .accessDenied: "access_denied"
    case .providerError: "provider_error"
    case .issuerMismatch: "issuer_mismatch"
    case .codeRefused: "code_refused"
    case .clientRefused: "client_refused"
    case .providerUnavailable: "provider_unavailable"
    case .limitReached: "limit_reached"
    case .planEnded: "plan_ended"
    case .connectionGone: "connection_gone"
    case .notSupported: "not_supported"
    case .internalError: "internal_error"
    }
  }
}
