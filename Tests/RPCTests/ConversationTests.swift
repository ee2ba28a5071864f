// Real sockets, both sides of a conversation: answers, refusals, deadlines, death and return of
// a peer, strangers who send garbage or nothing, and descriptors that must not leak.

import Bytes
import CLinux
import Clocks
import EventLoop
import Glibc
import Logging
import Posix
import Synchronization
import TestFolders
import Testing
import Transport

@testable import RPC

/// A scheduler with scripted answers at a socket of its own, and clients of it.
final class Stage: Sendable {
  private let home = TestFolder("rpc")
  let loop: EventLoop
  let policy = PeerPolicy(userID: geteuid(), groupID: getegid())
  let limits: RPCLimits

  init(limits: RPCLimits = RPCLimits()) throws {
    loop = try EventLoop(name: "rpc-test")
    loop.start()
    self.limits = limits
  }

  var folder: String { home.path }
  var path: String { "\(folder)/\(Service.scheduler.socketName)" }

  /// Opens the scheduler's door; `status` answers with the state that `answer` gives.
  func open(
    answer: @escaping @Sendable (CallContext) async -> String = { _ in "ready" }
  ) async throws -> LoopBound<RPCServer> {
    var handlers = CallHandlers()
    handlers.answer(StatusCall.self) { _, context in
      StatusCall.Response(
        service: "scheduler", version: "1", uptimeSeconds: 1, ready: true,
        state: await answer(context), peers: [:], counters: [:])
    }
    let bound = try await loop.run { [self, handlers] in
      Result {
        LoopBound(
          here: try RPCServer(
            try ListeningSocket(.unix(path: path)), service: .scheduler, build: "1",
            policy: policy, handlers: handlers, limits: limits, loop: loop, log: .discarding),
          on: loop)
      }
    }.get()
    loop.spawn { await bound.value.run() }
    return bound
  }

  func client(as service: Service = .auth, limits: RPCLimits = RPCLimits()) -> RPCClient {
    RPCClient(
      to: .scheduler, as: service, build: "1", runDirectory: folder, policy: policy,
      limits: limits, loop: loop, log: .discarding)
  }

  /// A plain blocking socket at the scheduler's door.
  func knock() throws -> Descriptor {
    let number = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0)
    let descriptor = Descriptor(owning: number)
    let code = try SocketAddress.unix(path: path).withSockAddr { connect(number, $0, $1) }
    try #require(code == 0)
    return descriptor
  }

  func status(_ client: RPCClient, within: Duration? = nil) async -> Result<String, RPCError> {
    do throws(RPCError) {
      return .success(try await client.call(StatusCall.self, .init(), within: within).state)
    } catch { return .failure(error) }
  }
}

/// Waits until `condition` holds, at most ten seconds.
func eventually(_ condition: () async -> Bool) async -> Bool {
  let end = Instant.now.advanced(by: .seconds(10))
  while Instant.now < end {
    if await condition() { return true }
    await Task.yield()
  }
  return false
}

private func openDescriptors() -> Int {
  guard let folder = opendir("/proc/self/fd") else { return -1 }
  defer { closedir(folder) }
  var count = 0
  while readdir(folder) != nil { count += 1 }
  return count
}

/// Reads until the peer closes, at most five seconds.
private func readToEnd(_ number: Int32) -> [UInt8]? {
  var limit = timeval(tv_sec: 5, tv_usec: 0)
  setsockopt(number, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
  var all: [UInt8] = []
  var room = [UInt8](repeating: 0, count: 4_096)
  while true {
    let count = recv(number, &room, room.count, 0)
    if count > 0 { all += room[..<count] }
    if count == 0 || (count < 0 && errno == ECONNRESET) { return all }
    if count < 0 { return nil }
  }
}

@Suite("RPC conversation", .serialized) struct ConversationTests {
  @Test("carries a call and its answer") func answer() async throws {
    let stage = try Stage()
    let server = try await stage.open()
    let client = stage.client()
    #expect(await stage.status(client) == .success("ready"))
    #expect(client.isConnected)
    await client.stop()
    withExtendedLifetime(server) {}
  }

  @Test("carries many calls at once over one connection") func concurrent() async throws {
    let stage = try Stage()
    let server = try await stage.open()
    let client = stage.client()
    let good = await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<200 { group.addTask { await stage.status(client) == .success("ready") } }
      return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
    }
    #expect(good == 200)
    #expect(await stage.loop.run { server.value.connectionCount } == 1)
  }

  @Test("refuses calls of the wrong service and calls nobody answers") func refusals() async throws
  {
    let stage = try Stage()
    let server = try await stage.open()
    for (service, refusal) in [(Service.edge, Refusal.notAllowed), (.auth, .unknownCall)] {
      let client = stage.client(as: service)
      await #expect(throws: RPCError.refused(.scheduler, refusal)) {
        try await client.call(ShredCall.self, .init(connectionID: "x"))
      }
    }
    withExtendedLifetime(server) {}
  }

  @Test("ends a call at its deadline and goes on with the next") func deadline() async throws {
    let stage = try Stage()
    let slow = Atomic<Bool>(true)
    let server = try await stage.open { context in
      // The handler waits as long as the caller says it waits, and a little longer.
      while slow.load(ordering: .relaxed), Instant.now < context.deadline.advanced(by: .seconds(5))
      {
        await Task.yield()
      }
      return "late"
    }
    let client = stage.client()
    #expect(
      await stage.status(client, within: .milliseconds(50))
        == .failure(.deadlineExceeded(.scheduler)))
    slow.store(false, ordering: .relaxed)
    #expect(await stage.status(client) == .success("late"))
    withExtendedLifetime(server) {}
  }

  @Test(
    "bounds the calls under way on both sides, and loses none of the others",
    arguments: [
      true, false,
    ])
  func bounds(atTheServer: Bool) async throws {
    var small = RPCLimits()
    small.callsMax = 4
    let stage = try Stage(limits: atTheServer ? small : RPCLimits())
    let held = Atomic<Bool>(true)
    let server = try await stage.open { _ in
      while held.load(ordering: .relaxed) { await Task.yield() }
      return "done"
    }
    let client = stage.client(limits: atTheServer ? RPCLimits() : small)
    #expect(await eventually { client.isConnected })
    let refusal: RPCError =
      atTheServer ? .refused(.scheduler, .overloaded) : .overloaded(.scheduler)
    let outcomes = await withTaskGroup(of: Result<String, RPCError>.self) { group in
      for _ in 0..<10 { group.addTask { await stage.status(client, within: .seconds(20)) } }
      var outcomes: [Result<String, RPCError>] = []
      for await outcome in group {
        outcomes.append(outcome)
        if outcomes.count == 6 { held.store(false, ordering: .relaxed) }
      }
      return outcomes
    }
    #expect(outcomes.prefix(6).allSatisfy { $0 == .failure(refusal) })
    #expect(outcomes.suffix(4).allSatisfy { $0 == .success("done") })
    #expect(refusal.isSurelyUndone)
    withExtendedLifetime(server) {}
  }

  @Test("fails within 100 ms when nobody is there") func nobody() async throws {
    let stage = try Stage()
    let client = stage.client()
    let start = Instant.now
    #expect(await stage.status(client) == .failure(.unreachable(.scheduler)))
    #expect(start.duration(to: .now) < .milliseconds(400))  // 100 ms and a busy machine
  }

  @Test("fails calls under way when the peer dies, and finds the next one") func death()
    async throws
  {
    let stage = try Stage()
    let never = Atomic<Bool>(true)
    let first = try await stage.open { _ in
      while never.load(ordering: .relaxed) { await Task.yield() }
      return "never"
    }
    let client = stage.client()
    #expect(await eventually { client.isConnected })
    async let hanging = stage.status(client, within: .seconds(20))
    #expect(await eventually { await stage.loop.run { first.value.callsUnderWay } == 1 })
    let start = Instant.now
    await stage.loop.run { await first.value.drain(deadline: .now) }
    #expect(await hanging == .failure(.disconnected(.scheduler)))
    #expect(start.duration(to: .now) < .milliseconds(500))
    never.store(false, ordering: .relaxed)
    unlink(stage.path)
    let second = try await stage.open { _ in "again" }
    #expect(await eventually { await stage.status(client) == .success("again") })
    withExtendedLifetime(second) {}
  }

  static let garbage: [[UInt8]] = [
    Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8),
    [0xFF, 0xFF, 0xFF, 0xFF],
    [0, 0, 0, 14, 1, 2],
    Frame(version: 0, kind: .call, id: 0, payload: []).encoded(),
    Frame(version: 0, kind: .greeting, id: 0, payload: Array("{}".utf8)).encoded(),
    Frame(version: 0, kind: .greeting, id: 0, payload: []).encoded(),
    [0, 0, 0],
  ]

  @Test("closes only the connection that sent a bad frame") func badFrames() async throws {
    let stage = try Stage()
    let server = try await stage.open()
    let client = stage.client()
    #expect(await stage.status(client) == .success("ready"))
    for bytes in Self.garbage {
      let stranger = try stage.knock()
      _ = bytes.withUnsafeBytes { send(stranger.number, $0.baseAddress, $0.count, 0) }
      shutdown(stranger.number, Int32(SHUT_WR))
      #expect(readToEnd(stranger.number) != nil, "the connection stays open")
      #expect(await stage.status(client) == .success("ready"))
    }
    #expect(await eventually { await stage.loop.run { server.value.connectionCount } == 1 })
  }

  @Test("cuts a peer that says nothing, and one that sends a byte at a time") func slow()
    async throws
  {
    var limits = RPCLimits()
    limits.greetingMax = .milliseconds(150)
    limits.stallMax = .milliseconds(150)
    let stage = try Stage(limits: limits)
    let server = try await stage.open()
    let silent = try stage.knock()
    #expect(readToEnd(silent.number) != nil)

    let dripping = try stage.knock()
    let greeting = try Greeting(service: .auth, build: "1").frame().encoded()
    _ = greeting.withUnsafeBytes { send(dripping.number, $0.baseAddress, $0.count, 0) }
    let call = Frame(version: 1, kind: .call, id: 1, payload: [UInt8](repeating: 0, count: 4_000))
      .encoded()
    let start = Instant.now
    var sent = 0
    while sent < call.count, start.duration(to: .now) < .seconds(5) {
      let next = Instant.now.advanced(by: .milliseconds(10))
      if send(dripping.number, [call[sent]], 1, Int32(MSG_NOSIGNAL)) < 0 { break }
      sent += 1
      while Instant.now < next { await Task.yield() }
    }
    #expect(sent < 100, "a byte every 10 ms kept the connection")
    #expect(await eventually { await stage.loop.run { server.value.connectionCount } == 0 })
  }

  @Test("drops descriptors that a peer attaches, and leaks none of its own") func descriptors()
    async throws
  {
    let stage = try Stage()
    let server = try await stage.open()
    let client = stage.client()
    #expect(await stage.status(client) == .success("ready"))
    let before = openDescriptors()
    for _ in 0..<50 {
      let stranger = try stage.knock()
      sendDescriptors(over: stranger.number)
      shutdown(stranger.number, Int32(SHUT_WR))
      _ = readToEnd(stranger.number)
    }
    for _ in 0..<50 {
      let other = stage.client(as: .edge)
      #expect(await stage.status(other) == .success("ready"))
      await other.stop()
    }
    #expect(await eventually { await stage.loop.run { server.value.connectionCount } == 1 })
    // Suites that run at the same time open a few; one leaked by each peer would be fifty.
    #expect(await eventually { openDescriptors() < before + 50 })
  }

  /// Sends one byte with three descriptors attached (SCM_RIGHTS).
  private func sendDescriptors(over number: Int32) {
    var byte: UInt8 = 0
    var control = [UInt8](repeating: 0, count: 32)
    control.withUnsafeMutableBytes { control in
      control.storeBytes(of: 28, as: UInt64.self)  // cmsg_len: 16 of head, three numbers
      control.storeBytes(of: SOL_SOCKET, toByteOffset: 8, as: Int32.self)
      control.storeBytes(of: 1, toByteOffset: 12, as: Int32.self)  // SCM_RIGHTS
      for index in 0..<3 {
        control.storeBytes(of: 0, toByteOffset: 16 + 4 * index, as: Int32.self)
      }
      withUnsafeMutablePointer(to: &byte) { byte in
        var part = iovec(iov_base: byte, iov_len: 1)
        withUnsafeMutablePointer(to: &part) { part in
          var message = msghdr()
          message.msg_iov = part
          message.msg_iovlen = 1
          message.msg_control = control.baseAddress
          message.msg_controllen = 32
          #expect(sendmsg(number, &message, 0) == 1)
        }
      }
    }
  }

  @Test("serves callers of the next protocol version") func nextVersion() async throws {
    let stage = try Stage()
    let server = try await stage.open()
    let newer = try stage.knock()
    let greeting = try Greeting(
      service: .auth, build: "2", range: ProtocolRange(lowest: 1, highest: 2)
    ).frame().encoded()
    let call = Frame(
      version: 1, kind: .call, id: 5, deadlineMilliseconds: 1_000,
      payload: try CallFrame.encode(.status, request: Array(#"{"more":1}"#.utf8))
    ).encoded()
    let unknown = Frame(
      version: 1, kind: .call, id: 6, deadlineMilliseconds: 1_000,
      payload: [5] + Array("dance{}".utf8)
    ).encoded()
    let bytes = greeting + call + unknown
    _ = bytes.withUnsafeBytes { send(newer.number, $0.baseAddress, $0.count, 0) }
    var decoder = FrameDecoder()
    var frames: [Frame] = []
    var room = [UInt8](repeating: 0, count: 4_096)
    while frames.count < 3 {
      let count = recv(newer.number, &room, room.count, 0)
      try #require(count > 0)
      room[..<count].withUnsafeBytes { decoder.append($0) }
      while let frame = try decoder.next() {
        frames.append(frame)
        decoder.version = 1
      }
    }
    #expect(frames[0].kind == .greeting)
    let answers = Dictionary(uniqueKeysWithValues: frames[1...].map { ($0.id, $0) })
    #expect(answers[5]?.kind == .reply)
    #expect(answers[6]?.kind == .refusal)
    #expect(answers[6]?.payload == Array("unknown_call".utf8))
    withExtendedLifetime(server) {}
  }

  @Test("lets calls under way finish when it drains, and refuses new ones") func drain()
    async throws
  {
    let stage = try Stage()
    let held = Atomic<Bool>(true)
    let server = try await stage.open { _ in
      while held.load(ordering: .relaxed) { await Task.yield() }
      return "finished"
    }
    let client = stage.client()
    async let slow = stage.status(client, within: .seconds(10))
    #expect(await eventually { await stage.loop.run { server.value.callsUnderWay } == 1 })
    let loop = stage.loop
    async let drained: Void = loop.run {
      await server.value.drain(deadline: Instant.now.advanced(by: .seconds(10)))
    }
    #expect(
      await eventually {
        await stage.status(client, within: .seconds(1)) == .failure(.refused(.scheduler, .draining))
      })
    held.store(false, ordering: .relaxed)
    #expect(await slow == .success("finished"))
    await drained
    #expect(await stage.loop.run { server.value.connectionCount } == 0)
  }
}
