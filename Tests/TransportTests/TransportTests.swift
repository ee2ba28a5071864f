// Shows streams over loopback and Unix sockets, plain and under TLS: every byte arrives, ends and
// cuts are told apart, and a client connects only to the name on the certificate.

import Bytes
import Clocks
import EventLoop
import Glibc
import Posix
import TestFolders
import Testing
import Transport

/// A certificate authority and a server certificate for `localhost`, made anew for each run.
struct TestCertificates {
  private let home = TestFolder("tls")
  var folder: String { home.path }
  var authority: String { "\(folder)/ca.pem" }
  var certificate: String { "\(folder)/cert.pem" }
  var key: String { "\(folder)/key.pem" }

  init() throws {
    try Self.openssl([
      "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
      "\(folder)/ca.key", "-out", "\(folder)/ca.pem", "-days", "2", "-subj", "/CN=test authority",
    ])
    try Self.openssl([
      "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
      "\(folder)/key.pem", "-out", "\(folder)/req.pem", "-subj", "/CN=ignored", "-addext",
      "subjectAltName=DNS:localhost",
    ])
    try Self.openssl([
      "x509", "-req", "-in", "\(folder)/req.pem", "-CA", "\(folder)/ca.pem", "-CAkey",
      "\(folder)/ca.key", "-CAcreateserial", "-out", "\(folder)/cert.pem", "-days", "1",
      "-copy_extensions", "copy",
    ])
  }

  private static func openssl(_ arguments: [String]) throws {
    var pid = pid_t()
    var argv: [UnsafeMutablePointer<CChar>?] = (["openssl"] + arguments).map { strdup($0) }
    argv.append(nil)
    defer { for argument in argv { free(argument) } }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
    defer { posix_spawn_file_actions_destroy(&actions) }
    try #require(posix_spawnp(&pid, "openssl", &actions, nil, argv, environ) == 0)
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0 {}
    try #require(status == 0, "openssl \(arguments[0])")
  }
}

@Suite("Streams") struct StreamTests {
  /// Sends `bytes` to an echo over a socket at `address` and gives back what returns.
  static func echo(
    _ bytes: [UInt8], over address: SocketAddress, server: ServerTLS? = nil,
    client: ClientTLS? = nil, host: String = "localhost"
  ) async throws -> Result<[UInt8], ConnectError> {
    let loop = try EventLoop(name: "test")
    loop.start()
    defer { loop.stop() }
    return await loop.run {
      do throws(Errno) {
        let listener = try Listener(try ListeningSocket(address), loop: loop)
        let bound = LoopBound(here: listener, on: loop)
        loop.spawn {
          await bound.value.accept { descriptor, _ in
            let parker = Parker()
            guard let stream = try? Stream(owning: descriptor, loop: loop, parker: parker) else {
              return
            }
            let connection = LoopBound(here: (stream, parker), on: loop)
            loop.spawn { await Self.answer(connection.value.0, connection.value.1, server) }
          }
        }
        defer { listener.stop() }
        return await Self.ask(bytes, at: listener.address, loop, client, host)
      } catch { return .failure(.refused(error)) }
    }
  }

  private static func answer(_ stream: Stream, _ parker: Parker, _ tls: ServerTLS?) async {
    if let tls {
      let deadline = Instant.now.advanced(by: .seconds(5))
      do {
        try await Connector.handshake(
          stream, with: tls.makeSession(), loop: stream.loop, parker: parker, deadline: deadline)
      } catch { return }
    }
    let buffer = Buffer(capacity: 4096)
    var ended = false
    while !ended || !buffer.isEmpty {
      if !buffer.isEmpty {
        switch stream.write(from: buffer) {
        case .bytes: continue
        case .wouldBlock: await parker.park()
        case .failed: return
        }
        continue
      }
      switch stream.read(into: buffer) {
      case .bytes: continue
      case .wouldBlock: await parker.park()
      case .end: ended = true
      case .failed: return
      }
    }
    stream.close()
  }

  private static func ask(
    _ bytes: [UInt8], at address: SocketAddress, _ loop: EventLoop, _ tls: ClientTLS?,
    _ host: String
  ) async -> Result<[UInt8], ConnectError> {
    let parker = Parker()
    let deadline = Instant.now.advanced(by: .seconds(10))
    do throws(ConnectError) {
      let stream = try await Connector.connect(
        to: address, loop: loop, parker: parker, deadline: deadline)
      if let tls {
        try await Connector.handshake(
          stream, with: tls.makeSession(host: host), loop: loop, parker: parker,
          deadline: deadline)
      }
      let out = Buffer(capacity: max(bytes.count, 1))
      out.append(bytes)
      let back = Buffer(capacity: 65536)
      while back.count < bytes.count {
        var moved = false
        if !out.isEmpty, case .bytes = stream.write(from: out) { moved = true }
        back.reserve(65536)
        switch stream.read(into: back) {
        case .bytes: moved = true
        case .wouldBlock: break
        case .end, .failed: return .success([UInt8](back.readable))
        }
        if !moved { await parker.park() }
      }
      return .success([UInt8](back.readable))
    } catch { return .failure(error) }
  }

  static let loopback = SocketAddress("127.0.0.1:0")!

  @Test("carry megabytes both ways at once", arguments: [0, 1, 65_537, 5_000_000])
  func bulk(count: Int) async throws {
    let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 7) }
    #expect(try await Self.echo(bytes, over: Self.loopback) == .success(bytes))
    let path = "/tmp/bindery-test-\(getpid())-\(count).sock"
    #expect(try await Self.echo(bytes, over: .unix(path: path)) == .success(bytes))
    unlink(path)
  }

  @Test("carry megabytes under TLS") func secureBulk() async throws {
    let files = try TestCertificates()
    let bytes = (0..<3_000_001).map { UInt8(truncatingIfNeeded: $0 &* 40_503 >> 3) }
    let result = try await Self.echo(
      bytes, over: Self.loopback,
      server: ServerTLS(certificatePath: files.certificate, keyPath: files.key),
      client: ClientTLS(trustPath: files.authority))
    #expect(result == .success(bytes))
  }

  @Test("refuse a certificate for another name") func wrongName() async throws {
    let files = try TestCertificates()
    let result = try await Self.echo(
      [1], over: Self.loopback,
      server: ServerTLS(certificatePath: files.certificate, keyPath: files.key),
      client: ClientTLS(trustPath: files.authority), host: "other.example")
    #expect(result == .failure(.tls(.certificate(62))))  // X509_V_ERR_HOSTNAME_MISMATCH
  }

  @Test("refuse a certificate of an unknown authority") func unknownAuthority() async throws {
    let files = try TestCertificates()
    let result = try await Self.echo(
      [1], over: Self.loopback,
      server: ServerTLS(certificatePath: files.certificate, keyPath: files.key),
      client: ClientTLS(trustPath: nil))
    guard case .failure(.tls(.certificate)) = result else {
      Issue.record("connected to a stranger: \(result)")
      return
    }
  }

  @Test("refuse a key that is not the certificate's") func foreignKey() throws {
    let one = try TestCertificates()
    let other = try TestCertificates()
    #expect(throws: TLSContextError.keyMismatch) {
      try ServerTLS(certificatePath: one.certificate, keyPath: other.key)
    }
    #expect(throws: TLSContextError.certificateUnreadable) {
      try ServerTLS(certificatePath: "\(one.folder)/absent", keyPath: one.key)
    }
  }

  @Test("say that nobody listens") func refusal() async throws {
    let loop = try EventLoop(name: "test")
    loop.start()
    defer { loop.stop() }
    let outcome: ConnectError? = await loop.run {
      let free = try? ListeningSocket.choosingPort(Self.loopback)
      do throws(ConnectError) {
        _ = try await Connector.connect(
          to: free ?? Self.loopback, loop: loop, parker: Parker(),
          deadline: .now.advanced(by: .seconds(5)))
        return nil
      } catch { return error }
    }
    #expect(outcome == .refused(Errno(code: ECONNREFUSED)))
  }
}

@Suite("Resolver") struct ResolverTests {
  @Test("takes literals as they are") func literals() async {
    let resolver = Resolver()
    #expect(await resolver.addresses(of: "127.0.0.1") == [IPAddress("127.0.0.1")!])
    #expect(await resolver.addresses(of: "::1") == [IPAddress("::1")!])
  }

  @Test("asks the system for names") func names() async {
    let resolver = Resolver()
    let addresses = await resolver.addresses(of: "localhost")
    #expect(!addresses.isEmpty)
    #expect(addresses.allSatisfy { $0.isLoopback })
    #expect(await resolver.addresses(of: "no-such-host.invalid").isEmpty)
  }
}
