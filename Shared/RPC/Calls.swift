// Every call of the system, on one page: its name, who may make it, who answers it, how long
// it may take, and what goes in and out. A call that is not here does not exist. The payloads
// are JSON; a field may be added at any time, none may change its meaning. What goes in and out of
// those about mails and jobs is in JobCalls.swift, of programs' keys in ProgramKeyCall.swift, of plans
// and billing in BillingCalls.swift.

import Metrics

/// The names of the calls, and the table of who may make them.
public enum CallName: Int, MetricLabel {
  case status
  case shred
  case refresh
  case unwrap
  case revokeUpstream
  case revocationSettled
  case keys
  case rotate
  case mail
  case tidy
  case unwrapForKey
  case resetToken
  case planSet
  case billingContact
  case billingUser
  case billingCheckout
  case billingVerify
  case billingQuantity
  case billingPortal
  case billingForget
  case billingTrail
  case webhooksReplay

  /// The name as it crosses the wire and stands in metrics.
  public var label: StaticString {
    switch self {
    case .status: "status"
    case .shred: "shred"
    case .refresh: "refresh"
    case .unwrap: "unwrap"
    case .revokeUpstream: "revoke_upstream"
    case .revocationSettled: "revocation_settled"
    case .keys: "keys"
    case .rotate: "rotate"
    case .mail: "mail"
    case .tidy: "tidy"
    case .unwrapForKey: "unwrap_for_key"
    case .resetToken: "reset_token"
    case .planSet: "plan_set"
    case .billingContact: "billing_contact"
    case .billingUser: "billing_user"
    case .billingCheckout: "billing_checkout"
    case .billingVerify: "billing_verify"
    case .billingQuantity: "billing_quantity"
    case .billingPortal: "billing_portal"
    case .billingForget: "billing_forget"
    case .billingTrail: "billing_trail"
    case .webhooksReplay: "webhooks_replay"
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
    case .refresh:
      CallRule(callers: [.edge, .auth], answeredBy: [.scheduler], deadline: .seconds(45))
    case .unwrap:
      CallRule(callers: [.scheduler], answeredBy: [.auth], deadline: .seconds(5))
    case .revokeUpstream:
      CallRule(callers: [.auth, .edge], answeredBy: [.scheduler], deadline: .seconds(20))
    case .revocationSettled:
      CallRule(callers: [.scheduler], answeredBy: [.auth], deadline: .seconds(5))
    case .keys:
      CallRule(callers: [.operator, .scheduler], answeredBy: [.auth], deadline: .seconds(20))
    case .rotate:
      CallRule(callers: [.operator], answeredBy: [.auth], deadline: .seconds(20))
    case .mail:
      CallRule(callers: [.auth, .billing], answeredBy: [.scheduler], deadline: .seconds(5))
    case .tidy:
      CallRule(callers: [.scheduler], answeredBy: [.auth], deadline: .seconds(30))
    case .unwrapForKey:
      CallRule(callers: [.edge], answeredBy: [.auth], deadline: .seconds(5))
    case .resetToken:
      CallRule(callers: [.scheduler], answeredBy: [.auth], deadline: .seconds(5))
    case .planSet, .billingContact, .billingUser:
      CallRule(callers: [.billing], answeredBy: [.auth], deadline: .seconds(10))
    case .billingCheckout, .billingVerify, .billingQuantity, .billingPortal:
      CallRule(callers: [.auth], answeredBy: [.billing], deadline: .seconds(30))
    case .billingForget:
      CallRule(callers: [.auth], answeredBy: [.billing], deadline: .seconds(5))
    case .billingTrail:
      CallRule(callers: [.auth, .operator], answeredBy: [.billing], deadline: .seconds(5))
    case .webhooksReplay:
      CallRule(callers: [.operator], answeredBy: [.billing], deadline: .seconds(5))
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
    /// What it does by the clock; nil for a process that does nothing so.
    public var jobs: [JobStatus]?
    /// What is wrong without stopping it, each with the reason; nil from an older process.
    public var degraded: [String: String]?

    public init(
      service: String, version: String, uptimeSeconds: Int64, ready: Bool, state: String,
      peers: [String: Bool], counters: [String: Int64], jobs: [JobStatus]? = nil,
      degraded: [String: String]? = nil
    ) {
      self.service = service
      self.version = version
      self.uptimeSeconds = uptimeSeconds
      self.ready = ready
      self.state = state
      self.peers = peers
      self.counters = counters
      self.jobs = jobs
      self.degraded = degraded
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

// MARK: refresh

/// Get fresh tokens for a connection: asked by whoever holds its data key and sees that the access
/// token ends soon or was refused by the service. Exactly one exchange is made for a generation,
/// whoever asks how often.
public enum RefreshCall: Call {
  public static let name = CallName.refresh

  /// Which tokens, and the key to them.
  public struct Request: Codable, Sendable {
    public var connectionID: String
    /// The generation that the caller holds; when the store has a later one, nothing is exchanged.
    public var generation: Int64
    /// The connection's data key, 32 bytes as base64url. Kept for this one refresh.
    public var dataKey: String
    /// Whether the service refused the access token, so that its end says nothing.
    public var wasRefused: Bool

    public init(connectionID: String, generation: Int64, dataKey: String, wasRefused: Bool) {
      self.connectionID = connectionID
      self.generation = generation
      self.dataKey = dataKey
      self.wasRefused = wasRefused
    }
  }

  /// What came of it.
  public struct Response: Codable, Sendable, Equatable {
    /// How a refresh ends.
    public enum Outcome: String, Codable, Sendable {
      /// The store holds a later generation than the caller's: read it again.
      case fresh
      /// These tokens can not be refreshed (there is no refresh token); use them while they last.
      case unrefreshable
      /// The provider wants the person's consent anew.
      case needsReauthorization = "needs_reauth"
      /// Not now: the provider or its limits say so.
      case later
    }

    public var outcome: Outcome
    /// With `later`: after how many seconds a try makes sense.
    public var retryAfterSeconds: Int64?

    public init(_ outcome: Outcome, retryAfterSeconds: Int64? = nil) {
      self.outcome = outcome
      self.retryAfterSeconds = retryAfterSeconds
    }
  }
}

// MARK: unwrap

/// Open the data key of a managed connection, alive or waiting to be revoked at its provider.
/// `conflict` when the connection has no wrap under a master key.
public enum UnwrapCall: Call {
  public static let name = CallName.unwrap

  /// Whose key.
  public struct Request: Codable, Sendable {
    public var connectionID: String
    public init(connectionID: String) { self.connectionID = connectionID }
  }

  /// The key.
  public struct Response: Codable, Sendable {
    /// 32 bytes as base64url.
    public var dataKey: String
    public init(dataKey: String) { self.dataKey = dataKey }
  }
}

// MARK: revoke upstream

/// Revoke the tokens of a revoked connection at its provider, then destroy them. Asked by whoever
/// holds the data key: auth for a managed connection, the edge when somebody shows a credential
/// that was parted from its connection.
public enum RevokeUpstreamCall: Call {
  public static let name = CallName.revokeUpstream

  /// Whose tokens, and the key to them.
  public struct Request: Codable, Sendable {
    public var connectionID: String
    /// 32 bytes as base64url. Kept for this one revocation.
    public var dataKey: String

    public init(connectionID: String, dataKey: String) {
      self.connectionID = connectionID
      self.dataKey = dataKey
    }
  }

  /// What came of it.
  public struct Response: Codable, Sendable, Equatable {
    public var outcome: UpstreamRevocation
    public init(outcome: UpstreamRevocation) { self.outcome = outcome }
  }
}

/// How far the revocation at the provider is.
public enum UpstreamRevocation: String, Codable, Sendable {
  /// Done; the tokens are destroyed.
  case revoked
  /// To be tried again.
  case pending
  /// The provider has no way to do it; the tokens are destroyed.
  case unsupported
}

// MARK: revocation settled

/// The tokens of a revoked connection are gone at the provider and here, or were given up: forget
/// the wraps that were kept for it.
public enum RevocationSettledCall: Call {
  public static let name = CallName.revocationSettled

  /// Whose, and how it ended.
  public struct Request: Codable, Sendable {
    public var connectionID: String
    public var outcome: UpstreamRevocation

    public init(connectionID: String, outcome: UpstreamRevocation) {
      self.connectionID = connectionID
      self.outcome = outcome
    }
  }

  /// Nothing is answered in particular.
  public struct Response: Codable, Sendable, Equatable {
    public init() {}
  }
}

// MARK: keys

/// Which master keys does auth hold, by fingerprint, and what is sealed under them?
public enum KeysCall: Call {
  public static let name = CallName.keys

  /// Nothing is asked in particular.
  public struct Request: Codable, Sendable {
    public init() {}
  }

  /// The keys and the rows under them.
  public typealias Response = KeyReport
}

// MARK: rotate

/// Change what the keys call tells of.
public enum RotateCall: Call {
  public static let name = CallName.rotate

  /// What to do.
  public struct Request: Codable, Sendable {
    /// What may be asked for.
    public enum Action: String, Codable, Sendable {
      /// Read the key file again.
      case reload
      /// Bring all rows under the active key, whose fingerprint is given.
      case start
      /// Hold the rotation, and let it go on.
      case pause, resume
      /// Hold the key with this fingerprint no longer.
      case retire
    }

    public var action: Action
    public var fingerprint: String?
    /// Rows a second at most; nil: no limit, or with `resume` the one it had.
    public var rate: Int64?

    public init(_ action: Action, fingerprint: String? = nil, rate: Int64? = nil) {
      self.action = action
      self.fingerprint = fingerprint
      self.rate = rate
    }
  }

  /// What came of it.
  public struct Response: Codable, Sendable, Equatable {
    /// Why nothing was done: a sentence of ours. Nil when it was.
    public var problem: String?
    public var report: KeyReport

    public init(problem: String?, report: KeyReport) {
      self.problem = problem
      self.report = report
    }
  }
}
