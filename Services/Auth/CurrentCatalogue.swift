// The catalogue as it is now: requests read it, a reload replaces it. A request keeps the one it
// began with.

import Providers
import Synchronization

/// The services that can be connected at this moment.
final class CurrentCatalogue: Sendable {
  private let held: Mutex<Catalogue>

  init(_ catalogue: Catalogue) { held = Mutex(catalogue) }

  /// The catalogue to answer one request with.
  var value: Catalogue { held.withLock { $0 } }

  /// Goes on with another catalogue.
  func replace(with catalogue: Catalogue) { held.withLock { $0 = catalogue } }
}
