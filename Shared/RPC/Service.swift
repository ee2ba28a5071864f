// Which processes there are, from the view of one that talks to another. A closed list: a
// name that is not here cannot greet, call or be called. What each of them may ask is in
// Calls.swift; who may open a socket at all is in PeerPolicy.swift.

/// A process of the system, as it names itself in a greeting.
public enum Service: String, Codable, CaseIterable, Sendable {
  case edge, auth, billing, scheduler
  /// The command-line tool; it calls and is never called.
  case `operator`

  /// The services that listen for calls.
  public static let listening: [Service] = [.edge, .auth, .billing, .scheduler]

  /// The name for logs and metrics.
  public var label: StaticString {
    switch self {
    case .edge: "edge"
    case .auth: "auth"
    case .billing: "billing"
    case .scheduler: "scheduler"
    case .operator: "operator"
    }
  }

  /// The name of this service's socket inside the run directory.
  public var socketName: String { "\(rawValue).rpc.sock" }
}
