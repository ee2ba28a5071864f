// Every call of the system, on one page: its name, who may make it, who answers it, how long
// it may take, and what goes in and out. A call that is not here does not exist. The payloads
// are JSON; a field may be added at any time, none may change its meaning.

import Metrics

/// The names of the calls, and the table of who may make them.
public enum CallName: Int, MetricLabel {
  case status
  case shred

  /// The name as it crosses the wire and stands in metrics.
  public var label: StaticString {
    switch self {
    case .status: "status"
    case .shred: "shred"
    }
  }

  /// The rule that the answering side holds a call against before it decodes anything of it; the
  /// caller takes the deadline from it.
  public var rule: CallRule {
    switch self {
    case .status:
      CallRule(
        callers: [.edge, .auth, .billing, .scheduler, .operator],
        answeredBy: [.edge, .auth, .billing, .scheduler], deadline: .seconds(2))
    case .shred:
      CallRule(callers: [.auth], answeredBy: [.scheduler], deadline: .seconds(5))
    }
  }
}

/// Who may make a call, who answers it, and the time it has unless the caller says less.
public struct CallRule: Sendable {
  public let callers: Set<Service>
  public let answeredBy: Set<Service>
  public let deadline: Duration
}

/// A typed call: its name, and what goes in and out.
public protocol Call: Sendable {
  associatedtype Request: Codable & Sendable
  associatedtype Response: Codable & Sendable
  static var name: CallName { get }
}

// MARK: status

/// How is this process? Asked by the operator's tool and by peers that look for each other.
public enum StatusCall: Call {
  public static let name = CallName.status

  /// Nothing is asked in particular.
  public struct Request: Codable, Sendable {
    public init() {}
  }

  /// What a process says of itself.
  public struct Response: Codable, Sendable, Equatable {
    public var service: String
    public var version: String
    public var uptimeSeconds: Int64
    public var ready: Bool
    /// The lifecycle's state in one word: starting, ready, draining.
    public var state: String
    /// RPC peers this process needs, and whether it reaches them now.
    public var peers: [String: Bool]
    /// Counters of public meaning; never one that names a user or a connection.
    public var counters: [String: Int64]

    public init(
      service: String, version: String, uptimeSeconds: Int64, ready: Bool, state: String,
      peers: [String: Bool], counters: [String: Int64]
    ) {
      self.service = service
      self.version = version
      self.uptimeSeconds = uptimeSeconds
      self.ready = ready
      self.state = state
      self.peers = peers
      self.counters = counters
    }
  }
}

// MARK: shred

/// Destroy the sealed token of a connection whose row is already gone or revoked. The
/// scheduler owns the blobs; it refuses while the connection is still alive, so a wrong or
/// forged call destroys nothing that a user still has.
public enum ShredCall: Call {
  public static let name = CallName.shred

  /// Whose blob.
  public struct Request: Codable, Sendable {
    public var connectionID: String
    public init(connectionID: String) { self.connectionID = connectionID }
  }

  /// What was done.
  public struct Response: Codable, Sendable, Equatable {
    /// False when there was no blob left to destroy.
    public var shredded: Bool
    public init(shredded: Bool) { self.shredded = shredded }
  }
}
