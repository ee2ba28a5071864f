// Exchanges refresh tokens: the only place of the system that does. For each connection one exchange
// at a time, over all processes; the intent is durable before anything is sent, the answer before
// anything else is done with it. A caller that goes away cancels nothing.

import Accounts
import Clocks
import Configuration
import Database
import HTTPClient
import HTTPCodec
import Logging
import OAuth
import Providers
import RPC
import Synchronization
import Vault

/// The keeper of tokens.
actor Refresher {
  typealias Outcome = RefreshCall.Response

  /// What the refresher works with.
  struct Parts: Sendable {
    let bindery: DatabaseThread
    let tokens: DatabaseThread
    let locks: RefreshLocks
    let gates: ProviderGates
    let fetch: any Fetching
    let metrics: RefreshMetrics
    let log: Log
    /// Our clients with a secret from the settings, by service.
    let clients: [String: OAuthClient]
    let pause: @Sendable (Duration) async -> Void
    /// For how long another process that has the lock is waited for.
    var lockPatience = Duration.seconds(25)
  }

  private let parts: Parts
  private var underWay: [String: UnderWay] = [:]

  /// A run and what it was begun for.
  private struct UnderWay {
    let task: Task<Outcome, Never>
    let urgency: SharedUrgency
    let generation: UInt64
    let wasRefused: Bool
  }

  init(_ parts: Parts) { self.parts = parts }

  /// How many refreshes are under way.
  var count: Int { underWay.count }

  /// Makes sure that the store holds a later generation than `generation`, or says why not.
  func refresh(
    _ connection: String, generation: UInt64, key: consuming DataKey, wasRefused: Bool,
    urgency: Urgency
  ) async -> Outcome {
    while let run = underWay[connection] {
      if urgency == .onDemand, run.urgency.lift() { await parts.gates.lift(connection) }
      let outcome = await run.task.value
      // Begun for less, it may have left the very tokens that this caller can not use.
      let isEnough = run.generation >= generation && (run.wasRefused || !wasRefused)
      switch outcome.outcome {
      case .fresh where !isEnough, .unrefreshable where !isEnough: forget(run.task, of: connection)
      default: return outcome
      }
    }
    let held = HeldKey(key)
    let shared = SharedUrgency(urgency)
    let run = RefreshRun(
      parts: parts, connection: connection, generation: generation, key: held,
      wasRefused: wasRefused, urgency: shared)
    let task = Task { await run.run() }
    underWay[connection] = UnderWay(
      task: task, urgency: shared, generation: generation, wasRefused: wasRefused)
    parts.metrics.underWay.set(Int64(underWay.count))
    let outcome = await task.value
    forget(task, of: connection)
    return outcome
  }

  /// That run is over; another one may have begun already.
  private func forget(_ task: Task<Outcome, Never>, of connection: String) {
    guard underWay[connection]?.task == task else { return }
    underWay[connection] = nil
    parts.metrics.underWay.set(Int64(underWay.count))
  }

  /// Takes over the rates of a catalogue that was loaded again.
  func reload() async { await parts.gates.reload() }

  /// Waits for the exchanges under way.
  func finish(until deadline: Instant) async {
    while !underWay.isEmpty, Instant.now < deadline { await parts.pause(.milliseconds(20)) }
  }
}

/// Who waits for a refresh, which may change while it runs.
final class SharedUrgency: Sendable {
  private let held: Mutex<Urgency>

  init(_ urgency: Urgency) { held = Mutex(urgency) }

  var value: Urgency { held.withLock { $0 } }

  /// A request waits from now on; whether none did before.
  func lift() -> Bool {
    held.withLock { urgency in
      defer { urgency = .onDemand }
      return urgency == .background
    }
  }
}

/// A data key shared by reference for the length of one refresh.
final class HeldKey: Sendable {
  let key: DataKey

  init(_ key: consuming DataKey) { self.key = key }
}

/// The gates of all providers, made when first needed.
final class ProviderGates: Sendable {
  private let catalogue: @Sendable () -> Catalogue
  private let pause: @Sendable (Duration) async -> Void
  private let clock: @Sendable () -> Instant
  private let gates = Mutex<[String: ProviderGate]>([:])

  init(
    catalogue: @escaping @Sendable () -> Catalogue,
    pause: @escaping @Sendable (Duration) async -> Void,
    clock: @escaping @Sendable () -> Instant = { .now }
  ) {
    self.catalogue = catalogue
    self.pause = pause
    self.clock = clock
  }

  /// The rules of a service; the standard ones when it left the catalogue.
  func rules(of service: String) -> RefreshRules { catalogue()[service]?.refresh ?? .standard }

  /// Lets what waits for `connection` go before background work.
  func lift(_ connection: String) async {
    for gate in gates.withLock({ Array($0.values) }) { await gate.lift(connection) }
  }

  /// Where a token of `service` may be sent: a service that left the catalogue has only what a
  /// stranger named.
  func policy(of service: String, for url: WebURL) -> AddressPolicy {
    catalogue()[service]?.policy(for: url) ?? .strangerNamed(allowsLoopback: false)
  }

  /// Gives the gates that are there the rates of the catalogue as it is now.
  func reload() async {
    for (service, gate) in gates.withLock({ $0 }) {
      await gate.setRate(perSecond: rules(of: service).maxPerSecond)
    }
  }

  /// The gate of a service.
  func gate(of service: String) -> ProviderGate {
    let rate = rules(of: service).maxPerSecond
    return gates.withLock { gates in
      if let gate = gates[service] { return gate }
      let gate = ProviderGate(perSecond: rate, pause: pause, clock: clock)
      gates[service] = gate
      return gate
    }
  }
}
