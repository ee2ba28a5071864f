// What all loops of the edge share: settings in the form that requests need, the guard, metrics, and
// the doors to other services. Immutable or behind its own lock.

import Accounts
import Bytes
import Clocks
import Configuration
import Database
import EventLoop
import HTTPClient
import HTTPCodec
import Logging
import Metrics
import Posix
import Providers
import RPC
import ServiceRuntime
import Synchronization
import Transport
import Vault

/// The surroundings of every request.
final class EdgeWorld: Sendable {
  let admission: Admission
  let guardian: Guard
  /// The catalogue at the start; each handler has the present one.
  let firstServices: UpstreamTable
  /// Names of services in metrics, fixed at the start.
  let serviceRows: LabelNames
  let names: Resolver
  let clientTLS: ClientTLS
  let epochs: RevocationEpochs
  /// What the names in network policies stand for.
  let namedNetworks: NamedNetworks
  /// Whether plans end anything.
  let hasPlans: Bool
  let activity: ActivityStore
  let metrics: EdgeMetrics
  let handlers = EdgeHandlers()
  let runtime: Runtime
  let dataDirectory: String
  let keyEnvironment: KeyEnvironment
  let publicURL: [UInt8]
  /// Who issues access tokens: PUBLIC_URL.
  let issuer: String
  let dashboardURL: [UInt8]
  /// The dashboard's origins.
  private let readers: [[UInt8]]
  let authOrigin: Origin
  let billingOrigin: Origin
  /// Who renews tokens.
  let scheduler: RPCClient
  /// Who opens data keys for programs' keys.
  let auth: RPCClient
  let relayLimits = RelayLimits()
  let ownRelayLimits = RelayLimits(answerSeconds: 60)

  init(
    _ settings: EdgeSettings, runtime: Runtime, listening: [SocketAddress],
    epochs: RevocationEpochs, clientTLS: ClientTLS, activity: ActivityStore,
    scheduler: RPCClient, auth: RPCClient
  ) {
    self.scheduler = scheduler
    self.auth = auth
    let common = settings.common
    let adminOrigins = common.adminURLs.map(\.origin)
    admission = Admission(
      authorities: Self.authorities(common.publicURL, listening),
      origins: settings.allowedOrigins.joined(with: [common.publicURL.origin] + adminOrigins),
      trustedProxies: settings.trustedProxies)
    guardian = Guard(
      badMax: settings.badCredentialsMax, perHourMax: settings.requestsPerHourMax,
      exempt: settings.neverBlocked + settings.trustedProxies)
    serviceRows = LabelNames(
      "service", settings.catalogue.providers.map(\.id) + ["added_later"])
    firstServices = UpstreamTable(settings.catalogue, rows: serviceRows)
    names = Resolver()
    self.clientTLS = clientTLS
    self.epochs = epochs
    namedNetworks = NamedNetworks(settings.namedNetworks)
    hasPlans = settings.plan != nil
    self.activity = activity
    metrics = EdgeMetrics(runtime.metrics, services: serviceRows)
    self.runtime = runtime
    dataDirectory = common.dataDirectory
    keyEnvironment = KeyEnvironment(rawValue: settings.secretPrefix) ?? .live
    issuer = common.publicURL.origin
    publicURL = Array(common.publicURL.origin.utf8)
    dashboardURL = Array("\(common.adminURLs[0].origin)/dashboard".utf8)
    readers = adminOrigins.map { Array($0.utf8) }
    authOrigin = Origin(unixPath: "\(common.runDirectory)/auth.http.sock")
    billingOrigin = Origin(unixPath: "\(common.runDirectory)/billing.http.sock")
  }

  /// What `Host` may say: PUBLIC_URL's authority, with and without a port that is the scheme's own,
  /// and each listener's; `localhost` counts for a loopback listener.
  private static func authorities(_ url: WebURL, _ listening: [SocketAddress]) -> [String] {
    var texts = [url.authority.description]
    if url.authority.port == nil {
      texts.append("\(url.authority.hostText):\(url.scheme.defaultPort)")
    } else if url.port == url.scheme.defaultPort {
      texts.append(url.authority.hostText)
    }
    for case .ip(let address, let port) in listening {
      texts.append(SocketAddress.ip(address, port: port).description)
      if address.isLoopback || address.high | address.low == 0 || address.v4Bits == 0 {
        texts += ["localhost:\(port)", "127.0.0.1:\(port)", "[::1]:\(port)"]
      }
    }
    return texts
  }

  /// Which of the dashboard's origins a request comes from; nil for none of them.
  func reader(of head: RequestHead, in bytes: UnsafeRawBufferPointer) -> Int? {
    guard let origin = head.value(.origin, in: bytes) else { return nil }
    return readers.firstIndex { origin.elementsEqual($0) }
  }

  /// Lets the dashboard read an answer that the edge gives in auth's place.
  func writeReader(_ reader: Int, to output: Buffer) {
    output.append("access-control-allow-origin: ")
    output.append(readers[reader])
    output.append("\r\naccess-control-allow-credentials: true\r\nvary: Origin\r\n")
  }

  /// Takes over the blocks that were in force before this process.
  func restoreBlocks() async {
    guard let blocks = try? await activity.blocks() else { return }
    let now = UnixTime.now
    for (address, until) in blocks {
      guardian.restore(address, seconds: Int(until.seconds - now.seconds), now: .now)
    }
  }

  /// Blocks a client for others' sake, also over a restart.
  func block(_ client: IPAddress, seconds: Int) {
    runtime.log.warning(
      "client_blocked",
      ["network": .text(.network(of: client)), "seconds": .count(seconds)])
    metrics.blocks.add()
    let (activity, until) = (activity, UnixTime.now.advanced(bySeconds: Int64(seconds)))
    runtime.loop.spawn {
      try? await activity.block(client.clientNetwork, reason: "bad_credentials", until: until)
    }
  }
}

extension AllowedOrigins {
  /// All allowed origins, or nil for any.
  func joined(with others: [String]) -> [String]? {
    switch self {
    case .any: nil
    case .listed(let listed): listed + others
    }
  }
}

/// The handlers of all loops, for what reaches them from outside.
final class EdgeHandlers: Sendable {
  private let held = Mutex<[LoopBound<EdgeHandler>]>([])

  var all: [LoopBound<EdgeHandler>] { held.withLock { $0 } }

  func add(_ handler: LoopBound<EdgeHandler>) { held.withLock { $0.append(handler) } }
}
