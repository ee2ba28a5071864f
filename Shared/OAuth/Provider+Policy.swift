// Who named a URL of a service: the operator, whose catalogue has its origin, or a stranger, whose
// documents do. A service on this very machine may name its neighbours there.

import HTTPClient
import HTTPCodec
import Providers

extension Provider {
  /// Where a request to `url`, a URL of this service, may go. What the catalogue names is trusted by
  /// origin: the operator sends tokens there already. Everything else is a stranger's word.
  public func policy(for url: WebURL) -> AddressPolicy {
    let named =
      [mcpURL, oauth?.authorizationURL, oauth?.tokenURL, oauth?.revocationURL]
      + [oauth?.registrationURL, oauth?.issuer.flatMap { WebURL($0) }]
    let isNamed = named.contains { $0.map { Origin($0) == Origin(url) } ?? false }
    return isNamed
      ? .operatorNamed : .strangerNamed(allowsLoopback: mcpURL.authority.isLoopback)
  }
}
