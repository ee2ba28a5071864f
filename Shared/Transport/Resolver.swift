// Turns host names into addresses of both families, on threads of its own, through the system's
// resolver. Literals need no resolver. Answers are kept for half a minute, failures for two seconds.

import CLinux
import Clocks
import EventLoop
import Glibc
import Posix
import Synchronization

/// Name resolution off the loops.
public final class Resolver: Sendable {
  private struct Entry {
    let addresses: [IPAddress]
    let until: Instant
  }

  private struct State {
    var known: [String: Entry] = [:]
    /// Who waits for an answer that is being looked for.
    var waiting: [String: [UnsafeContinuation<[IPAddress], Never>]] = [:]
  }

  private let pool = WorkerPool(threads: 4, queueMax: 256)
  private let state = Mutex(State())
  private let ask: @Sendable (String) -> [IPAddress]

  /// A resolver with an empty memory; `ask` may block and is called on the resolver's threads.
  public init(asking ask: @escaping @Sendable (String) -> [IPAddress] = Resolver.askSystem) {
    self.ask = ask
  }

  /// The addresses of `host`, a name or a literal without brackets, in the system's order of
  /// preference; empty when it has none or the resolver is overloaded. However many ask, one name is
  /// looked for once. May take as long as the system's resolver does: the caller has the deadline.
  public func addresses(of host: String) async -> [IPAddress] {
    if let literal = IPAddress(host) { return [literal] }
    return await withUnsafeContinuation { continuation in
      switch turn(host, continuation, now: .now) {
      case .known(let addresses): continuation.resume(returning: addresses)
      case .asks: Task { await look(for: host) }
      case .waits: break
      }
    }
  }

  private enum Turn {
    case known([IPAddress])
    case asks
    case waits
  }

  private func turn(
    _ host: String, _ continuation: UnsafeContinuation<[IPAddress], Never>, now: Instant
  ) -> Turn {
    state.withLock { state in
      if let entry = state.known[host], entry.until > now { return .known(entry.addresses) }
      let asks = state.waiting[host] == nil
      state.waiting[host, default: []].append(continuation)
      return asks ? .asks : .waits
    }
  }

  private func look(for host: String) async {
    let addresses = (try? await pool.run { [ask] in ask(host) }) ?? []
    let until = Instant.now.advanced(by: addresses.isEmpty ? .seconds(2) : .seconds(30))
    let waiting = state.withLock { state in
      if state.known.count >= 1024 { state.known.removeAll() }
      state.known[host] = Entry(addresses: addresses, until: until)
      return state.waiting.removeValue(forKey: host) ?? []
    }
    for continuation in waiting { continuation.resume(returning: addresses) }
  }

  /// What the system's resolver knows of `host`. Blocks.
  @Sendable public static func askSystem(_ host: String) -> [IPAddress] {
    var hints = addrinfo()
    hints.ai_socktype = Int32(bindery_sock_stream)
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(host, nil, &hints, &list) == 0 else { return [] }
    defer { freeaddrinfo(list) }
    var addresses: [IPAddress] = []
    var entry = list
    while let info = entry {
      var storage = sockaddr_storage()
      let length = min(Int(info.pointee.ai_addrlen), MemoryLayout<sockaddr_storage>.size)
      withUnsafeMutableBytes(of: &storage) {
        $0.copyMemory(from: .init(start: info.pointee.ai_addr, count: length))
      }
      if case .ip(let address, _) = SocketAddress(storage), !addresses.contains(address) {
        addresses.append(address)
      }
      entry = info.pointee.ai_next
    }
    return addresses
  }
}
