// Finds out where an origin is, before a deadline. The resolver may take longer than the caller has
// time; its answer then serves whoever asks next. Loop-confined.

import Clocks
import EventLoop
import Posix
import Transport

/// An answer of the resolver that is on its way to the loop.
final class Lookup {
  private var addresses: [IPAddress]?

  /// The addresses of a TCP origin; empty when its name has none.
  /// - Throws: `ConnectError.timeout`.
  static func addresses(
    of origin: Origin, resolver: Resolver, loop: EventLoop, parker: Parker, deadline: Instant
  ) async throws(ConnectError) -> [IPAddress] {
    if let literal = IPAddress(origin.host) { return [literal] }
    let lookup = Lookup()
    let bound = LoopBound(here: (lookup, parker), on: loop)
    let host = origin.host
    loop.spawn {
      let addresses = await resolver.addresses(of: host)
      bound.value.0.addresses = addresses
      bound.value.1.unpark()
    }
    let timer = Timer(loop: loop, parker: parker)
    timer.arm(at: deadline)
    defer { timer.cancel() }
    while true {
      if let addresses = lookup.addresses { return addresses }
      if timer.fired { throw .timeout }
      await parker.park()
    }
  }

  /// Where to connect for `origin`.
  /// - Throws: `ConnectError.timeout`.
  static func targets(
    of origin: Origin, resolver: Resolver, loop: EventLoop, parker: Parker, deadline: Instant
  ) async throws(ConnectError) -> [SocketAddress] {
    if origin.isUnix { return [.unix(path: origin.host)] }
    return try await addresses(
      of: origin, resolver: resolver, loop: loop, parker: parker, deadline: deadline
    ).map { .ip($0, port: origin.port) }
  }
}
