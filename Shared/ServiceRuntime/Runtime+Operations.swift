// HTTP as services other than the edge need it: one listener, one Unix socket for the edge, and
// the ops port with the three questions of an operator's machines: is the process alive, may
// traffic come, what has it counted? Those answers hold no secret, name no user and change
// nothing.

import Configuration
import HTTPCodec
import HTTPServer
import Logging
import Metrics
import Posix

extension Runtime {
  /// Serves collected requests on a listener and on a Unix socket, on the control loop.
  public func serve(
    _ handler: any RequestHandler, on listener: ListenSetting, socket path: String?,
    bodyBytesMax: Int
  ) async throws(StartFailure) -> WebServer {
    var addresses: [SocketAddress] = []
    if case .address(let address) = listener { addresses.append(address) }
    if let path { addresses.append(.unix(path: path)) }
    var options = ListenOptions(addresses: addresses)
    options.limits.bodyBytesMax = bodyBytesMax
    do throws(Errno) {
      return try await WebServer(options, loops: [loop]) { _ in CollectingHandler(handler) }
    } catch { throw .listen(addresses.first ?? .unix(path: path ?? ""), error) }
  }

  /// Opens the ops port; nil when there is to be none.
  func serveOperations() async throws(StartFailure) -> SocketAddress? {
    guard case .address = settings.operations else { return nil }
    let handler = OperationsHandler(readiness: readiness, metrics: metrics)
    let server = try await serve(
      handler, on: settings.operations, socket: nil, bodyBytesMax: 0)
    keep(server)
    return server.addresses.first
  }
}

/// Answers /livez, /readyz and /metrics.
struct OperationsHandler: RequestHandler {
  let readiness: Readiness
  let metrics: MetricRegistry

  func respond(to request: Request) async -> Response {
    guard request.method == .get || request.method == .head else {
      return .text(status: 405, "method not allowed\n")
    }
    switch request.path {
    case "/livez": return .text("ok\n")
    case "/readyz":
      return .json(status: readiness.isReady ? 200 : 503, readiness.document)
    case "/metrics":
      return Response(
        status: 200, fields: [("content-type", "text/plain; version=0.0.4; charset=utf-8")],
        body: metrics.exposition())
    default: return .text(status: 404, "not found\n")
    }
  }
}

extension Readiness {
  /// What /readyz answers: state, what is broken or degraded, and which peers are reached. All of it
  /// is our own words, so nothing needs escaping.
  var document: [UInt8] {
    let broken = brokenConditions.map { "\"\($0.name)\":\"\($0.reason)\"" }
    let degraded = degradedConditions.map { "\"\($0.name)\":\"\($0.reason)\"" }
    let peers = peerStates.map { "\"\($0.name)\":\($0.isConnected)" }
    return Array(
      """
      {"ready":\(isReady),"state":"\(word)","broken":{\(broken.joined(separator: ","))},\
      "degraded":{\(degraded.joined(separator: ","))},\
      "peers":{\(peers.joined(separator: ","))}}
      """.utf8)
  }
}
