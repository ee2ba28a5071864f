// Finds the address of whoever really asks when the service listens behind a proxy of the operator:
// the last forwarded address that no trusted proxy has. Through our own edge it is known already.

import HTTPServer
import Posix

/// Whose forwarding field is believed.
struct ClientAddress: Sendable {
  /// Addresses of proxies.
  let trusted: [CIDR]

  /// The request with its client's address.
  func resolve(_ request: Request) -> Request {
    guard !request.viaEdge, let peer = request.client, isTrusted(peer) else { return request }
    var client = peer
    let chain = request.fields.filter { $0.name == "x-forwarded-for" }
      .flatMap { $0.value.utf8.split(separator: UInt8(ascii: ",")) }
    for entry in chain.reversed() {
      let text = entry.drop { $0 == 0x20 }.reversed().drop { $0 == 0x20 }.reversed()
      guard let address = IPAddress(String(decoding: Array(text), as: UTF8.self)) else { break }
      client = address
      if !isTrusted(address) { break }
    }
    return Request(
      method: request.method, path: request.path, query: request.query, fields: request.fields,
      body: request.body, client: client, viaEdge: false)
  }

  private func isTrusted(_ address: IPAddress) -> Bool {
    trusted.contains { $0.contains(address) }
  }
}
